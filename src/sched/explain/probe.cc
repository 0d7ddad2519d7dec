#include "sched/explain/probe.h"

#include <algorithm>
#include <utility>

#include "sched/gang/affinity.h"
#include "sched/place/placer.h"
#include "sched/windows/closed.h"

namespace busbar::sched::explain {

Probe::Probe(internal::State state, model::JobId job)
    : state_(std::move(state)),
      job_(*state_.jobs().find(job)),
      allowed_(place::all_but(state_.free_map(), windows::closed_nodes(state_, job_, state_.now_ms()))),
      is_blind_(!gang::nodes_kept_apart(state_, job_).empty()) {
  state_.fabric();  // So that the map has its counts.
  map_ = state_.free_map();
}

std::uint32_t Probe::count(std::uint32_t least, std::uint32_t most) {
  std::uint32_t best = 0;
  for (place::GangNeed need : place::needs_of(job_.request(), map_)) {
    const fairshare::Room room = fairshare::room_for(state_, job_.request(), map_.chip_name(need.task.chip),
                                                     {.each = need.task.milli_cards(), .most = most, .freed = &freed_});
    need.min_tasks = least;
    need.max_tasks = static_cast<std::uint32_t>(room.tasks);
    need.allowed = allowed_;
    if (need.max_tasks >= least) {
      best = std::max(best, place::Placer(map_, state_.fabric()).count_fitting(need));
    }
  }
  return best;
}

bool Probe::may_start_without(std::span<const model::JobId> gone) {
  if (is_blind_) {
    return true;
  }
  for (const model::JobId id : gone) {
    const internal::JobRecord& record = *state_.jobs().find(id);
    map_.release(record.granted->placement);
    freed_.add(state_, record);
  }
  const std::uint32_t least = job_.request().min_nodes;
  const bool may_start = count(least, least) > 0;
  for (const model::JobId id : gone) {
    const internal::JobRecord& record = *state_.jobs().find(id);
    map_.claim(record.granted->placement);
    freed_.remove(state_, record);
  }
  return may_start;
}

std::uint32_t Probe::tasks_that_may_start(std::uint32_t most) {
  return is_blind_ ? most : count(1, most);
}

}  // namespace busbar::sched::explain
