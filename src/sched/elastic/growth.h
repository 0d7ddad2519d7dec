#pragma once

#include <optional>
#include <string>

#include "sched/internal/state.h"

namespace busbar::sched::elastic {

/// Where a gang goes on with more tasks: those that it has, and new ones near them; ranks along the fabric. Of a live
/// gang those that it has keep their ranks, and the new ones come after them, along the fabric among themselves.
struct Growth {
  model::Placement placement = {};  ///< Of the whole gang.
  model::Placement added = {};      ///< The new tasks alone, as their cards are claimed.
  std::uint32_t from_tasks = 0;
};

/// The largest size that the job accepts, its quota allows and what is free holds, at its required level; nullopt: none
/// is larger than what it has. The job holds cards. Cost: a few placement questions.
std::optional<Growth> find_growth(internal::State& state, const internal::JobRecord& record);

/// Whether a stop now, for that growth, is worth more than it costs: the work is done `from/to` times as fast (as if
/// speed-up were linear), so this part of the time that the job is expected to run still is saved; it costs what was
/// done since the last checkpoint, and `restart_cost_ms`; of a live gang only `live_resize_cost_ms`. The sentence says
/// both; nullopt: not worth it. The job has saved, or is live.
std::optional<std::string> why_it_pays(const internal::State& state, const internal::JobRecord& record,
                                       const Growth& growth);

/// Some of it is in a domain that is kept for a job, other than `but`, that is promised a start: who goes on there ends
/// later than was reckoned with.
bool is_near_promised(internal::State& state, const model::Placement& placement, model::JobId but = {});

/// It may be stopped for its own good: a good while after it started, was evicted or last resized. Of a live gang: it
/// was not resized just now.
bool may_resize(const internal::State& state, const internal::JobRecord& record);

}  // namespace busbar::sched::elastic
