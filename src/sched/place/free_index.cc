#include "sched/place/free_index.h"

#include <algorithm>

#include "base/check.h"

namespace busbar::sched::place {
namespace {

constexpr std::size_t kClasses = 1 + kIndexedCards * (kIndexedCards + 1) / 2;

struct Tables {
  std::array<std::uint8_t, kClasses> free = {};
  std::array<std::uint8_t, kClasses> together = {};
  std::array<std::vector<FreeClass>, kIndexedCards + 1> order = {};
  /// [free][cards]: tasks of `cards` cards.
  std::array<std::array<std::uint32_t, kIndexedCards + 1>, kIndexedCards + 1> tasks = {};
};

Tables make_tables() {
  Tables tables;
  for (std::uint32_t free = 1; free <= kIndexedCards; ++free) {
    for (std::uint32_t together = 1; together <= free; ++together) {
      tables.free[free_class(free, together)] = static_cast<std::uint8_t>(free);
      tables.together[free_class(free, together)] = static_cast<std::uint8_t>(together);
    }
    for (std::uint32_t cards = 1; cards <= kIndexedCards; ++cards) {
      tables.tasks[free][cards] = free / cards;
    }
  }
  for (std::uint32_t cards = 1; cards <= kIndexedCards; ++cards) {
    std::vector<FreeClass>& order = tables.order[cards];
    for (std::size_t at = 1; at < kClasses; ++at) {
      if (tables.free[at] >= cards) order.push_back(static_cast<FreeClass>(at));
    }
    // Classes are numbered by free, then together: a stable partition keeps that order within both parts.
    std::stable_partition(order.begin(), order.end(), [&](FreeClass at) { return tables.together[at] >= cards; });
  }
  return tables;
}

const Tables& tables() {
  static const Tables kTables = make_tables();
  return kTables;
}

OrderCounts empty_counts(const ChipOrder& order) {
  OrderCounts counts;
  counts.classes.assign(order.groups.size(), 0);
  counts.groups_in_class[0] = static_cast<std::uint32_t>(order.groups.size());
  counts.most = order.most_cards;
  counts.leaves = static_cast<std::uint32_t>(order.levels.front().size());
  counts.in_leaf.assign((free_class(order.most_cards, order.most_cards) + std::size_t{1}) * counts.leaves, 0);
  for (const std::vector<Domain>& domains : order.levels) {
    counts.room.emplace_back(order.most_cards * domains.size(), 0);
  }
  return counts;
}

void move_group(OrderCounts& counts, const ChipOrder& order, std::uint32_t position, FreeClass now) {
  const FreeClass before = counts.classes[position];
  counts.classes[position] = now;
  --counts.groups_in_class[before];
  ++counts.groups_in_class[now];
  const std::uint32_t leaf = order.domains[0][position];
  if (before != 0) --counts.in_leaf[std::size_t{before} * counts.leaves + leaf];
  if (now != 0) ++counts.in_leaf[std::size_t{now} * counts.leaves + leaf];
  const std::uint32_t old_free = free_of_class(before);
  const std::uint32_t new_free = free_of_class(now);
  if (old_free == new_free) {
    return;
  }
  std::array<std::uint32_t, kIndexedCards> gained = {};
  for (std::uint32_t cards = 1; cards <= counts.most; ++cards) {
    gained[cards - 1] = tables().tasks[new_free][cards] - tables().tasks[old_free][cards];
  }
  for (std::size_t level = 0; level < order.levels.size(); ++level) {
    std::uint32_t* room = counts.room[level].data() + std::size_t{order.domains[level][position]} * counts.most;
    for (std::uint32_t i = 0; i < counts.most; ++i) {
      room[i] += gained[i];
    }
  }
}

}  // namespace

FreeClass free_class(std::uint32_t free, std::uint32_t together) {
  return static_cast<FreeClass>(free == 0 ? 0 : free * (free - 1) / 2 + together);
}

std::uint32_t free_of_class(FreeClass free_class) {
  return tables().free[free_class];
}

std::span<const FreeClass> classes_for(std::uint32_t cards) {
  return tables().order[cards];
}

FreeIndex::FreeIndex(const FabricOrder& fabric) {
  for (std::uint32_t i = 0; i < fabric.order_count(); ++i) {
    const ChipOrder& order = fabric.order(i);
    is_indexed_.push_back(order.most_cards > 0 && order.most_cards <= kIndexedCards ? 1 : 0);
    counts_.emplace_back();
    if (is_indexed_.back() != 0) {
      counts_.back().write() = empty_counts(order);
    }
  }
}

void FreeIndex::put(const FabricOrder& fabric, GroupRef group, FreeClass now) {
  for (const FabricOrder::Place& place : fabric.places_of(group)) {
    if (place.order == UINT32_MAX || is_indexed_[place.order] == 0) {
      continue;
    }
    if (counts_[place.order].read().classes[place.position] != now) {
      move_group(counts_[place.order].write(), fabric.order(place.order), place.position, now);
    }
  }
}

}  // namespace busbar::sched::place
