#include "sched/place/placer.h"

#include <algorithm>

#include <fmt/format.h>

#include "sched/place/card_picker.h"

namespace busbar::sched::place {

std::int64_t task_cpus(const JobRequest& request, const model::AcceleratorRequest* accelerator) {
  if (request.cpus.value > 0) {
    return request.cpus.value;
  }
  return accelerator != nullptr && accelerator->chip == kCpuChip ? accelerator->per_node.value : 1000;
}

std::vector<GangNeed> needs_of(const JobRequest& request, const FreeMap& map) {
  GangNeed gang = {.min_tasks = request.min_nodes, .max_tasks = request.max_nodes};
  gang.task.memory = request.memory.value;
  if (request.max_tasks_per_node > 0) {
    gang.task.per_node = request.max_tasks_per_node;
  }
  if (request.topology.mode == model::TopologyRequest::Mode::kRequired) {
    gang.required_level = level_from_name(request.topology.level);
  } else if (request.topology.mode == model::TopologyRequest::Mode::kPreferred) {
    gang.preferred_level = level_from_name(request.topology.level);
  }
  if (request.accelerators.empty()) {
    gang.task.cpus = task_cpus(request, nullptr);
    return {gang};
  }
  std::vector<GangNeed> needs;
  for (const model::AcceleratorRequest& accelerator : request.accelerators) {
    gang.alternative = static_cast<std::uint32_t>(&accelerator - request.accelerators.data());
    gang.task.cpus = task_cpus(request, &accelerator);
    const bool is_fraction = accelerator.per_node.value < kWholeCard;
    gang.task.fraction = is_fraction ? accelerator.per_node.value : 0;
    gang.task.cards = is_fraction ? 0 : static_cast<std::uint32_t>(accelerator.per_node.value / kWholeCard);
    if (!accelerator.chip.empty()) {
      gang.task.chip = map.find_chip(accelerator.chip);
      if (gang.task.chip != kNoChip) {
        needs.push_back(gang);
      }
      continue;
    }
    for (const ChipIndex chip : map.chips_by_name()) {
      if (map.chip_name(chip) != kCpuChip) {
        gang.task.chip = chip;
        needs.push_back(gang);
      }
    }
  }
  return needs;
}

std::shared_ptr<const NodeFilter> all_but(const FreeMap& map, std::span<const model::NodeId> nodes) {
  if (nodes.empty()) {
    return nullptr;
  }
  auto filter = std::make_shared<NodeFilter>(map.node_count(), true);
  for (const model::NodeId id : nodes) {
    if (const NodeSlot* node = map.find_node(id)) {
      (*filter)[node->index] = false;
    }
  }
  return filter;
}

std::shared_ptr<const NodeFilter> both_of(std::shared_ptr<const NodeFilter> a, std::shared_ptr<const NodeFilter> b) {
  if (a == nullptr || b == nullptr) {
    return a == nullptr ? b : a;
  }
  auto both = std::make_shared<NodeFilter>(*a);
  for (std::size_t i = 0; i < both->size(); ++i) {
    (*both)[i] = (*both)[i] && i < b->size() && (*b)[i];
  }
  return both;
}

namespace {

std::uint32_t order_index(const FabricOrder& fabric, const GangNeed& need) {
  if (need.pool.empty()) {
    return fabric.find(need.task.chip, kNoPool);
  }
  const std::optional<PoolIndex> pool = fabric.find_pool(need.pool);
  return pool.has_value() ? fabric.find(need.task.chip, *pool) : UINT32_MAX;
}

}  // namespace

const ChipOrder* Placer::order_for(const GangNeed& need) const {
  const std::uint32_t index = order_index(order_, need);
  return index == UINT32_MAX ? nullptr : &order_.order(index);
}

// Only whole cards are counted by domain, and only on the fabric that the map knows.
const OrderCounts* Placer::counts_for(const GangNeed& need) const {
  const bool is_counted = map_.fabric() == &order_ && need.task.cards > 0 && need.task.per_node == UINT32_MAX;
  return is_counted ? map_.counts(order_index(order_, need)) : nullptr;
}

std::size_t Placer::clamp_level(std::optional<std::size_t> level) const {
  const std::size_t cluster = order_.level_count() + 1;
  return level.has_value() ? std::min(*level, order_.level_count()) : cluster;
}

std::optional<GangSearch::Scope> Placer::scope_for(const GangNeed& need) const {
  const std::size_t cluster = order_.level_count() + 1;
  if (!need.within.has_value()) {
    return GangSearch::Scope{.level = cluster};
  }
  const std::size_t level = std::min(need.within->level, cluster);
  const std::optional<std::uint32_t> domain = order_.domain_around(order_index(order_, need), need.within->node, level);
  return domain.has_value() ? std::optional(GangSearch::Scope{.level = level, .domain = *domain}) : std::nullopt;
}

std::uint32_t Placer::largest_domain(const GangNeed& need, std::optional<std::size_t> level) const {
  const ChipOrder* order = order_for(need);
  const std::optional<GangSearch::Scope> scope = order == nullptr ? std::nullopt : scope_for(need);
  if (!scope.has_value()) {
    return 0;
  }
  GangNeed any_number = need;
  any_number.max_tasks = UINT32_MAX;
  const GangSearch search(map_, *order, any_number, *scope, nullptr);
  return static_cast<std::uint32_t>(std::min<std::uint64_t>(search.best_room(clamp_level(level)), UINT32_MAX));
}

std::optional<Selection> Placer::select_within(const GangNeed& need, GangSearch& search, std::size_t top_level) const {
  const std::uint64_t tasks = std::min<std::uint64_t>(need.max_tasks, search.best_room(top_level));
  return tasks < need.min_tasks || tasks == 0 ? std::nullopt
                                              : search.select(static_cast<std::uint32_t>(tasks), top_level);
}

std::optional<Selection> Placer::select(const GangNeed& need) const {
  const ChipOrder* order = order_for(need);
  const std::optional<GangSearch::Scope> scope = order == nullptr ? std::nullopt : scope_for(need);
  if (!scope.has_value()) {
    return std::nullopt;
  }
  const auto with = [&](GangSearch search) -> std::pair<std::optional<Selection>, bool> {
    std::optional<Selection> selection;
    if (need.preferred_level.has_value()) {
      selection = select_within(need, search, clamp_level(need.preferred_level));
    }
    if (!selection.has_value() && !search.is_unsure()) {
      selection = select_within(need, search, clamp_level(need.required_level));
    }
    return {std::move(selection), search.is_unsure()};
  };
  if (const OrderCounts* counts = counts_for(need)) {
    auto [selection, is_unsure] = with(GangSearch(map_, *order, need, *scope, counts));
    if (!is_unsure) {
      return std::move(selection);
    }
  }
  return with(GangSearch(map_, *order, need, *scope, nullptr)).first;
}

std::uint32_t Placer::count_fitting(const GangNeed& need) const {
  std::uint32_t tasks = 0;
  if (const std::optional<Selection> selection = select(need)) {
    for (const Seats& seats : selection->seats) {
      tasks += seats.tasks;
    }
  }
  return tasks;
}

std::optional<Found> Placer::place(const GangNeed& need) const {
  const std::optional<Selection> selection = select(need);
  if (!selection.has_value()) {
    return std::nullopt;
  }
  const ChipOrder& order = *order_for(need);
  Found found = {.placement = {.chip = map_.chip_name(need.task.chip)}};
  std::size_t tasks = 0;
  for (const Seats& seats : selection->seats) {
    tasks += seats.tasks;
  }
  found.placement.tasks.reserve(tasks);
  for (const Seats& seats : selection->seats) {
    const GroupSlot& group = map_.group(order.groups[seats.position]);
    CardPicker picker(map_, group);
    for (std::uint32_t i = 0; i < seats.tasks; ++i) {
      found.placement.tasks.push_back({.rank = static_cast<std::uint32_t>(found.placement.tasks.size()),
                                       .node = map_.node(group.node).id,
                                       .cards = picker.pick(need.task),
                                       .per_card = {need.task.fraction > 0 ? need.task.fraction : kWholeCard},
                                       .cpus = {need.task.cpus},
                                       .memory = {need.task.memory}});
    }
  }
  const std::string& name = selection->domain.name;
  found.where =
      fmt::format("smallest domain that holds {}: {}{}", tasks == 1 ? "it" : fmt::format("all {} tasks", tasks),
                  level_name(selection->level, order_.level_count()), name.empty() ? "" : " " + name);
  return found;
}

}  // namespace busbar::sched::place
