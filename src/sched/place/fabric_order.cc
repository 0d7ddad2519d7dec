#include "sched/place/fabric_order.h"

#include <algorithm>

#include <fmt/format.h>

namespace busbar::sched::place {
namespace {

using Path = std::vector<std::string>;

struct Sorted {
  Path from_root = {};
  const model::Node* node = nullptr;
};

// How much of the path from the root names the domain of `level` (1 = leaf) that the node is in.
std::size_t prefix_length(const Path& from_root, std::size_t level) {
  if (from_root.empty()) {
    return 0;
  }
  return from_root.size() >= level ? from_root.size() - level + 1 : 1;
}

bool same_domain(const Sorted& a, const Sorted& b, std::size_t level) {
  const std::size_t length = prefix_length(a.from_root, level);
  return length > 0 && length == prefix_length(b.from_root, level) &&
         std::equal(a.from_root.begin(), a.from_root.begin() + static_cast<std::ptrdiff_t>(length),
                    b.from_root.begin());
}

std::vector<Sorted> sort_by_path(std::span<const model::Node* const> nodes) {
  std::vector<Sorted> sorted;
  for (const model::Node* node : nodes) {
    sorted.push_back({.from_root = Path(node->fabric.rbegin(), node->fabric.rend()), .node = node});
  }
  std::sort(sorted.begin(), sorted.end(), [](const Sorted& a, const Sorted& b) {
    return a.from_root != b.from_root ? a.from_root < b.from_root : a.node->id < b.node->id;
  });
  return sorted;
}

// Appends the group to the chip's order; it opens a new domain on every level that `previous` does not share with it.
void append_group(ChipOrder& order, std::uint32_t group, const Sorted& at, const Sorted* previous) {
  const auto position = static_cast<std::uint32_t>(order.groups.size());
  order.groups.push_back(group);
  for (std::size_t i = 0; i < order.levels.size(); ++i) {
    if (previous == nullptr || !same_domain(*previous, at, i + 1)) {
      const std::size_t length = prefix_length(at.from_root, i + 1);
      order.levels[i].push_back({.begin = position, .name = length == 0 ? std::string() : at.from_root[length - 1]});
    }
    order.levels[i].back().end = position + 1;
  }
}

}  // namespace

FabricOrder::FabricOrder(std::span<const model::Node* const> nodes, const FreeMap& map) {
  const std::vector<Sorted> sorted = sort_by_path(nodes);
  for (const Sorted& at : sorted) {
    level_count_ = std::max(level_count_, at.from_root.size());
  }
  std::vector<const Sorted*> previous;
  for (const Sorted& at : sorted) {
    const NodeSlot& slot = *map.find_node(at.node->id);
    for (std::uint16_t g = 0; g < slot.group_count; ++g) {
      const std::size_t chip = map.group(slot.first_group + g).chip;
      if (chip >= chips_.size()) {
        chips_.resize(chip + 1, ChipOrder{.levels = std::vector<std::vector<Domain>>(level_count_)});
        previous.resize(chip + 1);
      }
      append_group(chips_[chip], slot.first_group + g, at, previous[chip]);
      previous[chip] = &at;
    }
  }
}

const ChipOrder& FabricOrder::of_chip(ChipIndex chip) const {
  static const ChipOrder kEmpty;
  return chip < chips_.size() ? chips_[chip] : kEmpty;
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
    default:
      return fmt::format("level {}", level);
  }
}

}  // namespace busbar::sched::place
