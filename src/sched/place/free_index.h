#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "sched/internal/cow_map.h"
#include "sched/place/fabric_order.h"

namespace busbar::sched::place {

/// Groups of a chip are told apart by how many of their cards are free, and how many of those are in one link group:
/// pairs (free, together), 1 <= together <= free <= kIndexedCards, numbered densely; class 0: nothing is free.
using FreeClass = std::uint8_t;
/// Chips of which a node has more cards (CPU cards of a large machine) are not indexed: the placer measures each node.
inline constexpr std::uint32_t kIndexedCards = 16;

FreeClass free_class(std::uint32_t free, std::uint32_t together);
std::uint32_t free_of_class(FreeClass free_class);
/// Classes that hold a task of `cards` cards, best first: those that keep it in one link group before those that split
/// it, then the fewest free, then the smallest link groups.
std::span<const FreeClass> classes_for(std::uint32_t cards);

/// What is free in each domain of one order.
struct OrderCounts {
  std::vector<FreeClass> classes = {};                  ///< By position; class 0 for unusable nodes.
  std::array<std::uint32_t, 256> groups_in_class = {};  ///< In the whole order.
  std::vector<std::uint32_t> in_leaf = {};              ///< [class * leaves + leaf]: groups of that class.
  /// [level][domain * most + cards - 1]: tasks of `cards` cards that fit in the domain.
  std::vector<std::vector<std::uint32_t>> room = {};
  std::uint32_t leaves = 0;
  std::uint32_t most = 0;  ///< Cards of the chip on one node, at most.
};

/// Counts of free cards by domain, kept up to date: what makes a decision cost O(levels + leaves + tasks of the gang)
/// instead of a look at every node. Cards only: CPU and memory are checked on the nodes that it names. Copies share
/// until they write.
class FreeIndex {
 public:
  FreeIndex() = default;
  explicit FreeIndex(const FabricOrder& fabric);

  /// nullptr: the order is not indexed.
  const OrderCounts* find(std::uint32_t order) const {
    return is_indexed_[order] != 0 ? &counts_[order].read() : nullptr;
  }
  /// A group's free cards are now of `now`; both of its places are counted again.
  void put(const FabricOrder& fabric, GroupRef group, FreeClass now);

 private:
  std::vector<std::uint8_t> is_indexed_;
  std::vector<internal::CowPtr<OrderCounts>> counts_;
};

}  // namespace busbar::sched::place
