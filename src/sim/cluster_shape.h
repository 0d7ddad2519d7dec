#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/error.h"
#include "model/cluster.h"

namespace busbar::sim {

/// A regular cluster: leaves of `nodes_per_leaf` nodes, spines of `leaves_per_spine` leaves.
struct ClusterShape {
  std::uint32_t cards = 64;
  std::uint32_t cards_per_node = 8;
  std::uint32_t nodes_per_leaf = 8;
  std::uint32_t leaves_per_spine = 8;
  std::string chip = "h100";
  std::int64_t cpus_per_node_milli = 0;  ///< 0: not limited.
  std::int64_t memory_per_node = 0;      ///< 0: not limited.

  std::uint32_t nodes() const { return (cards + cards_per_node - 1) / cards_per_node; }
};

/// kInvalidArgument where a number is 0 or too large.
Result<void> validate(const ClusterShape& shape);

/// The nodes "n1", "n2", ..., ids from 1; the last one may have fewer cards. The shape must be valid.
std::vector<model::Node> make_nodes(const ClusterShape& shape);

}  // namespace busbar::sim
