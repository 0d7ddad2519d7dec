#pragma once

#include <vector>

#include "sched/core.h"
#include "sched/internal/state.h"

namespace busbar::sched::explain {

/// Core::queue_views().
std::vector<QueueView> view_queues(const internal::State& state);

}  // namespace busbar::sched::explain
