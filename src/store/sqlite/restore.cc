#include "store/sqlite/internal/restore.h"

#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <ctime>

#include "base/text.h"
#include "store/sqlite/internal/copy.h"
#include "store/sqlite/internal/schema.h"
#include "store/sqlite/internal/writer_lock.h"
#include "store/sqlite/sqlite_store.h"

namespace busbar::store {

namespace {

// PATH.restore-copy: being copied, worth nothing. PATH.restoring: checked and on disk; from here on only a restore may
// touch PATH.
std::string copy_name(const std::string& path) {
  return path + ".restore-copy";
}
std::string ready_name(const std::string& path) {
  return path + ".restoring";
}

bool exists(const std::string& path) {
  return access(path.c_str(), F_OK) == 0;
}

std::string kept_name(const std::string& path) {
  const std::time_t now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
  std::tm utc{};
  gmtime_r(&now, &utc);
  char text[32];
  const std::size_t size = std::strftime(text, sizeof text, "%Y%m%dT%H%M%SZ", &utc);
  const std::string base = path + ".before-restore-" + std::string(text, size);
  std::string name = base;
  for (int i = 2; exists(name); ++i) name = base + "-" + std::to_string(i);
  return name;
}

Result<void> keep(const std::string& from, const std::string& to) {
  if (link(from.c_str(), to.c_str()) == 0 || errno == ENOENT) return {};
  return tl::unexpected<Error>(file_error("cannot keep the old database as", to, errno));
}

Result<void> remove_file(const std::string& path) {
  if (unlink(path.c_str()) == 0 || errno == ENOENT) return {};
  return tl::unexpected<Error>(file_error("cannot remove", path, errno));
}

Result<void> rename_file(const std::string& from, const std::string& to) {
  if (rename(from.c_str(), to.c_str()) == 0) return {};
  return tl::unexpected<Error>(file_error("cannot put a file at", to, errno));
}

/// A checked copy of the backup at `copy`: read as a database, so that a log beside it (a database that was set aside
/// by an earlier restore) is part of it.
Result<void> prepare(const std::string& backup, const std::string& copy) {
  TRY_ASSIGN(Database source, Database::open({.path = backup, .mode = Database::Mode::kReadOnly}));
  TRY(check_schema(source, backup, schema_steps()));
  TRY(verify_database(source, backup));
  TRY(remove_file(copy));
  return copy_database(source, copy);
}

/// The old database with its log, which belongs to it, under other names; then the new one in its place. The log goes
/// first: next to the new file it would be replayed into it.
Result<void> swap_in(const std::string& path) {
  if (exists(path)) {
    const std::string kept = kept_name(path);
    TRY(keep(path, kept));
    TRY(keep(path + "-wal", kept + "-wal"));
    TRY(sync_directory_of(path));
  }
  TRY(remove_file(path + "-wal"));
  TRY(remove_file(path + "-shm"));
  TRY(sync_directory_of(path));
  TRY(rename_file(ready_name(path), path));
  return sync_directory_of(path);
}

}  // namespace

Result<void> verify_database(Database& database, const std::string& path) {
  TRY_ASSIGN(auto findings, database.read_texts("PRAGMA integrity_check(20)"));
  if (findings.size() == 1 && findings.front() == "ok") findings.clear();
  if (findings.empty()) {
    TRY_ASSIGN(const std::int64_t missing,
               database.read_integer("SELECT max(sequence) - min(sequence) + 1 - count(*) FROM journal"));
    if (missing != 0) findings.push_back(std::to_string(missing) + " journal records are missing");
  }
  if (findings.empty()) return {};
  return make_error(ErrorCode::kDataCorrupt,
                    "database \"" + path + "\" is damaged; put a backup in its place with `busbar restore`",
                    join(findings, "; "));
}

Result<void> refuse_interrupted_restore(const std::string& path) {
  if (!exists(ready_name(path))) return {};
  return make_error(ErrorCode::kFailedPrecondition,
                    "a restore of database \"" + path + "\" was interrupted; run `busbar restore` again");
}

Result<void> restore_sqlite_store(const std::string& backup, const std::string& path) {
  TRY_ASSIGN(const WriterLock lock, WriterLock::take(path));
  if (!exists(backup)) return make_error(ErrorCode::kNotFound, "there is no backup \"" + backup + "\"");
  const std::string copy = copy_name(path);
  if (auto prepared = prepare(backup, copy); !prepared) {
    return with_context("backup \"" + backup + "\" was not restored, \"" + path + "\" is as it was", prepared.error());
  }
  TRY(rename_file(copy, ready_name(path)));
  TRY(sync_directory_of(path));
  return swap_in(path);
}

}  // namespace busbar::store
