#pragma once

#include <vector>

#include "chip/catalogue.h"
#include "chip/probe/internal/card_book.h"
#include "chip/probe/internal/device_nodes.h"
#include "chip/probe/internal/nvml.h"

namespace busbar::chip::probe {

/// Everything that was found of one device. Borrows.
struct CardInput {
  const HostRoot& root;
  const Catalogue& catalogue;
  const FoundDevice& found;
  CardNodes nodes = {};
  const NvmlSnapshot& nvml;
};

/// The cards of one device: one, or its partitions.
struct CardParts {
  std::vector<SeenCard> cards = {};
  std::vector<engine::ProbeProblem> problems = {};
};

/// Puts together what sysfs, the catalogue and a vendor's library say. Index and link group are not set.
CardParts make_cards(CardInput input);

}  // namespace busbar::chip::probe
