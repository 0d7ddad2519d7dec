#include "store/sqlite/internal/rows.h"

namespace busbar::store {

namespace {

// A second row with a key that must be new is the caller's fault, except a client key: two submits of one key may race,
// and the loser is told so.
Result<void> run_or_explain(Query& query, const std::string& what) {
  auto done = query.run();
  if (!done && done.error().code == ErrorCode::kAlreadyExists) {
    return make_error(ErrorCode::kAlreadyExists, what + " is in the store already", done.error().message);
  }
  return done;
}

Result<void> write_frame(Database& database, const Transaction::Frame& frame) {
  TRY_ASSIGN(Query query, database.query("INSERT INTO journal (sequence, frame) VALUES (?, ?)"));
  query.integer(frame.sequence).blob(frame.bytes);
  return run_or_explain(query, "journal record " + std::to_string(frame.sequence));
}

Result<void> write_job(Database& database, const JobRow& row) {
  TRY_ASSIGN(Query query,
             database.query("INSERT INTO jobs (id, name, user, queue, state, submitted_ms, ended_ms, array_id, "
                            "client_key, spec_json, status_json) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
                            "ON CONFLICT (id) DO UPDATE SET name = excluded.name, user = excluded.user, "
                            "queue = excluded.queue, state = excluded.state, submitted_ms = excluded.submitted_ms, "
                            "ended_ms = excluded.ended_ms, array_id = excluded.array_id, "
                            "client_key = excluded.client_key, spec_json = excluded.spec_json, "
                            "status_json = excluded.status_json"));
  query.integer(row.id.value).text(row.name).text(row.user).text(row.queue).text(model::job_state_name(row.state));
  query.integer(row.submitted_ms).integer(row.ended_ms).integer(row.array.value).text(row.client_key);
  query.text(row.spec_json).text(row.status_json);
  return run_or_explain(query, "client key \"" + row.client_key + "\" of user \"" + row.user + "\"");
}

Result<void> write_attempt(Database& database, const AttemptRow& row) {
  TRY_ASSIGN(Query query, database.query("INSERT INTO attempts (job, number, is_over, launch_json, status_json) "
                                         "VALUES (?, ?, ?, ?, ?) ON CONFLICT (job, number) DO UPDATE SET "
                                         "is_over = excluded.is_over, launch_json = excluded.launch_json, "
                                         "status_json = excluded.status_json"));
  query.integer(row.id.job.value).integer(std::int64_t{row.id.number}).integer(std::int64_t{row.is_over});
  return query.text(row.launch_json).text(row.status_json).run();
}

Result<void> write_event(Database& database, const EventRow& row) {
  TRY_ASSIGN(Query query, database.query("INSERT INTO events (id, time_ms, job, kind, text, detail_json) "
                                         "VALUES (?, ?, ?, ?, ?, ?)"));
  query.integer(row.id).integer(row.time_ms).integer(row.job.value).text(row.kind).text(row.text);
  query.text(row.detail_json);
  return run_or_explain(query, "event " + std::to_string(row.id));
}

Result<void> write_secret(Database& database, const SecretRow& row) {
  TRY_ASSIGN(Query query,
             database.query("INSERT INTO secrets (name, sealed, changed_ms) VALUES (?, ?, ?) ON CONFLICT (name) "
                            "DO UPDATE SET sealed = excluded.sealed, changed_ms = excluded.changed_ms"));
  return query.text(row.name).blob(row.sealed).integer(row.changed_ms).run();
}

Result<void> remove_secret(Database& database, const std::string& name) {
  TRY_ASSIGN(Query query, database.query("DELETE FROM secrets WHERE name = ?"));
  return query.text(name).run();
}

Result<void> write_service(Database& database, const ServiceRow& row) {
  TRY_ASSIGN(Query query, database.query("INSERT INTO services (name, record_json) VALUES (?, ?) ON CONFLICT (name) "
                                         "DO UPDATE SET record_json = excluded.record_json"));
  return query.text(row.name).text(row.record_json).run();
}

Result<void> remove_service(Database& database, const std::string& name) {
  TRY_ASSIGN(Query query, database.query("DELETE FROM services WHERE name = ?"));
  return query.text(name).run();
}

Result<void> write_caller(Database& database, const CallerRow& row) {
  TRY_ASSIGN(Query query, database.query("INSERT INTO callers (kind, name, record_json) VALUES (?, ?, ?) ON CONFLICT "
                                         "(kind, name) DO UPDATE SET record_json = excluded.record_json"));
  return query.text(row.kind).text(row.name).text(row.record_json).run();
}

Result<void> remove_caller(Database& database, const std::string& kind, const std::string& name) {
  TRY_ASSIGN(Query query, database.query("DELETE FROM callers WHERE kind = ? AND name = ?"));
  return query.text(kind).text(name).run();
}

Result<void> write_meta(Database& database, const std::string& name, const std::string& value) {
  TRY_ASSIGN(Query query, database.query("INSERT INTO meta (name, value) VALUES (?, ?) ON CONFLICT (name) "
                                         "DO UPDATE SET value = excluded.value"));
  return query.text(name).blob(value).run();
}

Result<void> write_snapshot(Database& database, std::uint64_t sequence, const std::string& bytes) {
  TRY_ASSIGN(Query insert, database.query("INSERT OR REPLACE INTO snapshots (sequence, bytes) VALUES (?, ?)"));
  TRY(insert.integer(sequence).blob(bytes).run());
  // The one before stays, for the case that the newest does not decode.
  TRY_ASSIGN(Query remove, database.query("DELETE FROM snapshots WHERE sequence NOT IN "
                                          "(SELECT sequence FROM snapshots ORDER BY sequence DESC LIMIT 2)"));
  return remove.run();
}

}  // namespace

Result<void> write_transaction(Database& database, const Transaction& transaction) {
  for (const auto& frame : transaction.frames) TRY(write_frame(database, frame));
  for (const auto& row : transaction.jobs) TRY(write_job(database, row));
  for (const auto& row : transaction.attempts) TRY(write_attempt(database, row));
  for (const auto& row : transaction.events) TRY(write_event(database, row));
  for (const auto& row : transaction.secrets) TRY(write_secret(database, row));
  for (const auto& name : transaction.removed_secrets) TRY(remove_secret(database, name));
  for (const auto& row : transaction.services) TRY(write_service(database, row));
  for (const auto& name : transaction.removed_services) TRY(remove_service(database, name));
  for (const auto& row : transaction.callers) TRY(write_caller(database, row));
  for (const auto& [kind, name] : transaction.removed_callers) TRY(remove_caller(database, kind, name));
  for (const auto& [name, value] : transaction.meta) TRY(write_meta(database, name, value));
  if (transaction.snapshot) TRY(write_snapshot(database, transaction.snapshot_sequence, *transaction.snapshot));
  return {};
}

}  // namespace busbar::store
