#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "sched/fairshare/quota.h"
#include "sched/internal/state.h"

namespace busbar::sched::elastic {

/// What a gang can give up and go on without: the tasks of the highest ranks beyond the smallest size that it accepts.
/// nullptr: nothing.
std::shared_ptr<const internal::Granted> spare_of(const internal::JobRecord& record);

/// The sizes that it accepts below the one that it has, ascending.
std::vector<std::uint32_t> smaller_sizes(const internal::JobRecord& record);
/// What it gives up if its first `kept` tasks go on.
std::shared_ptr<const internal::Granted> part_beyond(const internal::JobRecord& record, std::uint32_t kept);

/// Where the gang goes on with fewer tasks: the lowest ranks of those that `map` has room for, as many as it accepts
/// and its quota allows beside what `freed` says. Claims them in both. nullopt: it cannot go on, or lost nothing.
std::optional<model::Placement> keep_part(const internal::State& state, const internal::JobRecord& record,
                                          place::FreeMap& map, fairshare::Freed& freed);

/// The same of a live gang that goes on as it is but for its last tasks: how many go on. nullopt: that cannot be.
std::optional<std::uint32_t> keep_first(const internal::State& state, const internal::JobRecord& record,
                                        place::FreeMap& map, fairshare::Freed& freed);

}  // namespace busbar::sched::elastic
