#pragma once

#include <memory>
#include <optional>

#include "sched/fairshare/quota.h"
#include "sched/internal/state.h"

namespace busbar::sched::elastic {

/// What a gang can give up and go on without: the tasks of the highest ranks beyond the smallest size that it accepts.
/// nullptr: nothing.
std::shared_ptr<const internal::Granted> spare_of(const internal::JobRecord& record);

/// Where the gang goes on with fewer tasks: the lowest ranks of those that `map` has room for, as many as it accepts
/// and its quota allows beside what `freed` says. Claims them in both. nullopt: it cannot go on, or lost nothing.
std::optional<model::Placement> keep_part(const internal::State& state, const internal::JobRecord& record,
                                          place::FreeMap& map, fairshare::Freed& freed);

}  // namespace busbar::sched::elastic
