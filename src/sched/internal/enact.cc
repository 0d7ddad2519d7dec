#include <algorithm>
#include <variant>

#include <fmt/format.h>

#include "sched/internal/step.h"
#include "sched/place/free_part.h"

namespace busbar::sched::internal {
namespace {

void clear_attempt(JobRecord& record) {
  record.granted.reset();
  record.yields = false;
  record.placed_ms = 0;
  record.started_ms = 0;
  record.saved_ms = 0;
  record.claim.reset();
  record.claim_until_ms = 0;
  record.is_ready = false;
  record.is_gone = false;
  record.has_succeeded = false;
  record.exited.clear();
  record.staying = 0;
  record.stop.reset();
  record.failure.reset();
  record.stopped_code = 0;
}

Booking booking_of(const Reserve& d) {
  return {.nodes = d.nodes, .level = d.level, .start_ms = d.start_ms, .slips = d.slips};
}

struct Enacter {
  State& state;

  void operator()(const Place& d) const {
    JobRecord record = *state.jobs().find(d.attempt.job);
    clear_attempt(record);
    record.kept.reset();
    record.booking.reset();
    record.state = model::JobState::kStarting;
    record.attempt = d.attempt.number;
    record.placed_ms = state.now_ms();
    record.yields = d.yields;
    record.granted = make_granted(d.placement, d.reason);
    record.exited.assign(d.placement.tasks.size(), 0);
    state.put_job(std::move(record));
  }
  void operator()(const Stop& d) const {
    JobRecord record = *state.jobs().find(d.attempt.job);
    record.state = model::JobState::kStopping;
    record.stop = d.reason;
    if (d.reason == StopReason::kPreempted) {
      record.evicted_ms = std::max<TimeMs>(state.now_ms(), 1);
    } else if (d.reason == StopReason::kResized || d.reason == StopReason::kMoved) {
      record.resized_ms = std::max<TimeMs>(state.now_ms(), 1);
    }
    if (d.reason == StopReason::kMoved) state.note_move();
    state.put_job(std::move(record));
  }
  void operator()(const Requeue& d) const {
    JobRecord record = *state.jobs().find(d.job);
    const bool yields = record.yields;
    const auto [claim, until_ms] = std::pair(record.claim, record.claim_until_ms);
    clear_attempt(record);
    record.claim = claim;
    record.claim_until_ms = until_ms;
    record.state = model::JobState::kQueued;
    record.not_before_ms = d.not_before_ms;
    record.excluded = d.excluded;
    if (d.hold_until_ms > 0) {
      record.yields = yields;
      record.kept = make_kept(d.held, d.hold_until_ms, d.gang_tasks);
    }
    if (d.because == model::ExitClass::kInfrastructure) {
      ++record.infrastructure_in_row;
    } else {
      record.infrastructure_in_row = 0;
      record.counted_restarts += d.because == model::ExitClass::kPreempted ? 0 : 1;
    }
    state.put_job(std::move(record));
  }
  void operator()(const Finish& d) const {
    state.note_habit(*state.jobs().find(d.job));
    state.erase_job(d.job, d.state == model::JobState::kSucceeded);
  }
  void operator()(const Refuse& d) const { state.erase_job(d.job, std::nullopt); }
  void operator()(const Block& d) const {
    JobRecord record = *state.jobs().find(d.job);
    record.state = d.is_blocked ? model::JobState::kBlocked : model::JobState::kQueued;
    record.claim.reset();
    record.claim_until_ms = 0;
    record.kept.reset();
    record.yields = false;
    record.booking.reset();
    state.put_job(std::move(record));
  }
  void operator()(const Claim& d) const {
    JobRecord record = *state.jobs().find(d.job);
    const bool is_given_up = d.placement.tasks.empty();
    record.claim = is_given_up ? nullptr : make_granted(d.placement, d.reason);
    record.claim_until_ms = is_given_up ? 0 : d.until_ms;
    record.booking.reset();
    state.put_job(std::move(record));
  }
  void operator()(const Reserve& d) const {
    JobRecord record = *state.jobs().find(d.job);
    record.booking = d.nodes.empty() ? nullptr : std::make_shared<const Booking>(booking_of(d));
    state.put_job(std::move(record));
  }
  void operator()(const EndHold& d) const {
    JobRecord record = *state.jobs().find(d.job);
    record.kept.reset();
    record.yields = false;
    state.put_job(std::move(record));
  }
  void operator()(const Extend& d) const {
    JobRecord record = *state.jobs().find(d.attempt.job);
    model::Placement whole = record.granted->placement;
    whole.tasks.insert(whole.tasks.end(), d.added.tasks.begin(), d.added.tasks.end());
    record.granted = make_granted(std::move(whole), record.granted->reason);
    record.exited.resize(record.granted->placement.tasks.size(), 0);
    record.resized_ms = std::max<TimeMs>(state.now_ms(), 1);
    state.put_job(std::move(record));
  }
  void operator()(const Shrink& d) const {
    JobRecord record = *state.jobs().find(d.attempt.job);
    record.staying = d.kept;
    record.resized_ms = std::max<TimeMs>(state.now_ms(), 1);
    state.put_job(std::move(record));
  }
};

/// What is wrong with a recorded decision; empty: it fits.
struct DecisionChecker {
  const State& state;

