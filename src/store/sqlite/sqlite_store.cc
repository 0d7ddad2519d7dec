#include "store/sqlite/sqlite_store.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <mutex>
#include <type_traits>
#include <utility>

#include "base/text.h"
#include "store/sqlite/internal/copy.h"
#include "store/sqlite/internal/database.h"
#include "store/sqlite/internal/restore.h"
#include "store/sqlite/internal/rows.h"
#include "store/sqlite/internal/schema.h"
#include "store/sqlite/internal/writer_lock.h"

namespace busbar::store {

namespace {

/// Two connections: one writes, one reads, each behind its own mutex. With a write-ahead log neither waits for the
/// other, so `ps` from a request thread never delays the control thread's commit.
class SqliteStore final : public Store {
 public:
  struct Parts {
    std::string path = {};
    WriterLock lock;
    Database writer;
    Database reader;
  };
  explicit SqliteStore(Parts parts) : parts_(std::move(parts)) {}

  Result<void> commit(const Transaction& transaction) override {
    if (transaction.is_empty()) return {};
    const std::scoped_lock guard(write_mutex_);
    TRY_ASSIGN(DatabaseTransaction scope, DatabaseTransaction::begin(parts_.writer));
    TRY(write_transaction(parts_.writer, transaction));
    return scope.commit();
  }

  Result<std::vector<JobRow>> jobs(const JobFilter& filter) override {
    return read([&](Database& database) { return read_jobs(database, filter); });
  }
  Result<std::optional<JobRow>> job(model::JobId id) override {
    return read([&](Database& database) { return read_job(database, id); });
  }
  Result<std::optional<JobRow>> job_by_client_key(std::string_view user, std::string_view key) override {
    return read([&](Database& database) { return read_job_by_client_key(database, user, key); });
  }
  Result<std::vector<AttemptRow>> attempts(model::JobId job) override {
    return read([&](Database& database) { return read_attempts(database, job); });
  }
  Result<std::vector<AttemptRow>> open_attempts() override {
    return read([&](Database& database) { return read_open_attempts(database); });
  }
  Result<std::vector<EventRow>> events(model::JobId job, std::uint64_t after, std::size_t limit) override {
    return read([&](Database& database) { return read_events(database, job, after, limit); });
  }
  Result<std::vector<SecretRow>> secrets() override {
    return read([&](Database& database) { return read_secrets(database); });
  }
  Result<std::vector<ServiceRow>> services() override {
    return read([&](Database& database) { return read_services(database); });
  }
  Result<std::vector<CallerRow>> callers() override {
    return read([&](Database& database) { return read_callers(database); });
  }
  Result<std::optional<std::string>> meta(std::string_view name) override {
    return read([&](Database& database) { return read_meta(database, name); });
  }
  Result<std::optional<SnapshotRow>> latest_snapshot() override {
    return read([&](Database& database) { return read_latest_snapshot(database); });
  }
  Result<std::uint64_t> last_sequence() override { return largest("SELECT max(sequence) FROM journal"); }
  Result<std::uint64_t> last_event_id() override { return largest("SELECT max(id) FROM events"); }
  Result<model::JobId> last_job_id() override {
    TRY_ASSIGN(const std::uint64_t id, largest("SELECT max(id) FROM jobs"));
    return model::JobId{id};
  }

  Result<void> read_frames(std::uint64_t after,
                           const std::function<Result<void>(std::uint64_t, std::string_view)>& each) override {
    // In portions, so that the callback may use the store and a long export does not keep the log from shrinking.
    constexpr std::size_t kPortion = 256;
    while (true) {
      TRY_ASSIGN(const auto frames,
                 read([&](Database& database) { return store::read_frames(database, after, kPortion); }));
      for (const auto& frame : frames) TRY(each(frame.sequence, frame.bytes));
      if (frames.size() < kPortion) return {};
      after = frames.back().sequence;
    }
  }

  Result<void> backup(const std::string& path) override {
    // A connection of its own: readers and the writer go on while it copies.
    TRY_ASSIGN(Database source, Database::open({.path = parts_.path, .mode = Database::Mode::kReadOnly}));
    return copy_database(source, path);
  }

  Result<void> verify() override {
    TRY_ASSIGN(Database source, Database::open({.path = parts_.path, .mode = Database::Mode::kReadOnly}));
    return verify_database(source, parts_.path);
  }

 private:
  template <class Use>
  std::invoke_result_t<const Use&, Database&> read(const Use& use) {
    const std::scoped_lock guard(read_mutex_);
    return use(parts_.reader);
  }
  Result<std::uint64_t> largest(const std::string& sql) {
    return read([&](Database& database) {
      return database.read_integer(sql).map([](std::int64_t value) { return static_cast<std::uint64_t>(value); });
    });
  }

  std::mutex write_mutex_;
  std::mutex read_mutex_;
  Parts parts_;
};

Result<void> configure(Database& database, const SqliteOptions& options) {
  // temp_store: sorting never needs a disk that may be full. wal_autocheckpoint: SQLite's default, 4 MB of log.
  // journal_size_limit: a log that grew behind a long reader is cut back.
  return database.execute(std::string("PRAGMA journal_mode = WAL; PRAGMA temp_store = MEMORY;"
                                      "PRAGMA wal_autocheckpoint = 1000; PRAGMA journal_size_limit = 16777216;"
                                      "PRAGMA synchronous = ") +
                          (options.is_synchronous_full ? "FULL" : "NORMAL"));
}

/// Finds torn and foreign pages in time linear in the file's size; `verify` also compares indexes with their tables.
Result<void> quick_check(Database& database, const std::string& path) {
  TRY_ASSIGN(const auto findings, database.read_texts("PRAGMA quick_check(5)"));
  if (findings.size() == 1 && findings.front() == "ok") return {};
  return make_error(ErrorCode::kDataCorrupt,
                    "database \"" + path + "\" is damaged; put a backup in its place with `busbar restore`",
                    join(findings, "; "));
}

/// Job files and sealed secrets are in it: nobody else's business. SQLite gives its other files the same mode.
Result<void> make_private_file(const std::string& path) {
  const int file = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (file < 0) return tl::unexpected<Error>(file_error("cannot open database", path, errno));
  close(file);
  return {};
}

Result<Database> open_writer(const SqliteOptions& options) {
  TRY_ASSIGN(Database writer,
             Database::open(
                 {.path = options.path, .mode = Database::Mode::kCreate, .busy_timeout_ms = options.busy_timeout_ms}));
  TRY(quick_check(writer, options.path));
  TRY(configure(writer, options));
  TRY(migrate_schema(writer, options.path, schema_steps()));
  return writer;
}

}  // namespace

Result<std::unique_ptr<Store>> open_sqlite_store(const SqliteOptions& options) {
  TRY_ASSIGN(WriterLock lock, WriterLock::take(options.path));
  TRY(refuse_interrupted_restore(options.path));
  TRY(make_private_file(options.path));
  TRY_ASSIGN(Database writer, open_writer(options));
  TRY_ASSIGN(Database reader, Database::open({.path = options.path,
                                              .mode = Database::Mode::kReadOnly,
                                              .busy_timeout_ms = options.busy_timeout_ms}));
  return std::make_unique<SqliteStore>(SqliteStore::Parts{
      .path = options.path, .lock = std::move(lock), .writer = std::move(writer), .reader = std::move(reader)});
}

}  // namespace busbar::store
