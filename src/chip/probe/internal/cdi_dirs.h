#pragma once

#include <string>
#include <vector>

#include "chip/card_facts.h"
#include "chip/cdi.h"
#include "chip/probe/internal/host_root.h"

namespace busbar::chip::probe {

struct CdiDirs {
  std::vector<CdiSpec> specs = {};
  std::vector<engine::ProbeProblem> problems = {};  ///< One for each file that is no spec; the others count.
};

/// The specs of /var/run/cdi, which win, and of /etc/cdi.
CdiDirs read_cdi_dirs(const HostRoot& root);

/// The qualified device ("nvidia.com/gpu=0") of a spec of this kind that stands for exactly one card: it has the card's
/// node and none of the other cards', or, where it names no node of any card, the card's unique id or index is its
/// name. Empty: there is none.
std::string cdi_device_of(const std::vector<CdiSpec>& specs, const std::string& kind, const CardFacts& card,
                          const std::vector<std::string>& own_nodes, const std::vector<std::string>& other_nodes);

}  // namespace busbar::chip::probe
