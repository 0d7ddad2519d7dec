#include "sched/place/fabric_order.h"

#include <algorithm>

#include <fmt/format.h>

namespace busbar::sched::place {
namespace {

using Path = std::vector<std::string>;

struct Sorted {
  Path from_root = {};  ///< One name a level, the topmost first; "" where the node's path ends below the level.
  const model::Node* node = nullptr;
};

// A path that ends too early keeps its topmost name at the top and its others at the bottom. Padded like this, the
// nodes that share a domain share a beginning, and so lie side by side once sorted.
Path padded(const Path& fabric, std::size_t level_count) {
  Path path(level_count);
  for (std::size_t i = 0; i + 1 < fabric.size(); ++i) {
    path[level_count - 1 - i] = fabric[i];
  }
  if (!fabric.empty()) {
    path.front() = fabric.back();
  }
  return path;
}

// How many names, from the root, tell the domain of `level` (1 = leaf).
std::size_t prefix_length(const Path& from_root, std::size_t level) {
  return from_root.size() - level + 1;
}

bool same_domain(const Sorted& a, const Sorted& b, std::size_t level) {
  const auto length = static_cast<std::ptrdiff_t>(prefix_length(a.from_root, level));
  return !a.from_root.front().empty() &&
         std::equal(a.from_root.begin(), a.from_root.begin() + length, b.from_root.begin());
}

std::string domain_name(const Sorted& at, std::size_t level) {
  std::size_t length = prefix_length(at.from_root, level);
  while (length > 1 && at.from_root[length - 1].empty()) {
    --length;
  }
  return at.from_root[length - 1];
}

std::vector<Sorted> sort_by_path(std::span<const model::Node* const> nodes, std::size_t level_count) {
  std::vector<Sorted> sorted;
  sorted.reserve(nodes.size());
  for (const model::Node* node : nodes) {
    sorted.push_back({.from_root = padded(node->fabric, level_count), .node = node});
  }
  std::sort(sorted.begin(), sorted.end(), [](const Sorted& a, const Sorted& b) {
    return a.from_root != b.from_root ? a.from_root < b.from_root : a.node->id < b.node->id;
  });
  return sorted;
}

/// Appends groups to one order, in path order.
class OrderBuilder {
 public:
  OrderBuilder(ChipIndex chip, std::size_t level_count) {
    order_.chip = chip;
    order_.levels.resize(level_count + 1);
    order_.domains.resize(level_count + 1);
  }

  std::uint32_t append(GroupRef group, std::uint16_t cards, const Sorted& at) {
    const auto position = static_cast<std::uint32_t>(order_.groups.size());
    order_.groups.push_back(group);
    order_.most_cards = std::max(order_.most_cards, cards);
    const std::size_t cluster = order_.levels.size() - 1;
    for (std::size_t i = 0; i <= cluster; ++i) {
      std::vector<Domain>& domains = order_.levels[i];
      const bool opens = i == cluster ? domains.empty() : previous_ == nullptr || !same_domain(*previous_, at, i + 1);
      if (opens) {
        domains.push_back({.begin = position, .name = i == cluster ? std::string() : domain_name(at, i + 1)});
      }
      domains.back().end = position + 1;
      order_.domains[i].push_back(static_cast<std::uint32_t>(domains.size() - 1));
    }
    previous_ = &at;
    return position;
  }

  ChipOrder take() { return std::move(order_); }

