#pragma once

#include <string>
#include <vector>

#include "base/error.h"
#include "store/sqlite/internal/database.h"
#include "store/store.h"

namespace busbar::store {

/// Between the rows of store.h and the statements of the schema. Writers run inside the caller's transaction.
Result<void> write_transaction(Database& database, const Transaction& transaction);

Result<std::vector<JobRow>> read_jobs(Database& database, const JobFilter& filter);
Result<std::optional<JobRow>> read_job(Database& database, model::JobId id);
Result<std::optional<JobRow>> read_job_by_client_key(Database& database, std::string_view user, std::string_view key);
Result<std::vector<AttemptRow>> read_attempts(Database& database, model::JobId job);
Result<std::vector<AttemptRow>> read_open_attempts(Database& database);
Result<std::vector<EventRow>> read_events(Database& database, model::JobId job, std::uint64_t after, std::size_t limit);
Result<std::vector<SecretRow>> read_secrets(Database& database);
Result<std::vector<ServiceRow>> read_services(Database& database);
Result<std::vector<CallerRow>> read_callers(Database& database);
Result<std::optional<std::string>> read_meta(Database& database, std::string_view name);
Result<std::optional<SnapshotRow>> read_latest_snapshot(Database& database);
/// At most `limit` frames after a sequence number.
Result<std::vector<Transaction::Frame>> read_frames(Database& database, std::uint64_t after, std::size_t limit);

}  // namespace busbar::store
