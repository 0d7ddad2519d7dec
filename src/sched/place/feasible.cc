#include "sched/place/feasible.h"

#include <algorithm>
#include <span>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/text.h"
#include "base/units.h"
#include "sched/place/placer.h"

namespace busbar::sched::place {
namespace {

std::string chip_or_any(const std::string& chip) {
  return chip.empty() ? "accelerator" : chip;
}

// A name of the catalogue may stand for dozens of chips: the first few say enough.
std::string no_such_chip(const std::vector<std::string>& chips, const FreeMap& map) {
  constexpr std::size_t kShown = 3;
  std::vector<std::string> names;
  for (const ChipIndex known : map.chips_by_name()) {
    names.push_back(map.chip_name(known));
  }
  const auto nearest = chips.size() == 1 ? nearest_name(chips.front(), names) : std::nullopt;
  const std::span<const std::string> shown(chips.data(), std::min(chips.size(), kShown));
  const std::string wanted = chips.size() == 1
                                 ? "chip " + chip_or_any(chips.front())
                                 : fmt::format("any of {} chips ({}{})", chips.size(), fmt::join(shown, ", "),
                                               chips.size() > kShown ? ", ..." : "");
  return fmt::format("no node has {}; the cluster has {}{}", wanted,
                     names.empty() ? "no cards" : fmt::format("{}", fmt::join(names, ", ")),
                     nearest.has_value() ? fmt::format(" (did you mean {}?)", *nearest) : "");
}

// The largest node decides: one that lacks cards, CPU or memory for a single task.
std::optional<std::string> too_big_for_a_node(const TaskNeed& need, const FreeMap& map) {
  std::uint32_t most_cards = 0;
  std::int64_t most_cpus = 0;
  std::int64_t most_memory = 0;
  bool limits_cpus = true;
  bool limits_memory = true;
  for (std::uint32_t i = 0; i < map.node_count(); ++i) {
    const NodeSlot& node = map.node(i);
    for (const GroupSlot& group : map.groups_of(node)) {
      if (group.chip != need.chip) {
        continue;
      }
      most_cards = std::max<std::uint32_t>(most_cards, group.total);
      most_cpus = std::max(most_cpus, node.cpus_total);
      most_memory = std::max(most_memory, node.memory_total);
      limits_cpus = limits_cpus && node.limits_cpus;
      limits_memory = limits_memory && node.limits_memory;
    }
  }
  if (need.cards > most_cards) {
    return fmt::format("needs {} {} cards on one node; the largest has {}", need.cards, map.chip_name(need.chip),
                       most_cards);
  }
  if (limits_cpus && need.cpus > most_cpus) {
    return fmt::format("needs {} CPUs on one node; the largest has {}", format_milli(need.cpus),
                       format_milli(most_cpus));
  }
  if (limits_memory && need.memory > most_memory) {
    return fmt::format("needs {} memory on one node; the largest has {}", format_bytes({need.memory}),
                       format_bytes({most_memory}));
  }
  return std::nullopt;
}

std::string too_few(const GangNeed& need, const Placer& placer, const FabricOrder& order) {
  const std::uint32_t everywhere = placer.largest_domain(need, std::nullopt);
  if (!need.required_level.has_value()) {
    return fmt::format("needs {} tasks at once; the whole cluster has room for {}", need.min_tasks, everywhere);
  }
  const std::string level = level_name(std::min(*need.required_level, order.level_count()), order.level_count());
  return fmt::format("needs {} tasks in one {}; the largest {} has room for {}, the whole cluster for {}",
                     need.min_tasks, level, level, placer.largest_domain(need, need.required_level), everywhere);
}

std::string reason_of(const GangNeed& need, const FreeMap& map, const FabricOrder& order) {
  if (auto reason = too_big_for_a_node(need.task, map)) {
    return *reason;
  }
  const Placer placer(map, order);
  if (placer.largest_domain(need, 0) == 0) {
    return "needs cards, CPU and memory together that no single node has";
  }
  return too_few(need, placer, order);
}

}  // namespace

std::string describe_need(const JobRequest& request, const model::AcceleratorRequest* accelerator) {
  const std::string nodes = request.min_nodes == request.max_nodes
                                ? fmt::format("{}", request.min_nodes)
                                : fmt::format("{}..{}", request.min_nodes, request.max_nodes);
  if (accelerator == nullptr) {
    return fmt::format("{} task{} without cards", nodes, nodes == "1" ? "" : "s");
  }
  return fmt::format("{} x {} {}", nodes, format_milli(accelerator->per_node.value), chip_or_any(accelerator->chip));
}

std::optional<std::string> why_infeasible(const JobRequest& request, const FreeMap& map, const FabricOrder& order) {
  if (map.node_count() == 0) {
    return "no node has joined yet";
  }
  const Placer placer(map, order);
  const std::vector<GangNeed> needs = needs_of(request, map);
  std::vector<std::string> reasons;
  for (const GangNeed& need : needs) {
    if (placer.count_fitting(need) > 0) {
      return std::nullopt;
    }
    reasons.push_back(reason_of(need, map, order));
  }
  std::vector<std::string> missing;
  for (const model::AcceleratorRequest& accelerator : request.accelerators) {
    if (!accelerator.chip.empty() ? map.find_chip(accelerator.chip) == kNoChip : needs.empty()) {
      missing.push_back(accelerator.chip);
    }
  }
  if (!missing.empty()) {
    reasons.push_back(no_such_chip(missing, map));
  }
  return fmt::format("{}", fmt::join(reasons, "; "));
}

}  // namespace busbar::sched::place
