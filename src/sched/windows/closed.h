#pragma once

#include <vector>

#include "sched/internal/state.h"

namespace busbar::sched::windows {

/// Whether the job may use the reservation's nodes within its window.
bool admits(const model::Reservation& reservation, const JobRequest& request);

/// Nodes on which the job may not start at `at_ms`, ascending: reserved for others, now or before the job is sure to
/// have ended. A job without a time limit is never sure to have ended; with one, its start may take until the start
/// deadline. No cost without reservations.
std::vector<model::NodeId> closed_nodes(const internal::State& state, const internal::JobRecord& record, TimeMs at_ms);

}  // namespace busbar::sched::windows
