#pragma once

#include <optional>
#include <string>

#include "sched/events.h"
#include "sched/internal/state.h"

namespace busbar::sched::internal {

/// What is wrong with the request whatever the cluster; empty: nothing. Bounds keep every sum within 64 bits.
std::string wrong_fields(const JobRequest& request);

/// Refuse (malformed, unknown queue or dependency, infeasible), Finish (a dependency has failed already) or Block (does
/// not fit the declared cluster but may wait); nullopt: the job waits its turn.
std::optional<Decision> judge_submission(State& state, const JobRecord& record);

/// Block if the job's feasibility on the declared cluster is not what its state says.
std::optional<Decision> judge_feasibility(State& state, const JobRecord& record);

}  // namespace busbar::sched::internal
