#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "model/cluster.h"
#include "model/job.h"
#include "sched/internal/cow_map.h"

namespace busbar::sched::place {

/// A chip's place in FreeMap's table; kNoChip stands for tasks without cards.
using ChipIndex = std::uint16_t;
inline constexpr ChipIndex kNoChip = 0;
inline constexpr std::int64_t kWholeCard = 1000;

struct CardSlot {
  ChipIndex chip = kNoChip;
  std::uint16_t link_group = 0;
  std::uint16_t used = 0;  ///< Milli-cards.
  bool is_healthy = true;
};

/// The cards of one chip on one node. Every node also has a group of kNoChip, for tasks without cards.
struct GroupSlot {
  std::uint32_t node = 0;
  ChipIndex chip = kNoChip;
  std::uint16_t total = 0;
  std::uint16_t free_whole = 0;  ///< Healthy cards that nobody uses.
  std::uint16_t partial = 0;     ///< Healthy cards in use by fractions, with room left.
};

struct NodeSlot {
  model::NodeId id = {};
  std::uint32_t first_card = 0;
  std::uint32_t first_group = 0;
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
/// Flat arrays of small structs, so that a copy (a fork, a trial) is a few memcpy. Nodes never leave; one that is
/// declared again keeps its slot.
class FreeMap {
 public:
  FreeMap();

  /// A node joined, or its declaration, state or health changed; what is in use stays in use.
  void put_node(const model::Node& node);

  bool can_claim(const model::Placement& placement) const;
  /// The placement must pass can_claim().
  void claim(const model::Placement& placement) { change(placement, 1); }
  void release(const model::Placement& placement) { change(placement, -1); }

  /// Nothing in use; unusable nodes and cards stay unusable.
  FreeMap idle() const;
  /// Nothing in use, everything in order: the declared cluster.
  FreeMap declared() const;

  const NodeSlot* find_node(model::NodeId id) const;
  std::span<const CardSlot> cards_of(const NodeSlot& node) const {
    return {cards_.data() + node.first_card, node.card_count};
  }
  std::span<const GroupSlot> groups_of(const NodeSlot& node) const {
    return {groups_.data() + node.first_group, node.group_count};
  }
  const GroupSlot& group(std::uint32_t index) const { return groups_[index]; }
  const NodeSlot& node(std::uint32_t index) const { return nodes_[index]; }
  std::span<const NodeSlot> nodes() const { return nodes_; }

  /// kNoChip if no node has it.
  ChipIndex find_chip(std::string_view name) const;
  const std::string& chip_name(ChipIndex chip) const { return (*chips_)[chip]; }
  /// Chips that nodes have, in name order.
  std::vector<ChipIndex> chips_by_name() const;

 private:
  ChipIndex intern(std::string_view name);
  void fill_cards(NodeSlot& slot, const model::Node& node);
  void fill_groups(std::uint32_t index);
  void recount(const NodeSlot& slot);
  void change(const model::Placement& placement, int sign);

  std::vector<NodeSlot> nodes_;
  std::vector<CardSlot> cards_;
  std::vector<GroupSlot> groups_;
  internal::CowMap<model::NodeId, std::uint32_t> slots_;
  std::shared_ptr<const std::vector<std::string>> chips_;
};

}  // namespace busbar::sched::place
