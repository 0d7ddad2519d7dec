#include "sched/place/free_index.h"

#include <algorithm>

#include "base/check.h"

namespace busbar::sched::place {
namespace {

constexpr std::size_t kClasses = 1 + kIndexedCards * (kIndexedCards + 1) / 2;

struct Tables {
  std::array<std::uint8_t, kClasses> free = {};
  std::array<std::uint8_t, kClasses> together = {};
  std::array<std::array<FreeClass, kClasses>, kIndexedCards + 1> order = {};  ///< [cards], of `order_sizes[cards]`.
  std::array<std::size_t, kIndexedCards + 1> order_sizes = {};
  /// [free][cards - 1]: tasks of `cards` cards.
  std::array<RoomRow, kIndexedCards + 1> tasks = {};
};

// Classes are numbered by free, then together; this order holds within both parts.
constexpr void order_classes(Tables& tables, std::uint32_t cards) {
  for (const bool is_together : {true, false}) {
    for (std::size_t at = 1; at < kClasses; ++at) {
      if (tables.free[at] >= cards && (tables.together[at] >= cards) == is_together) {
        tables.order[cards][tables.order_sizes[cards]++] = static_cast<FreeClass>(at);
      }
    }
  }
}

constexpr Tables make_tables() {
  Tables tables;
  for (std::uint32_t free = 1; free <= kIndexedCards; ++free) {
    for (std::uint32_t together = 1; together <= free; ++together) {
      tables.free[free_class(free, together)] = static_cast<std::uint8_t>(free);
      tables.together[free_class(free, together)] = static_cast<std::uint8_t>(together);
    }
    for (std::uint32_t cards = 1; cards <= kIndexedCards; ++cards) {
      tables.tasks[free][cards - 1] = free / cards;
    }
  }
  for (std::uint32_t cards = 1; cards <= kIndexedCards; ++cards) {
    order_classes(tables, cards);
  }
  return tables;
}

constexpr Tables kTables = make_tables();

OrderCounts empty_counts(const ChipOrder& order) {
  OrderCounts counts;
  counts.classes.assign(order.groups.size(), 0);
  counts.groups_in_class[0] = static_cast<std::uint32_t>(order.groups.size());
  counts.most = order.most_cards;
  counts.leaves = static_cast<std::uint32_t>(order.levels.front().size());
  counts.in_leaf.assign((free_class(order.most_cards, order.most_cards) + std::size_t{1}) * counts.leaves, 0);
  for (const std::vector<Domain>& domains : order.levels) {
    counts.room.emplace_back(domains.size());
    counts.free.emplace_back(domains.size(), 0);
  }
  return counts;
}

}  // namespace

std::uint32_t free_of_class(FreeClass free_class) {
  return kTables.free[free_class];
}

std::span<const FreeClass> classes_for(std::uint32_t cards) {
  return std::span(kTables.order[cards]).first(kTables.order_sizes[cards]);
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

FreeIndex::Update::~Update() {
  for (const Run& run : runs_) count(run);
}

void FreeIndex::Update::put(GroupRef group, FreeClass now) {
  const std::array<FabricOrder::Place, 2>& places = fabric_.places_of(group);
  for (std::size_t i = 0; i < places.size(); ++i) {
    const auto [order, position] = places[i];
    if (order == UINT32_MAX || index_.is_indexed_[order] == 0) {
      continue;
    }
    const FreeClass before = index_.counts_[order].read().classes[position];
    if (before == now) {
      continue;
    }
    index_.counts_[order].write().classes[position] = now;
    const std::uint32_t leaf = fabric_.order(order).domains[0][position];
    Run& run = runs_[i];
    if (run.order != order || run.leaf != leaf || run.before != before || run.now != now) {
      count(run);
      run = {.order = order, .position = position, .leaf = leaf, .before = before, .now = now};
    }
    ++run.groups;
  }
}

void FreeIndex::Update::count(const Run& run) {
  if (run.groups == 0) {
    return;
  }
  OrderCounts& counts = index_.counts_[run.order].write();
  counts.groups_in_class[run.before] -= run.groups;
  counts.groups_in_class[run.now] += run.groups;
  if (run.before != 0) counts.in_leaf[std::size_t{run.before} * counts.leaves + run.leaf] -= run.groups;
  if (run.now != 0) counts.in_leaf[std::size_t{run.now} * counts.leaves + run.leaf] += run.groups;
  const std::uint32_t old_free = free_of_class(run.before);
  const std::uint32_t new_free = free_of_class(run.now);
  if (old_free == new_free) {
    return;
  }
  // All sixteen, whatever the chip has, and of a local row, which nothing else can be: four wide additions a level.
  RoomRow gained;
  for (std::size_t i = 0; i < kIndexedCards; ++i) {
    gained[i] = run.groups * (kTables.tasks[new_free][i] - kTables.tasks[old_free][i]);
  }
  const ChipOrder& order = fabric_.order(run.order);
  for (std::size_t level = 0; level < order.levels.size(); ++level) {
    const std::uint32_t domain = order.domains[level][run.position];
    counts.free[level][domain] += run.groups * (new_free - old_free);
    RoomRow& room = counts.room[level][domain];
    for (std::size_t i = 0; i < kIndexedCards; ++i) {
      room[i] += gained[i];
    }
  }
}

}  // namespace busbar::sched::place
