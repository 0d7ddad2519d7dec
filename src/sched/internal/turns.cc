#include <algorithm>

#include "sched/internal/state.h"

// Who may be stopped and when, whose turn it is by what was learnt, who may grow, and how many may be moved.
namespace busbar::sched::internal {
namespace {

constexpr std::int64_t kHourMs = 3'600'000;

// Of what it would take at least, so that it does not change with where it was placed.
std::int64_t smallest_milli(const JobRequest& request) {
  std::int64_t each = 0;
  for (const model::AcceleratorRequest& accelerator : request.accelerators) {
    each = each == 0 ? accelerator.per_node.value : std::min(each, accelerator.per_node.value);
  }
  return each * request.min_nodes;
}

}  // namespace

std::int64_t served_ms(const JobRecord& record, TimeMs now_ms) {
  return record.served_ms + (record.granted != nullptr && record.started_ms > 0 ? now_ms - record.started_ms : 0);
}

bool is_growable(const JobRecord& record) {
  const bool can_by_a_stop = record.saved_ms > 0 && record.request().is_preemptible && !record.request().is_live;
  return record.state == model::JobState::kRunning && (can_by_a_stop || record.is_resizable_live()) &&
         !record.is_ending() && record.granted->placement.tasks.size() < record.request().max_nodes;
}

TimeMs protected_until(const Policy& policy, const JobRecord& record) {
  const TimeMs from_ms = record.started_ms > 0 ? record.started_ms : record.placed_ms;
  const TimeMs evicted_until_ms = record.evicted_ms > 0 ? record.evicted_ms + policy.eviction_interval_ms : from_ms;
  return std::max(from_ms + record.request().min_run_time_ms, evicted_until_ms);
}

std::optional<TimeMs> protection_of(const Policy& policy, const JobRecord& record, TimeMs now_ms) {
  TimeMs until_ms = now_ms;
  if (record.granted != nullptr && record.request().is_preemptible && !record.stop.has_value()) {
    until_ms = protected_until(policy, record);
  } else if (record.state == model::JobState::kQueued && record.evicted_ms > 0) {
    until_ms = record.evicted_ms + policy.eviction_interval_ms;
  }
  // From then on it gives way to others as it is served longer.
  if (until_ms <= now_ms && policy.order == Order::kLearned && record.state == model::JobState::kRunning &&
      record.request().is_preemptible && !record.stop.has_value()) {
    const std::int64_t so_far_ms = served_ms(record, now_ms);
    until_ms = now_ms + learn::Habits::next_step_ms(so_far_ms) - so_far_ms;
  }
  // A live gang may grow again, or it has run so long that growing may pay by now.
  if (record.request().is_live && is_growable(record)) {
    const auto wake_at = [&](TimeMs at_ms) {
      if (at_ms > now_ms) until_ms = until_ms > now_ms ? std::min(until_ms, at_ms) : at_ms;
    };
    wake_at(record.resized_ms > 0 ? record.resized_ms + policy.live_resize_interval_ms : 0);
    if (record.request().time_limit_ms == 0) {
      wake_at(record.started_ms + learn::Habits::next_step_ms(now_ms - record.started_ms));
    }
  }
  return until_ms > now_ms ? std::optional(until_ms) : std::nullopt;
}

std::uint64_t State::urgency_of(const JobRecord& record) const {
  return policy_.order == Order::kLearned
             ? habits_.urgency(record.request().queue, smallest_milli(record.request()), served_ms(record, now_ms_))
             : 0;
}

void State::note_habit(const JobRecord& record) {
  if (policy_.order == Order::kLearned && record.served_ms > 0) {
    habits_.learn(record.request().queue, smallest_milli(record.request()), record.served_ms);
  }
}

std::uint32_t State::moves_left() const {
  const std::uint32_t made = moves_.hour == now_ms_ / kHourMs ? moves_.count : 0;
  return policy_.max_moves_per_hour > made ? policy_.max_moves_per_hour - made : 0;
}

void State::note_move() {
  const std::int64_t hour = now_ms_ / kHourMs;
  moves_ = {.hour = hour, .count = moves_.hour == hour ? moves_.count + 1 : 1};
}

void State::note_no_growth(model::JobId id) {
  growable_.put(id, capacity_version_);
}

}  // namespace busbar::sched::internal
