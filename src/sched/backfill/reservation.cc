#include "sched/backfill/reservation.h"

#include <algorithm>

namespace busbar::sched::backfill {

using internal::JobRecord;
using internal::State;

Reservation::Reservation(State& state, const JobRecord& head)
    : state_(&state),
      head_(head.id()),
      needs_(place::needs_of(head.request(), state.free_map())),
      waiting_since_ms_(std::max(head.submitted_ms, head.not_before_ms)) {}

std::optional<Reservation> Reservation::make(State& state, const JobRecord& head) {
  Reservation reservation(state, head);
  if (!reservation.head_fits(state.idle())) {
    return std::nullopt;
  }
  reservation.find_start();
  return reservation;
}

bool Reservation::head_fits(const place::FreeMap& map) const {
  const place::Placer placer(map, state_->fabric());
  return std::any_of(needs_.begin(), needs_.end(),
                     [&](const place::GangNeed& need) { return placer.count_fitting(need) > 0; });
}

// Jobs that are being stopped are as good as gone. One that has not started yet counts from its placement: a start that
// is expected too early admits fewer, and waiting does not move it.
std::vector<Reservation::Ending> Reservation::known_endings() const {
  std::vector<Ending> endings;
  for (const auto& [id, nothing] : state_->live()) {
    const JobRecord& record = *state_->jobs().find(id);
    const std::int64_t limit_ms = record.request().time_limit_ms;
    if (record.state == model::JobState::kStopping) {
      endings.push_back({.at_ms = state_->now_ms(), .job = id});
    } else if (limit_ms > 0) {
      const TimeMs from_ms = record.started_ms > 0 ? record.started_ms : record.placed_ms;
      endings.push_back({.at_ms = std::max(state_->now_ms(), from_ms + limit_ms), .job = id});
    }
  }
  std::sort(endings.begin(), endings.end());
  return endings;
}

// Fitting is monotone in what is free, so the first ending that suffices is found by halving.
void Reservation::find_start() {
  const std::vector<Ending> endings = known_endings();
  const auto after = [&](std::size_t count) {
    place::FreeMap map = state_->free_map();
    for (std::size_t i = 0; i < count; ++i) {
      map.release(state_->jobs().find(endings[i].job)->granted->placement);
    }
    return map;
  };
  if (endings.empty() || !head_fits(after(endings.size()))) {
    keep_only_newcomers();
    return;
  }
  std::size_t too_few = 0;
  std::size_t enough = endings.size();
  while (enough - too_few > 1) {
    const std::size_t middle = too_few + (enough - too_few) / 2;
    (head_fits(after(middle)) ? enough : too_few) = middle;
  }
  start_ms_ = endings[enough - 1].at_ms;
  while (enough < endings.size() && endings[enough].at_ms == *start_ms_) {
    ++enough;
  }
  future_ = after(enough);
}

void Reservation::keep_only_newcomers() {
  future_ = state_->idle();
  for (const auto& [id, nothing] : state_->live()) {
    const JobRecord& record = *state_->jobs().find(id);
    if (record.request().time_limit_ms == 0 && record.placed_ms >= waiting_since_ms_ &&
        record.state != model::JobState::kStopping) {
      future_.claim(record.granted->placement);
    }
  }
  fits_beside_newcomers_ = head_fits(future_);
}

bool Reservation::touches_head_nodes(const model::Placement& placement) const {
  return std::any_of(placement.tasks.begin(), placement.tasks.end(), [&](const model::TaskPlacement& task) {
    const auto groups = state_->free_map().groups_of(*state_->free_map().find_node(task.node));
    return std::any_of(groups.begin(), groups.end(), [&](const place::GroupSlot& group) {
      return std::any_of(needs_.begin(), needs_.end(),
                         [&](const place::GangNeed& need) { return need.task.chip == group.chip; });
    });
  });
}

bool Reservation::admit(const JobRecord& candidate, const model::Placement& placement) {
  const std::int64_t limit_ms = candidate.request().time_limit_ms;
  if (start_ms_.has_value()) {
    const bool is_patient = state_->now_ms() - waiting_since_ms_ < state_->policy().backfill_patience_ms;
    if (limit_ms > 0 && is_patient && state_->now_ms() + limit_ms <= *start_ms_) {
      return true;
    }
  } else if (limit_ms > 0) {
    return true;
  } else if (!fits_beside_newcomers_) {
    return !touches_head_nodes(placement);
  }
  future_.claim(placement);
  if (head_fits(future_)) {
    return true;
  }
  future_.release(placement);
  return false;
}

}  // namespace busbar::sched::backfill
