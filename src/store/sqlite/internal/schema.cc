#include "store/sqlite/internal/schema.h"

#include <array>

#include "store/sqlite/internal/copy.h"

namespace busbar::store {

namespace {

// States are stored by name, so that a new enumerator never changes the meaning of a row.
constexpr std::string_view kJournalAndTables = R"sql(
CREATE TABLE journal (sequence INTEGER PRIMARY KEY, frame BLOB NOT NULL) STRICT;
CREATE TABLE snapshots (sequence INTEGER PRIMARY KEY, bytes BLOB NOT NULL) STRICT;
CREATE TABLE jobs (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL,
  user TEXT NOT NULL,
  queue TEXT NOT NULL,
  state TEXT NOT NULL,
  submitted_ms INTEGER NOT NULL,
  ended_ms INTEGER NOT NULL,
  array_id INTEGER NOT NULL,
  client_key TEXT NOT NULL,
  spec_json TEXT NOT NULL,
  status_json TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX jobs_by_client_key ON jobs (user, client_key) WHERE client_key <> '';
CREATE INDEX jobs_by_state ON jobs (state, id);
CREATE INDEX jobs_by_array ON jobs (array_id, id) WHERE array_id <> 0;
CREATE TABLE attempts (
  job INTEGER NOT NULL,
  number INTEGER NOT NULL,
  is_over INTEGER NOT NULL,
  launch_json TEXT NOT NULL,
  status_json TEXT NOT NULL,
  PRIMARY KEY (job, number)
) STRICT;
CREATE INDEX attempts_open ON attempts (job, number) WHERE is_over = 0;
CREATE TABLE events (
  id INTEGER PRIMARY KEY,
  time_ms INTEGER NOT NULL,
  job INTEGER NOT NULL,
  kind TEXT NOT NULL,
  text TEXT NOT NULL,
  detail_json TEXT NOT NULL
) STRICT;
CREATE TABLE secrets (name TEXT PRIMARY KEY, sealed BLOB NOT NULL, changed_ms INTEGER NOT NULL) STRICT;
CREATE TABLE meta (name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT;
)sql";

// `ps --name` and `events JOB` on a database of 100,000 jobs read a few rows, not all.
constexpr std::string_view kFindByNameAndJob = R"sql(
CREATE INDEX jobs_by_name ON jobs (name, id);
CREATE INDEX events_by_job ON events (job, id) WHERE job <> 0;
)sql";

constexpr std::string_view kServices = R"sql(
CREATE TABLE services (name TEXT PRIMARY KEY, record_json TEXT NOT NULL) STRICT;
)sql";

constexpr std::string_view kCallers = R"sql(
CREATE TABLE callers (
  kind TEXT NOT NULL,
  name TEXT NOT NULL,
  record_json TEXT NOT NULL,
  PRIMARY KEY (kind, name)
) STRICT;
)sql";

constexpr std::array kSteps = {
    SchemaStep{.name = "journal and tables", .sql = kJournalAndTables},
    SchemaStep{.name = "find jobs by name and events by job", .sql = kFindByNameAndJob},
    SchemaStep{.name = "services", .sql = kServices},
    SchemaStep{.name = "callers of services", .sql = kCallers},
};

struct Version {
  std::int64_t number = 0;
  bool is_empty = false;  ///< No tables at all: a new file.
};

Result<Version> read_version(Database& database, const std::string& path, std::size_t newest) {
  Version version;
  TRY_ASSIGN(version.number, database.read_integer("PRAGMA user_version"));
  TRY_ASSIGN(const std::int64_t application, database.read_integer("PRAGMA application_id"));
  TRY_ASSIGN(const std::int64_t tables, database.read_integer("SELECT count(*) FROM sqlite_schema"));
  version.is_empty = tables == 0;
  if (!version.is_empty && application != kApplicationId) {
    return make_error(ErrorCode::kFailedPrecondition,
                      "\"" + path + "\" is a database of another program; give busbar a path of its own");
  }
  if (version.number < 0 || static_cast<std::size_t>(version.number) > newest) {
    return make_error(ErrorCode::kUnsupported, "database \"" + path + "\" has schema " +
                                                   std::to_string(version.number) + ", this build knows up to " +
                                                   std::to_string(newest) +
                                                   "; use the newer busbar that wrote it, or restore a backup");
  }
  return version;
}

}  // namespace

std::span<const SchemaStep> schema_steps() {
  return kSteps;
}

Result<void> check_schema(Database& database, const std::string& path, std::span<const SchemaStep> steps) {
  TRY_ASSIGN(const Version version, read_version(database, path, steps.size()));
  if (version.is_empty) return make_error(ErrorCode::kDataCorrupt, "\"" + path + "\" holds no busbar database");
  return {};
}

Result<void> migrate_schema(Database& database, const std::string& path, std::span<const SchemaStep> steps) {
  TRY_ASSIGN(const Version version, read_version(database, path, steps.size()));
  const auto first = static_cast<std::size_t>(version.number);
  if (first == steps.size()) return {};
  if (!version.is_empty) {
    const std::string copy = path + ".before-schema-" + std::to_string(steps.size());
    auto kept = copy_database(database, copy);
    // The copy of an earlier, interrupted migration is as good: nothing was written in between.
    if (!kept && kept.error().code != ErrorCode::kAlreadyExists) return kept;
  }
  for (std::size_t at = first; at < steps.size(); ++at) {
    TRY_ASSIGN(DatabaseTransaction transaction, DatabaseTransaction::begin(database));
    auto done =
        database.execute(std::string(steps[at].sql) + "PRAGMA application_id = " + std::to_string(kApplicationId) +
                         "; PRAGMA user_version = " + std::to_string(at + 1));
    if (!done) {
      return with_context("cannot change database \"" + path + "\" to schema " + std::to_string(at + 1) + " (" +
                              std::string(steps[at].name) + ")",
                          done.error());
    }
    TRY(transaction.commit());
  }
  return {};
}

}  // namespace busbar::store
