#pragma once

#include <memory>

#include "sim/fgd_policies.h"

namespace busbar::sim {

/// The protocol through the scheduling core itself, as the server runs it: each pod is a job that is submitted, judged,
/// placed, recorded and hashed; one that does not start is cancelled. `has_seen_the_list`: as many jobs as the list has
/// pods were submitted before the first node joined, so that the core knows what to expect; else it learns as it goes.
std::unique_ptr<PackPolicy> make_core_policy(const PackWorld& world, bool has_seen_the_list);

}  // namespace busbar::sim
