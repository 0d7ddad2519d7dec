#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "model/cluster.h"
#include "model/job.h"
#include "sched/internal/cow_map.h"
#include "sched/place/link_layout.h"

namespace busbar::sched::place {

class FabricOrder;
class FreeIndex;
struct OrderCounts;

/// A chip's place in FreeMap's table; kNoChip stands for tasks without cards.
using ChipIndex = std::uint16_t;
inline constexpr ChipIndex kNoChip = 0;
inline constexpr std::int64_t kWholeCard = 1000;
/// The chip whose cards are CPUs.
inline constexpr std::string_view kCpuChip = "cpu";

struct CardSlot {
  ChipIndex chip = kNoChip;
  std::uint16_t link_group = 0;
  std::uint16_t used = 0;     ///< Milli-cards.
  std::uint16_t ordinal = 0;  ///< Among the node's cards of its chip.
  bool is_healthy = true;
};

/// The cards of one chip on one node. Every node also has a group of kNoChip, for tasks without cards.
struct GroupSlot {
  std::uint32_t node = 0;
  ChipIndex chip = kNoChip;
  std::uint16_t total = 0;
  std::uint16_t free_whole = 0;  ///< Healthy cards that nobody uses.
  std::uint16_t partial = 0;     ///< Healthy cards in use by fractions, with room left.
  std::uint16_t together = 0;    ///< Of the free whole ones, the most in one link group.
  std::uint16_t layout = 0;      ///< Index for FreeMap::layout(); meaningless above kMaskCards.
  CardMask free_mask = 0;        ///< The free whole ones; 0 above kMaskCards.
};

/// A group by its node's index and its place among the node's groups.
struct GroupRef {
  std::uint32_t node = 0;
  std::uint16_t index = 0;
};

struct NodeSlot {
  model::NodeId id = {};
  std::uint32_t index = 0;
  std::uint32_t first_card = 0;   ///< Within the node's block.
  std::uint32_t first_group = 0;  ///< Same.
  std::uint16_t card_count = 0;
  std::uint16_t group_count = 0;
  std::uint16_t accelerators = 0;  ///< Cards that are not CPU cards.
  bool is_usable = true;
  bool limits_cpus = false;    ///< False: the node did not say how many CPUs it has.
  bool limits_memory = false;  ///< Same for memory.
  std::int64_t cpus_total = 0;
  std::int64_t cpus_free = 0;
  std::int64_t memory_total = 0;
  std::int64_t memory_free = 0;
};

/// What is free on every node: the placer's index. Derived from nodes and live placements, never hashed.
///
/// Blocks of sixteen nodes that copies share until one writes, so that a copy (a fork, a trial) costs a reference for
/// each block, and a change afterwards the block it is in. Nodes never leave; one that is declared again keeps its
/// slot.
class FreeMap {
 public:
  FreeMap();
  ~FreeMap();
  FreeMap(const FreeMap&);
  FreeMap& operator=(const FreeMap&);
  FreeMap(FreeMap&&) noexcept;
  FreeMap& operator=(FreeMap&&) noexcept;

  /// A node joined, or its declaration, state or health changed; what is in use stays in use. Drops the index if the
  /// node is new or has other cards.
  void put_node(const model::Node& node);

  /// Keeps counts by domain of this fabric from now on (O(nodes) once, then O(levels) a changed node).
  void attach(std::shared_ptr<const FabricOrder> fabric);
  /// The fabric may have changed.
  void detach();
  /// nullptr: nothing is attached.
  const FabricOrder* fabric() const { return fabric_.get(); }
  /// nullptr: no such order, or one that is not counted. Needs a fabric.
  const OrderCounts* counts(std::uint32_t order) const;

  bool can_claim(const model::Placement& placement) const;
  /// The placement must pass can_claim().
  void claim(const model::Placement& placement) { change(placement, 1); }
  void release(const model::Placement& placement) { change(placement, -1); }

  /// For indexes of others: node indices in the order in which they changed, from `since` (a former change_count()) on.
  /// nullopt: that is too long ago, look at every node.
  std::optional<std::span<const std::uint32_t>> changes_since(std::uint64_t since) const;
  std::uint64_t change_count() const { return change_count_; }

  /// Nothing in use; unusable nodes and cards stay unusable.
  FreeMap idle() const;
  /// Nothing in use, everything in order: the declared cluster.
  FreeMap declared() const;

  const NodeSlot* find_node(model::NodeId id) const;
  const NodeSlot& node(std::uint32_t index) const { return block_of(index).nodes[index % kBlock]; }
  std::uint32_t node_count() const { return node_count_; }
  std::span<const CardSlot> cards_of(const NodeSlot& node) const {
    return {block_of(node.index).cards.data() + node.first_card, node.card_count};
  }
  std::span<const GroupSlot> groups_of(const NodeSlot& node) const {
    return {block_of(node.index).groups.data() + node.first_group, node.group_count};
  }
  const GroupSlot& group(GroupRef group) const {
    const Block& block = block_of(group.node);
    return block.groups[block.nodes[group.node % kBlock].first_group + group.index];
  }
  const LinkLayout& layout(const GroupSlot& group) const { return *layouts_.read()[group.layout]; }

  /// kNoChip if no node has it.
  ChipIndex find_chip(std::string_view name) const;
  const std::string& chip_name(ChipIndex chip) const { return chips_.read()[chip]; }
  /// Chips that nodes have, in name order.
  std::vector<ChipIndex> chips_by_name() const;

  /// Bytes of this map and its index, without what only allocators know.
  std::size_t memory_bytes() const;

 private:
  static constexpr std::uint32_t kBlock = 16;
  struct Block {
    std::vector<NodeSlot> nodes = {};
    std::vector<CardSlot> cards = {};
    std::vector<GroupSlot> groups = {};
  };

  const Block& block_of(std::uint32_t node) const { return blocks_[node / kBlock].read(); }
  std::optional<std::uint32_t> index_of(model::NodeId id) const;
  NodeSlot& add_node(model::NodeId id);
  ChipIndex intern_chip(std::string_view name);
  std::uint16_t intern_layout(std::span<const CardPosition> cards);
  void fill_cards(Block& block, NodeSlot& slot, const model::Node& node);
  void fill_groups(Block& block, NodeSlot& slot, const model::Node& node);
  void recount(Block& block, const NodeSlot& slot) const;
  void count_together(const Block& block, const NodeSlot& slot, GroupSlot& group) const;
  void note_change(const NodeSlot& slot);
  void change(const model::Placement& placement, int sign);
  void change_cards(Block& block, const NodeSlot& slot, std::span<const std::uint16_t> cards, int milli) const;
  FreeMap reset(bool repairs) const;

  std::vector<internal::CowPtr<Block>> blocks_;
  std::uint32_t node_count_ = 0;
  internal::CowPtr<std::vector<std::uint32_t>> dense_slots_;  ///< By node id, while ids are small; UINT32_MAX: none.
  internal::CowMap<model::NodeId, std::uint32_t> slots_;      ///< The other ids.
  internal::CowPtr<std::vector<std::string>> chips_;
  internal::CowPtr<std::vector<std::shared_ptr<const LinkLayout>>> layouts_;
  std::shared_ptr<const FabricOrder> fabric_;
  std::unique_ptr<FreeIndex> index_;    ///< nullptr without a fabric.
  std::vector<std::uint32_t> changes_;  ///< The last of `change_count_`.
  std::uint64_t change_count_ = 0;
};

}  // namespace busbar::sched::place
