#include "sched/gang/near.h"

#include <algorithm>

namespace busbar::sched::gang {
namespace {

using internal::State;
using model::NodeId;

// The last level at which tasks may be added.
std::size_t last_level(State& state, const place::GangNeed& need) {
  const std::size_t levels = state.fabric().level_count();
  return need.required_level.has_value() ? std::min(*need.required_level, levels) : levels + 1;
}

}  // namespace

std::optional<place::GangNeed> need_like(const State& state, const JobRequest& request, const model::Placement& tasks) {
  for (place::GangNeed need : place::needs_of(request, state.free_map())) {
    const std::int64_t each = need.task.milli_cards();
    const std::int64_t held_each =
        static_cast<std::int64_t>(tasks.tasks[0].cards.size()) * tasks.tasks[0].per_card.value;
    const bool is_chip = need.task.chip == place::kNoChip ? tasks.chip.empty()
                                                          : state.free_map().chip_name(need.task.chip) == tasks.chip;
    if (is_chip && each == held_each) {
      return need;
    }
  }
  return std::nullopt;
}

std::vector<NodeId> full_nodes(const JobRequest& request, const model::Placement& tasks) {
  std::vector<NodeId> full;
  if (request.max_tasks_per_node > 0) {
    for (const model::TaskPlacement& task : tasks.tasks) {
      full.push_back(task.node);
    }
  }
  return full;
}

std::optional<place::Found> place_near(State& state, place::GangNeed need, NodeId near) {
  const std::size_t last = last_level(state, need);
  const std::uint32_t node = state.free_map().find_node(near)->index;
  for (std::size_t level = 1; level <= last; ++level) {
    need.within = place::Vicinity{.node = node, .level = level};
    if (auto found = place::Placer(state.free_map(), state.fabric()).place(need)) {
      return found;
    }
  }
  return std::nullopt;
}

std::uint32_t count_near(State& state, place::GangNeed need, NodeId near) {
  const std::size_t last = last_level(state, need);
  if (last == 0) {
    return 0;
  }
  need.within = place::Vicinity{.node = state.free_map().find_node(near)->index, .level = last};
  return place::Placer(state.free_map(), state.fabric()).count_fitting(need);
}

}  // namespace busbar::sched::gang
