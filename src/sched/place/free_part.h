#pragma once

#include "sched/place/free_map.h"

namespace busbar::sched::place {

/// What is free of a wanted placement.
struct FreePart {
  /// For FreeMap::release(). A card of which only some is free is a task of its own here.
  model::Placement placement = {};
  bool is_whole = false;  ///< Nothing is missing.
};

/// Claims what is free of a wanted placement: of each card, of CPU and of memory as much as there is. So nobody else
/// can take any of it while the rest is in use. The nodes must exist.
FreePart claim_free_part(FreeMap& map, const model::Placement& wanted);

/// The nodes and cards of the placement exist, whoever uses them.
bool exists_on(const FreeMap& map, const model::Placement& placement);

}  // namespace busbar::sched::place
