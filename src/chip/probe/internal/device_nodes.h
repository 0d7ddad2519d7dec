#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "chip/probe/internal/identify.h"

namespace busbar::chip::probe {

/// Names of CardFacts::values with their values.
using NodeValues = std::map<std::string, std::string>;

/// "/dev/nvidia{minor}" filled in; nullopt while a value is missing. Of "A|B" the first that can be filled in; of
/// "HOST->CONTAINER" the host's side.
std::optional<std::string> fill_pattern(std::string_view pattern, const NodeValues& values);

/// The number that stands for the one missing value: "/dev/davinci{phyid}" with "/dev/davinci3" -> phyid, 3. nullopt:
/// not of this form.
std::optional<std::pair<std::string, std::string>> match_pattern(std::string_view pattern, std::string_view path,
                                                                 const NodeValues& values);

/// How one card is reached.
struct CardNodes {
  NodeValues values = {};
  std::vector<std::string> own = {};  ///< Nodes that sysfs names below the device and that exist.
  /// Why no container can be shown this card; empty: it can.
  std::string missing = {};
};
struct AssignedNodes {
  std::vector<CardNodes> cards = {};  ///< In the order of the devices.
  std::vector<engine::ProbeProblem> problems = {};
};

/// Finds each card's own nodes: by sysfs, by what the driver says in /proc, by the operator's word; and where only the
/// numbers in /dev are left, by order, but only if there are as many as cards: every node then still belongs to one
/// card alone. `known`: what an earlier look found, by address, so that a node that vanishes moves no other card's.
AssignedNodes assign_nodes(const HostRoot& root, const TopologyFile& topology, const std::vector<FoundDevice>& devices,
                           const std::map<std::string, NodeValues>& known);

/// The patterns of a card's own nodes by its model or family; empty: nothing is known but sysfs.
std::vector<std::string> own_patterns(const Identity& identity);

}  // namespace busbar::chip::probe
