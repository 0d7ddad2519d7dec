#pragma once

#include "sched/core.h"
#include "sched/internal/state.h"

namespace busbar::sched::explain {

/// Core::when(). Trials of the future on forks: each running job, and each that starts meanwhile, ends after a run time
/// drawn from those of its queue that ended (as part of the time limit, where there is one), else at its limit; a job
/// of which neither is known does not end. The same state gives the same answer.
Result<When> foresee_start(const internal::State& state, model::JobId id);

}  // namespace busbar::sched::explain
