#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "api/types.h"
#include "base/error.h"
#include "chip/catalogue.h"
#include "launch/efficiency.h"
#include "model/job.h"
#include "sched/core.h"
#include "store/store.h"

namespace busbar::control {

/// What the server knows of one job beside the core: its spec, its history and its efficiency account. A plain value
/// owned by the Ledger; a row of the store holds the same.
struct JobRecord {
  model::JobId id = {};
  model::JobSpec spec = {};
  std::string user = {};
  std::string client_key = {};
  model::JobId array = {};
  bool has_terminal = false;
  model::JobState state = model::JobState::kQueued;
  std::string reason = {};
  TimeMs submitted_ms = 0;
  TimeMs started_ms = 0;
  TimeMs ended_ms = 0;
  std::uint32_t restarts = 0;
  model::ExitClass exit_class = model::ExitClass::kSuccess;
  std::optional<std::int32_t> exit_code = {};
  std::vector<api::AttemptStatus> attempts = {};
  launch::EfficiencyAccount account{0, 0};
  std::string message = {};                                    ///< The SDK's last message.
  std::map<std::uint32_t, std::uint64_t> report_offsets = {};  ///< Of the current attempt, by rank.
  std::uint32_t generation = 1;  ///< How often the current attempt's tasks have changed, from 1.
  std::optional<std::int64_t> grace_override_ms = {};
  std::int64_t peak_gflops = 0;             ///< Of one granted card at the job's precision; 0: unknown.
  std::string peak_kind = "nominal-dense";  ///< chip::denominator_name of that peak.

  api::AttemptStatus* current_attempt() { return attempts.empty() ? nullptr : &attempts.back(); }
};

/// How many milli-cards so many tasks of the job have (1000 a task where it asks for none): the weight of its
/// card-seconds.
std::int64_t accounted_milli_cards(const model::JobSpec& spec, std::size_t tasks);
/// Of as many as it asks for.
inline std::int64_t accounted_milli_cards(const model::JobSpec& spec) {
  return accounted_milli_cards(spec, spec.max_nodes);
}
/// "2x1 cpu", "8x8 H100", "" for jobs without cards.
std::string cards_text(const model::JobSpec& spec);

enum class Detail { kSummary, kFull };
api::JobStatus to_status(const JobRecord& record, TimeMs now_ms, Detail detail);

store::JobRow to_row(const JobRecord& record);
Result<JobRecord> from_row(const store::JobRow& row);

/// The core's view of a job: what it needs to place it, with names of chips made ids of the catalogue. `dependencies`
/// are resolved by the caller.
Result<sched::JobRequest> to_request(const JobRecord& record, const chip::Catalogue& catalogue,
                                     std::vector<sched::JobRequest::Dependency> dependencies);

}  // namespace busbar::control
