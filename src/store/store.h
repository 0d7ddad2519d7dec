#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/error.h"
#include "base/units.h"
#include "model/ids.h"
#include "model/job.h"

namespace busbar::store {

/// A job's row: what `ps --all`, `describe` and restarts need. `spec_json` and `status_json` are opaque here.
struct JobRow {
  model::JobId id = {};
  std::string name = {};
  std::string user = {};
  std::string queue = {};
  model::JobState state = model::JobState::kQueued;
  TimeMs submitted_ms = 0;
  TimeMs ended_ms = 0;          ///< 0: not over.
  model::JobId array = {};      ///< The first member's id, for members of an array.
  std::string client_key = {};  ///< Unique per user when not empty: the same key gives the same job.
  std::string spec_json = {};
  std::string status_json = {};
};

/// An attempt's row; `launch_json` lets a restarted server hand the engine what it had asked for.
struct AttemptRow {
  model::AttemptId id = {};
  bool is_over = false;
  std::string launch_json = {};
  std::string status_json = {};
};

/// One line of the users' event log (`busbar events`).
struct EventRow {
  std::uint64_t id = 0;  ///< Given by the caller, ascending.
  TimeMs time_ms = 0;
  model::JobId job = {};  ///< 0: about no job.
  std::string kind = {};  ///< "submitted", "placed" ...
  std::string text = {};
  std::string detail_json = {};
};

struct SecretRow {
  std::string name = {};
  std::string sealed = {};  ///< Encrypted by the caller.
  TimeMs changed_ms = 0;
};

/// A service with its replicas; opaque here.
struct ServiceRow {
  std::string name = {};
  std::string record_json = {};
};

/// Who calls services: a key or a tenant; opaque here.
struct CallerRow {
  std::string kind = {};  ///< "key", "tenant".
  std::string name = {};
  std::string record_json = {};
};

/// All that one step changes; committed whole or not at all.
struct Transaction {
  struct Frame {
    std::uint64_t sequence = 0;
    std::string bytes = {};
  };
  std::vector<Frame> frames = {};
  std::vector<JobRow> jobs = {};          ///< Upserts.
  std::vector<AttemptRow> attempts = {};  ///< Upserts.
  std::vector<EventRow> events = {};
  std::vector<SecretRow> secrets = {};
  std::vector<std::string> removed_secrets = {};
  std::vector<ServiceRow> services = {};  ///< Upserts.
  std::vector<std::string> removed_services = {};
  std::vector<CallerRow> callers = {};                                    ///< Upserts.
  std::vector<std::pair<std::string, std::string>> removed_callers = {};  ///< Kind and name.
  std::vector<std::pair<std::string, std::string>> meta = {};             ///< Upserts of named values.
  /// A snapshot of the core after `snapshot_sequence`; older snapshots but one are dropped.
  std::optional<std::string> snapshot = {};
  std::uint64_t snapshot_sequence = 0;

  bool is_empty() const {
    return frames.empty() && jobs.empty() && attempts.empty() && events.empty() && secrets.empty() &&
           removed_secrets.empty() && services.empty() && removed_services.empty() && callers.empty() &&
           removed_callers.empty() && meta.empty() && !snapshot;
  }
};

struct JobFilter {
  std::vector<model::JobState> states = {};  ///< Empty: any.
  std::string user = {};
  std::string queue = {};
  std::string name = {};
  model::JobId array = {};
  model::JobId before = {};  ///< Only ids below, for paging.
  std::size_t limit = 100;
};

struct SnapshotRow {
  std::uint64_t sequence = 0;
  std::string bytes = {};
};

/// Durable state: journal and tables, changed together in one transaction (design §5). One writer (the control
/// thread); reads may come from other threads. Errors: kUnavailable (busy), kResourceExhausted (disk full: nothing was
/// changed, the same call may be tried again), kDataCorrupt.
class Store {
 public:
  virtual ~Store() = default;

  virtual Result<void> commit(const Transaction& transaction) = 0;

  virtual Result<std::vector<JobRow>> jobs(const JobFilter& filter) = 0;  ///< Newest first.
  virtual Result<std::optional<JobRow>> job(model::JobId id) = 0;
  virtual Result<std::optional<JobRow>> job_by_client_key(std::string_view user, std::string_view key) = 0;
  virtual Result<std::vector<AttemptRow>> attempts(model::JobId job) = 0;
  virtual Result<std::vector<AttemptRow>> open_attempts() = 0;  ///< Those not over, of all jobs.
  virtual Result<std::vector<EventRow>> events(model::JobId job, std::uint64_t after, std::size_t limit) = 0;
  virtual Result<std::vector<SecretRow>> secrets() = 0;
  virtual Result<std::vector<ServiceRow>> services() = 0;  ///< By name.
  virtual Result<std::vector<CallerRow>> callers() = 0;    ///< By kind and name.
  virtual Result<std::optional<std::string>> meta(std::string_view name) = 0;
  virtual Result<std::optional<SnapshotRow>> latest_snapshot() = 0;
  /// Frames with sequence > after, in order; the callback stops by returning an error.
  virtual Result<void> read_frames(std::uint64_t after,
                                   const std::function<Result<void>(std::uint64_t, std::string_view)>& each) = 0;
  virtual Result<std::uint64_t> last_sequence() = 0;
  virtual Result<std::uint64_t> last_event_id() = 0;
  virtual Result<model::JobId> last_job_id() = 0;

  /// A consistent copy of the whole database while it is in use.
  virtual Result<void> backup(const std::string& path) = 0;
  /// Full integrity check; kDataCorrupt names what is wrong.
  virtual Result<void> verify() = 0;
};

}  // namespace busbar::store
