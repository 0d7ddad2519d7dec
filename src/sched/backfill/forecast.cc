#include "sched/backfill/forecast.h"

#include <algorithm>

#include "sched/place/free_part.h"

namespace busbar::sched::backfill {

using internal::JobRecord;
using internal::State;

namespace {

std::vector<place::GangNeed> smallest_needs(const JobRecord& job, const place::FreeMap& map, const Bounds& bounds) {
  std::vector<place::GangNeed> needs = place::needs_of(job.request(), map);
  for (place::GangNeed& need : needs) {
    need.max_tasks = need.min_tasks;
    need.allowed = bounds.allowed;
    need.within = bounds.within;
  }
  return needs;
}

}  // namespace

std::optional<model::Placement> place_smallest(State& state, const JobRecord& job, const place::FreeMap& map,
                                               const Bounds& bounds) {
  const place::Placer placer(map, state.fabric());
  for (const place::GangNeed& need : smallest_needs(job, map, bounds)) {
    if (auto found = placer.place(need)) {
      return std::move(found->placement);
    }
  }
  return std::nullopt;
}

bool fits(State& state, const JobRecord& job, const place::FreeMap& map, const Bounds& bounds) {
  const place::Placer placer(map, state.fabric());
  const auto needs = smallest_needs(job, map, bounds);
  return std::any_of(needs.begin(), needs.end(),
                     [&](const place::GangNeed& need) { return placer.count_fitting(need) > 0; });
}

// Jobs that are being stopped are as good as gone. One that has not started
// yet counts from its placement: a start that is expected too early admits fewer, and waiting does not move it.
Forecast::Forecast(State& state) : state_(state) {
  state.fabric();  // Copies of the free map have its counts by domain.
  now_ = state.free_map();
  for (const auto& [id, nothing] : state.live()) {
    const JobRecord& record = *state.jobs().find(id);
    const std::int64_t limit_ms = record.request().time_limit_ms;
    if (record.is_ending()) {
      now_.release(record.granted->placement);
    } else if (limit_ms > 0) {
      const TimeMs from_ms = record.started_ms > 0 ? record.started_ms : record.placed_ms;
      endings_.push_back({.at_ms = std::max(state.now_ms(), from_ms + limit_ms), .job = id});
    }
  }
  for (const auto& [id, version] : state.kept()) {
    endings_.push_back({.at_ms = std::max(state.now_ms(), state.jobs().find(id)->kept->until_ms), .job = id});
  }
  std::sort(endings_.begin(), endings_.end());
  // What others have a claim on goes to them, and is theirs for a time that is not known.
  for (const internal::Hold& hold : state.holds()) {
    now_.release(hold.part.placement);
  }
  for (const internal::Hold& hold : state.holds()) {
    (void)place::claim_free_part(now_, hold.wanted->placement);
  }
}

place::FreeMap Forecast::free_for(const JobRecord& job) const {
  place::FreeMap map = now_;
  for (const auto& [id, nothing] : state_.yielding()) {
    const JobRecord& record = *state_.jobs().find(id);
    if (internal::yields_to(record, job)) {
      map.release(record.granted->placement);
    }
  }
  return map;
}

void Forecast::release(place::FreeMap& map, const JobRecord& job, std::size_t first, std::size_t last) const {
  for (std::size_t i = first; i < last; ++i) {
    const JobRecord& record = *state_.jobs().find(endings_[i].job);
    if (!internal::yields_to(record, job)) {
      map.release(record.occupied()->placement);
    }
  }
}

std::size_t Forecast::endings_until(TimeMs at_ms) const {
  const auto end = std::upper_bound(endings_.begin(), endings_.end(), at_ms,
                                    [](TimeMs time, const Ending& ending) { return time < ending.at_ms; });
  return static_cast<std::size_t>(end - endings_.begin());
}

place::FreeMap Forecast::at(TimeMs at_ms, const JobRecord& job) const {
  place::FreeMap map = free_for(job);
  release(map, job, 0, endings_until(at_ms));
  return map;
}

// Fitting is monotone in what is free, so the first ending that suffices is found by halving. Each half is released
// once: the part that does not suffice is the base of the next look.
std::optional<Forecast::Start> Forecast::earliest(const JobRecord& job, const Bounds& bounds) const {
  std::size_t too_few = 0;
  std::size_t enough = endings_.size();
  place::FreeMap base = free_for(job);
  if (auto plan = place_smallest(state_, job, base, bounds)) {
    return Start{.at_ms = state_.now_ms(), .plan = *std::move(plan)};
  }
  place::FreeMap all = base;
  release(all, job, 0, enough);
  if (endings_.empty() || !fits(state_, job, all, bounds)) {
    return std::nullopt;
  }
  while (enough - too_few > 1) {
    const std::size_t middle = too_few + (enough - too_few) / 2;
    place::FreeMap map = base;
    release(map, job, too_few, middle);
    if (fits(state_, job, map, bounds)) {
      enough = middle;
    } else {
      too_few = middle;
      base = std::move(map);
    }
  }
  const TimeMs at_ms = endings_[enough - 1].at_ms;
  release(base, job, too_few, endings_until(at_ms));
  auto plan = place_smallest(state_, job, base, bounds);
  return plan.has_value() ? std::optional(Start{.at_ms = at_ms, .plan = *std::move(plan)}) : std::nullopt;
}

}  // namespace busbar::sched::backfill
