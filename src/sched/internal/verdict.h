#pragma once

#include "sched/events.h"
#include "sched/internal/state.h"

namespace busbar::sched::internal {

/// What becomes of a job whose attempt is gone: Requeue or Finish.
///
/// A user's cancel beats everything but success. Then: time limit; preemption (always goes back); nodes, runtimes and
/// missed starts (go back, at most `max_infrastructure_retries` times in a row, never charged to restart.max); the
/// first task that failed, by its class; success if all tasks or the leader exited with 0.
Decision verdict_of(const Policy& policy, const JobRecord& record, TimeMs now_ms);

}  // namespace busbar::sched::internal
