#include <limits>

#include "store/sqlite/internal/rows.h"

namespace busbar::store {

namespace {

const std::string kJobColumns =
    "SELECT id, name, user, queue, state, submitted_ms, ended_ms, array_id, client_key, spec_json, status_json FROM "
    "jobs";
const std::string kAttemptColumns = "SELECT job, number, is_over, launch_json, status_json FROM attempts";
const std::string kEventColumns = "SELECT id, time_ms, job, kind, text, detail_json FROM events";

Result<JobRow> job_from(const Query& row) {
  const std::string state = row.bytes_at(4);
  const auto known_state = model::job_state_from_name(state);
  if (!known_state) {
    return make_error(ErrorCode::kDataCorrupt,
                      "job " + std::to_string(row.integer_at(0)) + " is in state \"" + state + "\", which is unknown");
  }
  return JobRow{.id = {row.unsigned_at(0)},
                .name = row.bytes_at(1),
                .user = row.bytes_at(2),
                .queue = row.bytes_at(3),
                .state = *known_state,
                .submitted_ms = row.integer_at(5),
                .ended_ms = row.integer_at(6),
                .array = {row.unsigned_at(7)},
                .client_key = row.bytes_at(8),
                .spec_json = row.bytes_at(9),
                .status_json = row.bytes_at(10)};
}

Result<AttemptRow> attempt_from(const Query& row) {
  return AttemptRow{.id = {.job = {row.unsigned_at(0)}, .number = static_cast<std::uint32_t>(row.integer_at(1))},
                    .is_over = row.integer_at(2) != 0,
                    .launch_json = row.bytes_at(3),
                    .status_json = row.bytes_at(4)};
}

Result<EventRow> event_from(const Query& row) {
  return EventRow{.id = row.unsigned_at(0),
                  .time_ms = row.integer_at(1),
                  .job = {row.unsigned_at(2)},
                  .kind = row.bytes_at(3),
                  .text = row.bytes_at(4),
                  .detail_json = row.bytes_at(5)};
}

Result<SecretRow> secret_from(const Query& row) {
  return SecretRow{.name = row.bytes_at(0), .sealed = row.bytes_at(1), .changed_ms = row.integer_at(2)};
}

Result<ServiceRow> service_from(const Query& row) {
  return ServiceRow{.name = row.bytes_at(0), .record_json = row.bytes_at(1)};
}

Result<CallerRow> caller_from(const Query& row) {
  return CallerRow{.kind = row.bytes_at(0), .name = row.bytes_at(1), .record_json = row.bytes_at(2)};
}

Result<SnapshotRow> snapshot_from(const Query& row) {
  return SnapshotRow{.sequence = row.unsigned_at(0), .bytes = row.bytes_at(1)};
}

Result<Transaction::Frame> frame_from(const Query& row) {
  return Transaction::Frame{.sequence = row.unsigned_at(0), .bytes = row.bytes_at(1)};
}

Result<std::string> text_from(const Query& row) {
  return row.bytes_at(0);
}

template <class Row>
Result<std::vector<Row>> all_rows(Query& query, Result<Row> (*make)(const Query&)) {
  std::vector<Row> rows;
  while (true) {
    TRY_ASSIGN(const bool has_row, query.step());
    if (!has_row) return rows;
    TRY_ASSIGN(Row row, make(query));
    rows.push_back(std::move(row));
  }
}

template <class Row>
Result<std::optional<Row>> first_row(Query& query, Result<Row> (*make)(const Query&)) {
  TRY_ASSIGN(const bool has_row, query.step());
  if (!has_row) return std::optional<Row>();
  TRY_ASSIGN(Row row, make(query));
  return std::optional<Row>(std::move(row));
}

/// SQLite counts in signed 64 bits.
std::int64_t bounded(std::uint64_t number) {
  constexpr std::uint64_t kLargest = std::numeric_limits<std::int64_t>::max();
  return static_cast<std::int64_t>(number < kLargest ? number : kLargest);
}

/// Only the conditions in use are in the text, so that SQLite picks their index; the number of texts is small enough to
/// keep them all prepared.
std::string job_query(const JobFilter& filter) {
  std::string conditions;
  const auto add = [&](const std::string& condition) {
    conditions += (conditions.empty() ? " WHERE " : " AND ") + condition;
  };
  if (!filter.states.empty()) {
    std::string places = "?";
    for (std::size_t i = 1; i < filter.states.size(); ++i) places += ", ?";
    add("state IN (" + places + ")");
  }
  if (!filter.user.empty()) add("user = ?");
  if (!filter.queue.empty()) add("queue = ?");
  if (!filter.name.empty()) add("name = ?");
  if (filter.array.is_valid()) add("array_id <> 0 AND array_id = ?");
  if (filter.before.is_valid()) add("id < ?");
  return kJobColumns + conditions + " ORDER BY id DESC LIMIT ?";
}

}  // namespace

Result<std::vector<JobRow>> read_jobs(Database& database, const JobFilter& filter) {
  TRY_ASSIGN(Query query, database.query(job_query(filter)));
  for (const auto state : filter.states) query.text(model::job_state_name(state));
  if (!filter.user.empty()) query.text(filter.user);
  if (!filter.queue.empty()) query.text(filter.queue);
  if (!filter.name.empty()) query.text(filter.name);
  if (filter.array.is_valid()) query.integer(filter.array.value);
  if (filter.before.is_valid()) query.integer(bounded(filter.before.value));
  query.integer(bounded(filter.limit));
  return all_rows(query, job_from);
}

Result<std::optional<JobRow>> read_job(Database& database, model::JobId id) {
  TRY_ASSIGN(Query query, database.query(kJobColumns + " WHERE id = ?"));
  query.integer(id.value);
  return first_row(query, job_from);
}

Result<std::optional<JobRow>> read_job_by_client_key(Database& database, std::string_view user, std::string_view key) {
  // The index covers only rows that have a key, and SQLite uses it only if the text says so too.
  TRY_ASSIGN(Query query, database.query(kJobColumns + " WHERE user = ? AND client_key = ? AND client_key <> ''"));
  query.text(user).text(key);
  return first_row(query, job_from);
}

Result<std::vector<AttemptRow>> read_attempts(Database& database, model::JobId job) {
  TRY_ASSIGN(Query query, database.query(kAttemptColumns + " WHERE job = ? ORDER BY number"));
  query.integer(job.value);
  return all_rows(query, attempt_from);
}

Result<std::vector<AttemptRow>> read_open_attempts(Database& database) {
  TRY_ASSIGN(Query query, database.query(kAttemptColumns + " WHERE is_over = 0 ORDER BY job, number"));
  return all_rows(query, attempt_from);
}

Result<std::vector<EventRow>> read_events(Database& database, model::JobId job, std::uint64_t after,
                                          std::size_t limit) {
  const std::string condition = job.is_valid() ? " WHERE id > ? AND job = ? AND job <> 0" : " WHERE id > ?";
  TRY_ASSIGN(Query query, database.query(kEventColumns + condition + " ORDER BY id LIMIT ?"));
  query.integer(bounded(after));
  if (job.is_valid()) query.integer(job.value);
  query.integer(bounded(limit));
  return all_rows(query, event_from);
}

Result<std::vector<SecretRow>> read_secrets(Database& database) {
  TRY_ASSIGN(Query query, database.query("SELECT name, sealed, changed_ms FROM secrets ORDER BY name"));
  return all_rows(query, secret_from);
}

Result<std::vector<ServiceRow>> read_services(Database& database) {
  TRY_ASSIGN(Query query, database.query("SELECT name, record_json FROM services ORDER BY name"));
  return all_rows(query, service_from);
}

Result<std::vector<CallerRow>> read_callers(Database& database) {
  TRY_ASSIGN(Query query, database.query("SELECT kind, name, record_json FROM callers ORDER BY kind, name"));
  return all_rows(query, caller_from);
}

Result<std::optional<std::string>> read_meta(Database& database, std::string_view name) {
  TRY_ASSIGN(Query query, database.query("SELECT value FROM meta WHERE name = ?"));
  query.text(name);
  return first_row(query, text_from);
}

Result<std::optional<SnapshotRow>> read_latest_snapshot(Database& database) {
  TRY_ASSIGN(Query query, database.query("SELECT sequence, bytes FROM snapshots ORDER BY sequence DESC LIMIT 1"));
  return first_row(query, snapshot_from);
}

Result<std::vector<Transaction::Frame>> read_frames(Database& database, std::uint64_t after, std::size_t limit) {
  TRY_ASSIGN(Query query,
             database.query("SELECT sequence, frame FROM journal WHERE sequence > ? ORDER BY sequence LIMIT ?"));
  query.integer(bounded(after)).integer(bounded(limit));
  return all_rows(query, frame_from);
}

}  // namespace busbar::store