 private:
  ChipOrder order_;
  const Sorted* previous_ = nullptr;
};

std::string_view pool_of(const model::Node& node) {
  const auto at =
      std::find_if(node.labels.begin(), node.labels.end(), [](const auto& label) { return label.first == kPoolLabel; });
  return at == node.labels.end() ? std::string_view() : std::string_view(at->second);
}

}  // namespace

FabricOrder::FabricOrder(std::span<const model::Node* const> nodes, const FreeMap& map) {
  for (const model::Node* node : nodes) {
    level_count_ = std::max(level_count_, node->fabric.size());
  }
  const std::vector<Sorted> sorted = sort_by_path(nodes, level_count_);
  for (const Sorted& at : sorted) {
    const std::string_view pool = pool_of(*at.node);
    if (!pool.empty() && !find_pool(pool).has_value()) {
      pools_.emplace_back(pool);
    }
  }
  first_place_.resize(map.node_count());
  std::uint32_t group_count = 0;
  for (std::uint32_t i = 0; i < map.node_count(); ++i) {
    first_place_[i] = group_count;
    group_count += map.node(i).group_count;
  }
  places_.resize(group_count);
  by_pool_.resize(pools_.size());
  std::vector<OrderBuilder> builders;
  const auto append = [&](GroupRef group, PoolIndex pool, const Sorted& at) -> Place {
    const GroupSlot& slot = map.group(group);
    std::vector<std::uint32_t>& by_chip = by_pool_[pool];
    if (by_chip.size() <= slot.chip) {
      by_chip.resize(slot.chip + std::size_t{1}, UINT32_MAX);
    }
    if (by_chip[slot.chip] == UINT32_MAX) {
      by_chip[slot.chip] = static_cast<std::uint32_t>(builders.size());
      builders.emplace_back(slot.chip, level_count_);
    }
    return {.order = by_chip[slot.chip], .position = builders[by_chip[slot.chip]].append(group, slot.total, at)};
  };
  for (const Sorted& at : sorted) {
    const NodeSlot& node = *map.find_node(at.node->id);
    const PoolIndex pool = find_pool(pool_of(*at.node)).value_or(kNoPool);
    for (std::uint16_t g = 0; g < node.group_count; ++g) {
      const GroupRef group = {.node = node.index, .index = g};
      std::array<Place, 2>& places = places_[first_place_[node.index] + g];
      places[0] = append(group, kNoPool, at);
      if (pool != kNoPool) {
        places[1] = append(group, pool, at);
      }
    }
  }
  for (OrderBuilder& builder : builders) {
    orders_.push_back(builder.take());
  }
}

std::uint32_t FabricOrder::find(ChipIndex chip, PoolIndex pool) const {
  return pool < by_pool_.size() && chip < by_pool_[pool].size() ? by_pool_[pool][chip] : UINT32_MAX;
}

std::optional<PoolIndex> FabricOrder::find_pool(std::string_view name) const {
  const auto at = std::find(pools_.begin() + 1, pools_.end(), name);
  return at == pools_.end() ? std::nullopt : std::optional(static_cast<PoolIndex>(at - pools_.begin()));
}

// The orders sort nodes alike, so a domain of all nodes is a range of each.
std::optional<std::uint32_t> FabricOrder::domain_around(std::uint32_t order, std::uint32_t node,
                                                        std::size_t level) const {
  const std::size_t at = level_index(level);
  const ChipOrder& all = all_nodes();
  const Domain& domain = all.levels[at][all.domains[at][position(node)]];
  const ChipOrder& wanted = orders_[order];
  const auto first = std::partition_point(wanted.groups.begin(), wanted.groups.end(),
                                          [&](GroupRef group) { return position(group.node) < domain.begin; });
  if (first == wanted.groups.end() || position(first->node) >= domain.end) {
    return std::nullopt;
  }
  return wanted.domains[at][static_cast<std::size_t>(first - wanted.groups.begin())];
}

std::vector<std::uint32_t> FabricOrder::nodes_around(std::uint32_t node, std::size_t level) const {
  const std::size_t at = level_index(level);
  const ChipOrder& all = all_nodes();
  const Domain& domain = all.levels[at][all.domains[at][position(node)]];
  std::vector<std::uint32_t> nodes;
  nodes.reserve(domain.end - domain.begin);
  for (std::uint32_t i = domain.begin; i < domain.end; ++i) {
    nodes.push_back(all.groups[i].node);
  }
  return nodes;
}

std::size_t FabricOrder::common_level(std::span<const std::uint32_t> nodes) const {
  const ChipOrder& all = all_nodes();
  std::size_t level = 1;
  while (level <= level_count_ && std::any_of(nodes.begin(), nodes.end(), [&](std::uint32_t node) {
           return all.domains[level - 1][position(node)] != all.domains[level - 1][position(nodes.front())];
         })) {
    ++level;
  }
  return level;
}

std::string level_name(std::size_t level, std::size_t level_count) {
  if (level > level_count) {
    return "cluster";
  }
  switch (level) {
    case 0:
      return "node";
    case 1:
      return "leaf";
    case 2:
      return "spine";
    case 3:
      return "core";
    default:
      return fmt::format("level {}", level);
  }
}

std::optional<std::size_t> level_from_name(std::string_view name) {
  if (name == "node") return 0;
  if (name == "leaf") return 1;
  if (name == "spine") return 2;
  if (name == "core") return 3;
  return std::nullopt;
}

}  // namespace busbar::sched::place
