#pragma once

#include <memory>

#include "sim/fgd_policies.h"

namespace busbar::sim {

/// Moves that a run may make: this many for each hundred pods that came.
inline constexpr std::uint64_t kMovesPerHundredPods = 10;

/// The core's packing as "busbar" has it, and bounded repacking: where a pod with cards fits nowhere, one pod that
/// stands goes to another node if that makes room, the one with the least cards of those, of equal ones the first by
/// node. A different experiment from the published one, in which nothing moves; so a row of its own.
std::unique_ptr<PackPolicy> make_moving_policy(const PackWorld& world);

}  // namespace busbar::sim
