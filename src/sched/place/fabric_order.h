#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "model/cluster.h"
#include "sched/place/free_map.h"

namespace busbar::sched::place {

/// A part of the fabric: the groups `begin` .. `end` of a ChipOrder.
struct Domain {
  std::uint32_t begin = 0;
  std::uint32_t end = 0;
  std::string name = {};  ///< "leaf-3"; empty for a node that names no fabric.
};

/// The groups of one chip, neighbours in the fabric side by side: every domain is a range.
struct ChipOrder {
  std::vector<std::uint32_t> groups = {};        ///< Indices of FreeMap::group().
  std::vector<std::vector<Domain>> levels = {};  ///< [0] leaves, [1] spines, ...
};

/// The shape of the declared fabric, by chip. Immutable and shared by forks; made again when a node is declared.
///
/// Nodes are sorted by their path from the root, then by id. Paths may differ in length; a node whose path ends below a
/// level counts for that level as its topmost domain (itself, if it names none), so that a required level is never
/// taken for granted.
class FabricOrder {
 public:
  FabricOrder() = default;
  FabricOrder(std::span<const model::Node* const> nodes, const FreeMap& map);

  /// Empty if no node has the chip.
  const ChipOrder& of_chip(ChipIndex chip) const;
  /// Levels between node and the whole cluster; 1 = leaves only.
  std::size_t level_count() const { return level_count_; }

 private:
  std::vector<ChipOrder> chips_;
  std::size_t level_count_ = 0;
};

/// "node", "leaf", "spine", "level 3", ..., "cluster" for anything above `level_count`.
std::string level_name(std::size_t level, std::size_t level_count);

}  // namespace busbar::sched::place
