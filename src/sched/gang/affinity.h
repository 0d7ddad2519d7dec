#pragma once

#include <memory>
#include <vector>

#include "sched/internal/state.h"
#include "sched/place/need.h"

namespace busbar::sched::gang {

/// Nodes that the job must not use because of who is there, ascending: those of jobs that it avoids, and of jobs that
/// avoid it. Empty for a job without such wishes that nobody avoids, at no cost; else O(running jobs).
std::vector<model::NodeId> nodes_kept_apart(const internal::State& state, const internal::JobRecord& record);

/// Those, and nodes that are reserved for others now or before the job is sure to have ended: where it must not start
/// now, in no order. (Nodes that failed it are JobRecord::excluded: it avoids them as long as it can.)
std::vector<model::NodeId> nodes_barred(const internal::State& state, const internal::JobRecord& record);

/// All nodes but those, the ones that failed it, and `away`; nullptr: every node.
std::shared_ptr<const place::NodeFilter> nodes_allowed(const internal::State& state, const internal::JobRecord& record,
                                                       const std::vector<model::NodeId>& away = {});

}  // namespace busbar::sched::gang
