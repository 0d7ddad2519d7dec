#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "model/cluster.h"
#include "sched/place/free_map.h"

namespace busbar::sched::place {

/// The nodes with label `pool` = some name form a pool; kNoPool: the whole cluster.
using PoolIndex = std::uint16_t;
inline constexpr PoolIndex kNoPool = 0;
inline constexpr std::string_view kPoolLabel = "pool";

/// A part of the fabric: the groups `begin` .. `end` of a ChipOrder.
struct Domain {
  std::uint32_t begin = 0;
  std::uint32_t end = 0;
  std::string name = {};  ///< "leaf-3"; empty for a node that names no fabric, and for the whole cluster.
};

/// The groups of one chip (in one pool), neighbours in the fabric side by side: every domain is a range.
struct ChipOrder {
  ChipIndex chip = kNoChip;
  std::uint16_t most_cards = 0;                          ///< Of the chip on one node.
  std::vector<GroupRef> groups = {};                     ///< By position.
  std::vector<std::vector<Domain>> levels = {};          ///< [0] leaves, [1] spines, ..., last: the whole cluster.
  std::vector<std::vector<std::uint32_t>> domains = {};  ///< [level][position]: index in `levels[level]`.
};

/// The shape of the declared fabric: an order for each chip, and for each chip in each pool. Immutable and shared by
/// forks; made again when a node is declared.
///
/// Nodes are sorted by their path from the root, then by id. Paths may differ in length; a node whose path ends below a
/// level counts for that level as its topmost domain (itself, if it names none), so that a required level is never
/// taken for granted.
class FabricOrder {
 public:
  /// Where a group stands: position `position` of order `order`.
  struct Place {
    std::uint32_t order = UINT32_MAX;
    std::uint32_t position = 0;
  };

  FabricOrder() = default;
  FabricOrder(std::span<const model::Node* const> nodes, const FreeMap& map);

  /// UINT32_MAX if no node (of the pool) has the chip.
  std::uint32_t find(ChipIndex chip, PoolIndex pool) const;
  const ChipOrder& order(std::uint32_t index) const { return orders_[index]; }
  std::size_t order_count() const { return orders_.size(); }
  /// The places of a group: in the cluster, and in its node's pool if it has one.
  const std::array<Place, 2>& places_of(GroupRef group) const {
    return places_[first_place_[group.node] + group.index];
  }
  /// The domain of `level` around a node (see Vicinity), as an index of the order's `levels[level - 1]`; nullopt if
  /// none of the order's groups is in it. Cost: O(log groups).
  std::optional<std::uint32_t> domain_around(std::uint32_t order, std::uint32_t node, std::size_t level) const;
  /// The nodes of that domain, by the map's index, in path order.
  std::vector<std::uint32_t> nodes_around(std::uint32_t node, std::size_t level) const;
  /// The lowest level, from 1, of which one domain has all of these nodes; level_count() + 1: only the cluster.
  std::size_t common_level(std::span<const std::uint32_t> nodes) const;
  /// nullopt if no node is in a pool of that name.
  std::optional<PoolIndex> find_pool(std::string_view name) const;
  /// Where a node, by the map's index, stands among all nodes.
  std::uint32_t position(std::uint32_t node) const { return places_[first_place_[node]][0].position; }
  /// Levels between node and the whole cluster; 1 = leaves only.
  std::size_t level_count() const { return level_count_; }
  /// The order of tasks without cards: every node has a group for those. There must be a node.
  const ChipOrder& all_nodes() const { return orders_[find(kNoChip, kNoPool)]; }

 private:
  std::size_t level_index(std::size_t level) const { return std::min(level, level_count_ + 1) - 1; }

  std::vector<ChipOrder> orders_;
  std::vector<std::vector<std::uint32_t>> by_pool_;  ///< [pool][chip] -> order.
  std::vector<std::string> pools_ = {""};
  std::vector<std::uint32_t> first_place_;  ///< By node index of the map.
  std::vector<std::array<Place, 2>> places_;
  std::size_t level_count_ = 0;
};

/// "node", "leaf", "spine", "core", "level 4", ..., "cluster" for anything above `level_count`.
std::string level_name(std::size_t level, std::size_t level_count);
/// "node" 0, "leaf" 1, "spine" 2, "core" 3.
std::optional<std::size_t> level_from_name(std::string_view name);

}  // namespace busbar::sched::place