  std::string operator()(const Place& d) const {
    const JobRecord* record = state.jobs().find(d.attempt.job);
    if (record == nullptr || record->state != model::JobState::kQueued || record->attempt + 1 != d.attempt.number) {
      return fmt::format("attempt {} is not the next of a queued job", d.attempt.to_string());
    }
    for (std::size_t i = 0; i < d.placement.tasks.size(); ++i) {
      if (d.placement.tasks[i].rank != i) {
        return fmt::format("task {} of attempt {} has another rank", i, d.attempt.to_string());
      }
    }
    if (d.yields && !record->request().is_preemptible) {
      return fmt::format("attempt {} would yield, but its job is not preemptible", d.attempt.to_string());
    }
    if (d.placement.tasks.empty() || !state.queues().contains(record->request().queue) ||
        !(record->claim ? record->claim->placement == d.placement && state.can_start_claim(record->id())
                        : can_claim(d.placement, record->kept.get()))) {
      return fmt::format("attempt {} is placed on cards that are not free", d.attempt.to_string());
    }
    return {};
  }
  // The cards that the job itself holds are free for it.
  bool can_claim(const model::Placement& placement, const Kept* own) const {
    if (own == nullptr) {
      return state.free_map().can_claim(placement);
    }
    place::FreeMap map = state.free_map();
    map.release(own->granted.placement);
    return map.can_claim(placement);
  }
  std::string operator()(const Stop& d) const {
    const JobRecord* record = state.jobs().find(d.attempt.job);
    return record != nullptr && record->granted && record->attempt == d.attempt.number
               ? std::string()
               : fmt::format("attempt {} does not run", d.attempt.to_string());
  }
  std::string operator()(const Requeue& d) const {
    const JobRecord* record = state.jobs().find(d.job);
    if (record == nullptr || !record->is_gone) {
      return fmt::format("job {} has not ended an attempt", d.job.value);
    }
    const bool can_hold =
        d.hold_until_ms == 0 || (is_sane_time(d.hold_until_ms) && state.free_map().can_claim(d.held) &&
                                 holds_ranks_of_a_gang(*make_kept(d.held, 0, d.gang_tasks)));
    return can_hold ? std::string() : fmt::format("job {} cannot hold these cards", d.job.value);
  }
  std::string operator()(const Finish& d) const {
    const JobRecord* record = state.jobs().find(d.job);
    return record != nullptr && record->granted == nullptr ? std::string()
                                                           : fmt::format("job {} cannot be over", d.job.value);
  }
  std::string operator()(const Refuse& d) const {
    const JobRecord* record = state.jobs().find(d.job);
    return record != nullptr && record->is_waiting() && record->attempt == 0
               ? std::string()
               : fmt::format("job {} was not just submitted", d.job.value);
  }
  std::string operator()(const Block& d) const {
    const JobRecord* record = state.jobs().find(d.job);
    return record != nullptr && record->is_waiting() ? std::string() : fmt::format("job {} does not wait", d.job.value);
  }
  std::string operator()(const Claim& d) const {
    const JobRecord* record = state.jobs().find(d.job);
    const bool goes_on = record != nullptr && record->granted != nullptr;
    if (record == nullptr || (record->state != model::JobState::kQueued && !goes_on) ||
        (record->claim != nullptr) != d.placement.tasks.empty() || !is_sane_time(d.until_ms) ||
        !state.queues().contains(record->request().queue) || !place::exists_on(state.free_map(), d.placement)) {
      return fmt::format("job {} cannot claim those cards", d.job.value);
    }
    return {};
  }
  std::string operator()(const Reserve& d) const {
    const JobRecord* record = state.jobs().find(d.job);
    const bool is_waiting = record != nullptr && record->state == model::JobState::kQueued;
    return is_waiting && (d.nodes.empty() || is_possible(state, booking_of(d)))
               ? std::string()
               : fmt::format("job {} cannot be promised these nodes", d.job.value);
  }
  std::string operator()(const EndHold& d) const {
    const JobRecord* record = state.jobs().find(d.job);
    return record != nullptr && record->kept ? std::string() : fmt::format("job {} holds nothing", d.job.value);
  }
  std::string operator()(const Extend& d) const {
    const JobRecord* record = find_resizable(d.attempt);
    const std::string wrong = fmt::format("attempt {} cannot get these tasks", d.attempt.to_string());
    if (record == nullptr || d.added.tasks.empty() || d.added.chip != record->granted->placement.chip ||
        record->exited.size() + d.added.tasks.size() > record->request().max_nodes) {
      return wrong;
    }
    std::size_t rank = record->exited.size();
    for (const model::TaskPlacement& task : d.added.tasks) {
      if (task.rank != rank++) return wrong;
    }
    return state.free_map().can_claim(d.added) ? std::string() : wrong;
  }
  std::string operator()(const Shrink& d) const {
    const JobRecord* record = find_resizable(d.attempt);
    return record != nullptr && d.kept > 0 && d.kept < record->exited.size()
               ? std::string()
               : fmt::format("attempt {} cannot go on with {} tasks", d.attempt.to_string(), d.kept);
  }
  const JobRecord* find_resizable(const model::AttemptId& attempt) const {
    const JobRecord* record = state.jobs().find(attempt.job);
    return record != nullptr && record->attempt == attempt.number && record->is_resizable_live() ? record : nullptr;
  }
};

}  // namespace

Result<void> check_decision(const State& state, const Decision& decision) {
  const std::string wrong = std::visit(DecisionChecker{state}, decision);
  return wrong.empty() ? Result<void>{}
                       : make_error(ErrorCode::kDataCorrupt, "recorded decision does not fit: " + wrong);
}

void enact(State& state, const Decision& decision) {
  std::visit(Enacter{state}, decision);
}

Result<void> step_recorded(State& state, const Event& event, std::span<const Decision> decisions) {
  if (auto checked = check_event(state, event); !checked) {
    return make_error(ErrorCode::kDataCorrupt, "recorded event does not fit", checked.error().to_string());
  }
  absorb(state, event);
  for (const Decision& decision : decisions) {
    TRY(check_decision(state, decision));
    enact(state, decision);
  }
  return {};
}

}  // namespace busbar::sched::internal
