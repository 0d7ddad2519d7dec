#pragma once

#include <optional>

#include "sched/internal/state.h"
#include "sched/place/placer.h"

namespace busbar::sched::gang {

/// A gang that lost a task to the platform starts again with the cards of its other tasks and one replacement.
///
/// Completes the requeue of a job whose attempt, placed as `ended`, is gone: names the node that failed as one that the
/// job does not go to again (unless it would then not fit the usable nodes even if they were idle), and the tasks on
/// nodes and cards in order as held for `hold_ms` from the next possible start. Changes nothing but the requeue; of a
/// job that ended for other reasons only the nodes excluded earlier are kept.
/// Cost: O(nodes); only where a task has failed.
void plan_swap(internal::State& state, const internal::JobRecord& record, const model::Placement& ended,
               Requeue& requeue);

/// The next attempt of a job that holds cards: the held tasks where they are, each missing rank as near to them as
/// there is room. nullopt: not now. Cost: O(nodes) for each fabric level.
std::optional<place::Found> complete_gang(internal::State& state, const internal::JobRecord& record);

}  // namespace busbar::sched::gang
