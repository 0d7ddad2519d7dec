#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "model/job.h"

namespace busbar::sim {

/// A fabric as the model sees it: each node's domain on each level, and how
/// much each domain's links upwards carry.
///
/// A node's own link (all its network cards together) carries 1 in each
/// direction. The links of a domain upwards carry nodes / oversubscription: 1
/// means full bisection.
struct ModelFabric {
  struct Level {
    std::vector<std::uint32_t> domain_of_node = {};
    std::vector<double> capacity = {};  ///< Of each domain, in links of a node.
  };
  std::vector<Level> levels = {};  ///< Leaves first.

  /// Levels by domain names from the leaf upwards; every node names as many.
  /// `oversubscription[i]` is that of level i.
  static ModelFabric make(std::span<const std::vector<std::string>> paths, std::span<const double> oversubscription);
};

/// Nodes of one gang in rank order (a node once for each of its tasks).
using GangNodes = std::vector<std::uint32_t>;

enum class Collective { kRing, kTree };

/// Predicted, not measured: the part of the bandwidth of its nodes' links that
/// each gang's all-reduce reaches while all gangs run theirs at once; 1 is the
/// best. Gangs on one node count as 1.
///
/// Cost model of Thakur, Rabenseifner, Gropp 2005 ("Optimization of Collective
/// Communication Operations in MPICH"), bandwidth terms only: a ring sends 2
/// (n-1)/n of the data from each rank to the next; two complementary binary
/// trees (Sanders, Speck, Traeff 2009, as in NCCL 2.4) send half of it each
/// along every edge in both directions. Flows share links evenly, so a gang
/// gets 1 / (load / capacity) of its most loaded link, where load counts the
/// flows of all gangs; at most 1.
std::vector<double> predict_efficiency(const ModelFabric& fabric, std::span<const GangNodes> gangs,
                                       Collective collective);

}  // namespace busbar::sim
