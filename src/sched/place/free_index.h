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

constexpr FreeClass free_class(std::uint32_t free, std::uint32_t together) {
  return static_cast<FreeClass>(free == 0 ? 0 : free * (free - 1) / 2 + together);
}
std::uint32_t free_of_class(FreeClass free_class);
/// Classes that hold a task of `cards` cards, best first: those that keep it in one link group before those that split
/// it, then the fewest free, then the smallest link groups.
std::span<const FreeClass> classes_for(std::uint32_t cards);

/// [cards - 1]: tasks of `cards` cards that fit.
using RoomRow = std::array<std::uint32_t, kIndexedCards>;

/// What is free in each domain of one order.
struct OrderCounts {
  std::vector<FreeClass> classes = {};                  ///< By position; class 0 for unusable nodes.
  std::array<std::uint32_t, 256> groups_in_class = {};  ///< In the whole order.
  std::vector<std::uint32_t> in_leaf = {};              ///< [class * leaves + leaf]: groups of that class.
  std::vector<std::vector<RoomRow>> room = {};          ///< [level][domain].
  std::vector<std::vector<std::uint32_t>> free = {};    ///< Same: free cards, side by side for who compares domains.
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
  class Update;

 private:
  std::vector<std::uint8_t> is_indexed_;
  std::vector<internal::CowPtr<OrderCounts>> counts_;
};

/// Tells an index what changed. Groups side by side that change alike, as those of a gang do, are counted in one go, so
/// the counts are right only once the update is gone. Borrows both.
class FreeIndex::Update {
 public:
  Update(FreeIndex& index, const FabricOrder& fabric) : index_(index), fabric_(fabric) {}
  ~Update();
  Update(const Update&) = delete;
  Update& operator=(const Update&) = delete;

  /// A group's free cards are now of `now`; both of its places are counted again.
  void put(GroupRef group, FreeClass now);

 private:
  /// Groups of one leaf that went from one class to another.
  struct Run {
    std::uint32_t order = UINT32_MAX;
    std::uint32_t position = 0;  ///< Of one of them.
    std::uint32_t leaf = 0;
    std::uint32_t groups = 0;
    FreeClass before = 0;
    FreeClass now = 0;
  };

  void count(const Run& run);

  FreeIndex& index_;
  const FabricOrder& fabric_;
  std::array<Run, 2> runs_ = {};  ///< One for each of the places that groups have.
};

}  // namespace busbar::sched::place
