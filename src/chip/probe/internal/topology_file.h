#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "engine/device_probe.h"

namespace busbar::chip::probe {

/// What the operator says of one card.
struct CardOverride {
  std::string chip = {};  ///< Model id; empty: as found.
  bool is_ignored = false;
  std::map<std::string, std::string> values = {};  ///< CardFacts::values that discovery cannot know: "phyid" ...
  int line = 0;
};

/// The operator's file of what no scan can see: which model an ambiguous id is, which node belongs to which card, which
/// cards have fast links between them (NVLink, HCCS, xGMI). docs/chips.md.
struct TopologyFile {
  std::string path = {};
  std::map<std::string, CardOverride> cards = {};    ///< By PCI address.
  std::vector<std::vector<std::string>> links = {};  ///< Groups of PCI addresses.
  std::vector<engine::ProbeProblem> problems = {};   ///< Of the file itself; what is right in it counts.

  /// nullptr: the operator says nothing of it.
  const CardOverride* find(const std::string& address) const;
};

/// Never fails: what is wrong is a problem with its line, the rest counts. Pure.
TopologyFile parse_topology_file(std::string path, std::string_view text);

}  // namespace busbar::chip::probe
