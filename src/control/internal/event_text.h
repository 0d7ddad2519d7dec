#pragma once

#include <optional>
#include <string>

#include "api/types.h"
#include "chip/match.h"
#include "control/job_record.h"
#include "sched/core.h"
#include "sched/events.h"

namespace busbar::control {

/// "2 tasks on node-1 (cpu 0; cpu 1): best fit" and the like: what users read in `busbar events`.
std::string placed_text(const api::AttemptStatus& attempt, const std::string& reason);
std::string stop_text(const sched::Stop& stop);
std::string requeue_text(const sched::Requeue& requeue, const std::string& cause, TimeMs now_ms);
/// When a job that is the next of its queue starts at the latest; empty for a promise withdrawn.
std::string promise_text(const sched::Reserve& reserve, TimeMs now_ms);
std::string finish_text(const JobRecord& record, const sched::Finish& finish);

/// "SIGUSR1", "USR1", "10" -> 10; 0 for "" and anything else (the job file's reader has checked it).
int signal_number(const std::string& name);

/// GFLOP/s of one card of the placement at the precision that the job's efficiency hint or precision names; 0 if
/// unknown.
std::optional<chip::Denominator> peak_of(const chip::Catalogue& catalogue, const sched::Core& core,
                                         const model::JobSpec& spec, const model::Placement& placement);

}  // namespace busbar::control
