#include "sched/place/placer.h"

#include <algorithm>

#include <fmt/format.h>

#include "sched/place/card_picker.h"

namespace busbar::sched::place {

/// How many tasks each group of the chip can take, in fabric order, and their running sums.
struct Placer::Capacities {
  const ChipOrder& order;
  std::vector<std::uint32_t> tasks;
  std::vector<std::uint64_t> sums;  ///< sums[i]: tasks in the first i groups.

  std::uint64_t total(const Domain& domain) const { return sums[domain.end] - sums[domain.begin]; }
  Domain whole() const { return {.begin = 0, .end = static_cast<std::uint32_t>(tasks.size())}; }
};

struct Placer::Choice {
  std::size_t level = 0;
  Domain domain = {};
};

std::optional<std::size_t> level_from_name(std::string_view name) {
  if (name == "node") return 0;
  if (name == "leaf") return 1;
  if (name == "spine") return 2;
  return std::nullopt;
}

std::int64_t task_cpus(const JobRequest& request, const model::AcceleratorRequest* accelerator) {
  if (request.cpus.value > 0) {
    return request.cpus.value;
  }
  return accelerator != nullptr && accelerator->chip == "cpu" ? accelerator->per_node.value : 1000;
}

std::vector<GangNeed> needs_of(const JobRequest& request, const FreeMap& map) {
  GangNeed gang = {.min_tasks = request.min_nodes, .max_tasks = request.max_nodes};
  gang.task.memory = request.memory.value;
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
    gang.task.cpus = task_cpus(request, &accelerator);
    const bool is_fraction = accelerator.per_node.value < kWholeCard;
    gang.task.fraction = is_fraction ? accelerator.per_node.value : 0;
    gang.task.cards = is_fraction ? 0 : static_cast<std::uint32_t>(accelerator.per_node.value / kWholeCard);
    for (const ChipIndex chip : map.chips_by_name()) {
      const std::string& name = map.chip_name(chip);
      if (accelerator.chip.empty() ? name != "cpu" : name == accelerator.chip) {
        gang.task.chip = chip;
        needs.push_back(gang);
      }
    }
  }
  return needs;
}

std::uint32_t Placer::capacity_of(const GroupSlot& group, const TaskNeed& need, std::uint32_t most) const {
  const NodeSlot& node = map_.node(group.node);
  if (!node.is_usable) {
    return 0;
  }
  std::int64_t tasks = most;
  if (need.cards > 0) {
    tasks = std::min<std::int64_t>(tasks, group.free_whole / need.cards);
  } else if (need.fraction > 0) {
    std::int64_t fitting = group.free_whole * (kWholeCard / need.fraction);
    if (group.partial > 0) {
      for (const CardSlot& card : map_.cards_of(node)) {
        if (card.chip == group.chip && card.is_healthy && card.used > 0) {
          fitting += (kWholeCard - card.used) / need.fraction;
        }
      }
    }
    tasks = std::min(tasks, fitting);
  }
  if (node.limits_cpus && need.cpus > 0) {
    tasks = std::min(tasks, std::max<std::int64_t>(node.cpus_free, 0) / need.cpus);
  }
  if (node.limits_memory && need.memory > 0) {
    tasks = std::min(tasks, std::max<std::int64_t>(node.memory_free, 0) / need.memory);
  }
  return static_cast<std::uint32_t>(tasks);
}

Placer::Capacities Placer::measure(const TaskNeed& need, std::uint32_t most) const {
  Capacities capacities = {.order = order_.of_chip(need.chip), .tasks = {}, .sums = {0}};
  capacities.tasks.reserve(capacities.order.groups.size());
  capacities.sums.reserve(capacities.order.groups.size() + 1);
  for (const std::uint32_t group : capacities.order.groups) {
    capacities.tasks.push_back(capacity_of(map_.group(group), need, most));
    capacities.sums.push_back(capacities.sums.back() + capacities.tasks.back());
  }
  return capacities;
}

std::size_t Placer::clamp_level(std::optional<std::size_t> level) const {
  const std::size_t cluster = order_.level_count() + 1;
  return level.has_value() ? std::min(*level, order_.level_count()) : cluster;
}

std::uint32_t Placer::best_total(const Capacities& capacities, std::size_t level) const {
  std::uint64_t best = 0;
  if (level == 0) {
    for (const std::uint32_t tasks : capacities.tasks) {
      best = std::max<std::uint64_t>(best, tasks);
    }
  } else if (level > order_.level_count() || capacities.order.levels.empty()) {
    best = capacities.sums.back();
  } else {
    for (const Domain& domain : capacities.order.levels[level - 1]) {
      best = std::max(best, capacities.total(domain));
    }
  }
  return static_cast<std::uint32_t>(std::min<std::uint64_t>(best, UINT32_MAX));
}

std::uint32_t Placer::largest_domain(const TaskNeed& need, std::optional<std::size_t> level) const {
  return best_total(measure(need, UINT32_MAX), clamp_level(level));
}

std::uint32_t Placer::count_fitting(const GangNeed& need) const {
  const std::uint32_t fitting =
      std::min(need.max_tasks, best_total(measure(need.task, need.max_tasks), clamp_level(need.required_level)));
  return fitting >= need.min_tasks ? fitting : 0;
}

