#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

namespace busbar::chip {

/// What was found of one card on its node at run time and is needed to show it to a container. Belongs to the
/// `model::Card` with the same `device`; the scheduler never sees it.
struct CardFacts {
  std::string device = {};  ///< As model::Card::device: "pci:0000:3b:00.0", "cpu:3"; of a partition "mig:UUID".
  std::string chip = {};    ///< Model id, or `undecided_chip`.
  std::string family = {};  ///< Family id; empty: unknown.
  std::string uuid = {};    ///< The vendor's unique id, where a library told it.
  /// Numbers that patterns of the family's rule refer to: "index" (the driver's own numbering), "minor", "n", "phyid",
  /// "group", "bdf"; for partitions "gi", "ci" too.
  std::map<std::string, std::string> values = {};
  /// Device nodes in sysfs that belong to this card alone; the only nodes given where the family has no rule.
  std::vector<std::string> device_nodes = {};
  /// Partition profile; empty: a whole card.
  std::string partition = {};
  /// Qualified CDI devices that stand for exactly this card: "nvidia.com/gpu=0".
  std::vector<std::string> cdi_devices = {};
  /// How jobs on parts of this card are kept apart: "none", "mps", "hook:PATH".
  std::string isolation = "none";
  friend bool operator==(const CardFacts&, const CardFacts&) = default;
};

}  // namespace busbar::chip
