#pragma once

#include <vector>

#include "sched/backfill/pass.h"
#include "sched/core.h"
#include "sched/internal/state.h"

namespace busbar::sched::explain {

/// Changes that would start the pending or blocked job now, smallest first. Each was applied, as the events that would
/// bring it about, to a fork on which the job then started: what is proposed works.
std::vector<ChangeSet> find_changes(const internal::State& state, model::JobId id, backfill::Obstacle::Kind obstacle);

}  // namespace busbar::sched::explain