// Level 0 is handled by choose_nodes' fitness: there the domains are the nodes themselves.
std::optional<Placer::Choice> Placer::choose_domain(const Capacities& capacities, std::uint32_t tasks,
                                                    std::size_t top_level) const {
  if (best_total(capacities, 0) >= tasks) {
    return Choice{.level = 0, .domain = capacities.whole()};
  }
  for (std::size_t level = 1; level <= std::min(top_level, order_.level_count()); ++level) {
    const Domain* best = nullptr;
    for (const Domain& domain : capacities.order.levels[level - 1]) {
      const std::uint64_t total = capacities.total(domain);
      if (total >= tasks && (best == nullptr || total < capacities.total(*best))) {
        best = &domain;
      }
    }
    if (best != nullptr) {
      return Choice{.level = level, .domain = *best};
    }
  }
  if (top_level > order_.level_count() && capacities.sums.back() >= tasks) {
    return Choice{.level = order_.level_count() + 1, .domain = capacities.whole()};
  }
  return std::nullopt;
}

// (position in fabric order, tasks there), by position. One node for level 0; else one task on each of the best
// fitting nodes if there are enough of them, else the roomiest nodes filled, so that few are used.
std::vector<std::pair<std::uint32_t, std::uint32_t>> Placer::choose_nodes(const Capacities& capacities,
                                                                          const Choice& choice, const TaskNeed& need,
                                                                          std::uint32_t tasks) const {
  struct Candidate {
    Fitness fitness = {};
    std::uint32_t position = 0;
    std::uint32_t capacity = 0;
  };
  const std::uint32_t least = choice.level == 0 ? tasks : 1;
  std::vector<Candidate> candidates;
  for (std::uint32_t i = choice.domain.begin; i < choice.domain.end; ++i) {
    if (capacities.tasks[i] >= least) {
      candidates.push_back({.position = i, .capacity = capacities.tasks[i]});
      candidates.back().fitness = fitness_of(map_, map_.group(capacities.order.groups[i]), need);
    }
  }
  const auto fits_better = [](const Candidate& a, const Candidate& b) {
    return a.fitness != b.fitness ? a.fitness < b.fitness : a.position < b.position;
  };
  if (choice.level == 0) {
    const auto best = std::min_element(candidates.begin(), candidates.end(), fits_better);
    return {{best->position, tasks}};
  }
  std::vector<std::pair<std::uint32_t, std::uint32_t>> chosen;
  if (candidates.size() >= tasks) {
    std::partial_sort(candidates.begin(), candidates.begin() + tasks, candidates.end(), fits_better);
    for (std::uint32_t i = 0; i < tasks; ++i) {
      chosen.emplace_back(candidates[i].position, 1);
    }
  } else {
    std::sort(candidates.begin(), candidates.end(), [](const Candidate& a, const Candidate& b) {
      return a.capacity != b.capacity ? a.capacity > b.capacity : a.position < b.position;
    });
    for (std::uint32_t i = 0, left = tasks; left > 0; ++i) {
      chosen.emplace_back(candidates[i].position, std::min(left, candidates[i].capacity));
      left -= chosen.back().second;
    }
  }
  std::sort(chosen.begin(), chosen.end());
  return chosen;
}

std::optional<Found> Placer::place_within(const GangNeed& need, const Capacities& capacities,
                                          std::size_t top_level) const {
  const std::uint32_t tasks = std::min(need.max_tasks, best_total(capacities, top_level));
  if (tasks < need.min_tasks || tasks == 0) {
    return std::nullopt;
  }
  const std::optional<Choice> choice = choose_domain(capacities, tasks, top_level);
  if (!choice.has_value()) {
    return std::nullopt;
  }
  Found found = {.placement = {.chip = map_.chip_name(need.task.chip)}};
  for (const auto& [position, count] : choose_nodes(capacities, *choice, need.task, tasks)) {
    const GroupSlot& group = map_.group(capacities.order.groups[position]);
    CardPicker picker(map_, group);
    for (std::uint32_t i = 0; i < count; ++i) {
      found.placement.tasks.push_back({.rank = static_cast<std::uint32_t>(found.placement.tasks.size()),
                                       .node = map_.node(group.node).id,
                                       .cards = picker.pick(need.task),
                                       .per_card = {need.task.fraction > 0 ? need.task.fraction : kWholeCard},
                                       .cpus = {need.task.cpus},
                                       .memory = {need.task.memory}});
    }
  }
  found.where = fmt::format(
      "smallest domain that holds {}: {}{}", tasks == 1 ? "it" : fmt::format("all {} tasks", tasks),
      level_name(choice->level, order_.level_count()), choice->domain.name.empty() ? "" : " " + choice->domain.name);
  return found;
}

std::optional<Found> Placer::place(const GangNeed& need) const {
  const Capacities capacities = measure(need.task, need.max_tasks);
  if (need.preferred_level.has_value()) {
    if (auto found = place_within(need, capacities, clamp_level(need.preferred_level))) {
      return found;
    }
  }
  return place_within(need, capacities, clamp_level(need.required_level));
}

}  // namespace busbar::sched::place
