#pragma once

#include <optional>
#include <vector>

#include "sched/internal/state.h"
#include "sched/place/placer.h"

namespace busbar::sched::gang {

/// What one more task beside these needs: the alternative that they were granted under; nullopt if it is gone.
std::optional<place::GangNeed> need_like(const internal::State& state, const JobRequest& request,
                                         const model::Placement& tasks);

/// Nodes on which the gang may have no further task. With a bound, those that have one: a node is not filled twice.
std::vector<model::NodeId> full_nodes(const JobRequest& request, const model::Placement& tasks);

/// Near a node first: the same leaf, then the same spine, ...; at a required level not beyond it.
std::optional<place::Found> place_near(internal::State& state, place::GangNeed need, model::NodeId near);
/// How many of max_tasks have room around that node, wherever they would be; 0 if min_tasks have none.
std::uint32_t count_near(internal::State& state, place::GangNeed need, model::NodeId near);

}  // namespace busbar::sched::gang
