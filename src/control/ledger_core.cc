#include <fmt/format.h>

#include <algorithm>
#include <csignal>
#include <utility>

#include "base/check.h"
#include "base/text.h"
#include "control/internal/event_text.h"
#include "control/ledger.h"
#include "model/job_json.h"

namespace busbar::control {

TimeMs Ledger::now_ms() const {
  return std::max(clock_.now_ms(), core_.now_ms());
}

JobRecord* Ledger::find_live(model::JobId id) {
  const auto found = jobs_.find(id);
  return found == jobs_.end() ? nullptr : &found->second;
}

api::TaskStatus* Ledger::find_task(const model::TaskId& task) {
  JobRecord* record = find_live(task.attempt.job);
  if (record == nullptr || record->attempts.empty()) return nullptr;
  api::AttemptStatus& attempt = record->attempts.back();
  if (attempt.number != task.attempt.number || task.rank >= attempt.tasks.size()) return nullptr;
  return &attempt.tasks[task.rank];
}

void Ledger::note(model::JobId job, std::string kind, std::string text, Json detail) {
  step_.events.push_back({.id = ++last_event_id_,
                          .time_ms = now_ms(),
                          .job = job,
                          .kind = std::move(kind),
                          .text = std::move(text),
                          .detail_json = detail.is_null() ? "" : detail.dump()});
}

Result<std::vector<sched::Decision>> Ledger::decide(sched::EventBody body, const std::string& actor,
                                                    const std::string& request_id) {
  sched::Event event{.time_ms = now_ms(), .body = std::move(body), .actor = actor, .request_id = request_id};
  TRY_ASSIGN(std::vector<sched::Decision> decisions, core_.apply(event));
  sched::JournalRecord record{
      .sequence = ++sequence_, .event = std::move(event), .decisions = decisions, .state_hash = core_.state_hash()};
  step_.transaction.frames.push_back({.sequence = record.sequence, .bytes = sched::encode_frame(record)});
  journal_bytes_ += step_.transaction.frames.back().bytes.size();
  return decisions;
}

Result<void> Ledger::apply(sched::EventBody body, const std::string& actor, const std::string& request_id) {
  TRY_ASSIGN(const std::vector<sched::Decision> decisions, decide(std::move(body), actor, request_id));
  carry_out(decisions);
  return {};
}

void Ledger::carry_out(const std::vector<sched::Decision>& decisions) {
  for (const sched::Decision& decision : decisions) {
    std::visit([this](const auto& one) { carry_out(one); }, decision);
  }
}

void Ledger::follow_state(JobRecord& record) {
  if (const auto view = core_.find_job(record.id)) record.state = view->state;
  dirty_jobs_.insert(record.id);
}

void Ledger::carry_out(const sched::Place& place) {
  JobRecord* record = find_live(place.attempt.job);
  CHECK(record != nullptr, "the core placed a job that the ledger does not have");
  const TimeMs at_ms = now_ms();
  api::AttemptStatus attempt{.number = place.attempt.number, .placed_ms = at_ms, .chip = place.placement.chip};
  for (const model::TaskPlacement& task : place.placement.tasks) {
    const model::Node* node = core_.find_node(task.node);
    attempt.tasks.push_back({.rank = task.rank,
                             .node = node == nullptr ? "" : node->name,
                             .cards = {task.cards.begin(), task.cards.end()},
                             .state = "creating"});
  }
  record->attempts.push_back(std::move(attempt));
  record->report_offsets.clear();
  record->generation = 1;
  record->reason = place.reason;
  if (const auto claimed = claimed_ms_.extract(record->id)) step_.reclaims_ms.push_back(at_ms - claimed.mapped());
  const auto peak = peak_of(*options_.catalogue, core_, record->spec, place.placement);
  record->peak_gflops = peak ? peak->gflops : 0;
  record->peak_kind = chip::denominator_name(peak ? peak->kind : chip::Denominator::Kind::kNominalDense);
  record->account.placed(at_ms);
  record->account.resized(at_ms, accounted_milli_cards(record->spec, place.placement.tasks.size()));
  follow_state(*record);
  note(record->id, "placed", placed_text(record->attempts.back(), place.reason));
  step_.transaction.attempts.push_back(
      {.id = place.attempt, .is_over = false, .launch_json = model::to_json(place.placement).dump()});
  step_.orders.push_back(start_order(*record, place.placement));
}

StartOrder Ledger::start_order(const JobRecord& record, model::Placement placement) const {
  return {.attempt = {record.id, record.attempts.back().number},
          .placement = std::move(placement),
          .spec = record.spec,
          .user = record.user,
          .has_terminal = record.has_terminal};
}

void Ledger::carry_out(const sched::Stop& stop) {
  JobRecord* record = find_live(stop.attempt.job);
  if (record == nullptr) return;
  follow_state(*record);
  record->account.stopping(now_ms());
  record->reason = stop_text(stop);
  note(record->id, "stopping", record->reason);
  step_.orders.push_back(stop_order(*record, stop.attempt));
}

StopOrder Ledger::stop_order(const JobRecord& record, model::AttemptId attempt) const {
  const model::CheckpointPolicy& checkpoint = record.spec.checkpoint;
  StopOrder order = {.attempt = attempt,
                     .grace_ms = record.grace_override_ms.value_or(checkpoint.grace_ms),
                     .signal_first = signal_number(checkpoint.signal)};
  // Whoever borrowed gives back in time, ready or not.
  if (const auto view = core_.find_job(record.id); view && view->stop == sched::StopReason::kPreempted) {
    for (const model::Queue& queue : core_.queues()) {
      if (queue.name == record.spec.queue) order.grace_ms = std::min(order.grace_ms, queue.reclaim_bound_ms);
    }
  }
  return order;
}

void Ledger::carry_out(const sched::Requeue& requeue) {
  JobRecord* record = find_live(requeue.job);
  if (record == nullptr) return;
  const TimeMs at_ms = now_ms();
  record->account.attempt_ended(at_ms, requeue.because);
  ++record->restarts;
  if (api::AttemptStatus* attempt = record->current_attempt()) {
    attempt->exit_class = model::exit_class_name(requeue.because);
    attempt->reason = record->reason;
  }
  const std::string cause = record->reason;
  record->reason = requeue_text(requeue, cause, at_ms);
  follow_state(*record);
  note(record->id, "requeued", record->reason);
}

void Ledger::carry_out(const sched::Finish& finish) {
  JobRecord* record = find_live(finish.job);
  if (record == nullptr) return;
  const TimeMs at_ms = now_ms();
  claimed_ms_.erase(record->id);
  record->state = finish.state;
  record->exit_class = finish.exit_class;
  record->exit_code = finish.exit_code;
  record->reason = finish_text(*record, finish);
  record->ended_ms = at_ms;
  if (api::AttemptStatus* attempt = record->current_attempt(); attempt != nullptr && attempt->exit_class.empty()) {
    record->account.attempt_ended(at_ms, finish.exit_class);
    attempt->exit_class = model::exit_class_name(finish.exit_class);
    attempt->reason = record->reason;
    if (attempt->ended_ms == 0) attempt->ended_ms = at_ms;
  }
  record->account.finished(at_ms);
  dirty_jobs_.insert(record->id);
  note(record->id, std::string(model::job_state_name(finish.state)), record->reason);
}

void Ledger::carry_out(const sched::Refuse& refuse) {
  refusal_ = refuse.reason;
  refusal_code_ = refuse.code;
}

void Ledger::carry_out(const sched::Block& block) {
  JobRecord* record = find_live(block.job);
  if (record == nullptr) return;
  claimed_ms_.erase(record->id);
  record->reason = block.reason;
  follow_state(*record);
  note(record->id, block.is_blocked ? "blocked" : "unblocked", block.reason);
}

void Ledger::carry_out(const sched::Claim& claim) {
  JobRecord* record = find_live(claim.job);
  if (record == nullptr) return;
  record->reason = claim.reason;
  follow_state(*record);
  if (claim.placement.tasks.empty()) {
    claimed_ms_.erase(record->id);
  } else if (record->state == model::JobState::kQueued) {
    claimed_ms_[record->id] = now_ms();
  }
  note(record->id, claim.placement.tasks.empty() ? "claim_given_up" : "claimed", claim.reason);
}

void Ledger::carry_out(const sched::EndHold& end) {
  JobRecord* record = find_live(end.job);
  if (record == nullptr) return;
  record->reason = "no replacement was found in time; starts anywhere it fits";
  follow_state(*record);
  note(record->id, "hold_ended", record->reason);
}

void Ledger::carry_out(const sched::Reserve& reserve) {
  JobRecord* record = find_live(reserve.job);
  if (record == nullptr) return;
  record->reason = promise_text(reserve, now_ms());
  dirty_jobs_.insert(record->id);
}

void Ledger::tick() {
  // A tick that the core did not ask for would only lengthen the journal.
  if (const auto wakeup = core_.next_wakeup(); wakeup && *wakeup <= clock_.now_ms()) {
    const auto done = apply(sched::Tick{}, "server", "");
    CHECK(done.has_value(), "the core refused a tick");
  }
  run_services();
}

std::optional<TimeMs> Ledger::next_wakeup() const {
  const auto core = core_.next_wakeup();
  const auto services = services_.next_wakeup();
  return core && services ? std::min(*core, *services) : core ? core : services;
}

bool Ledger::has_changes() const {
  return !dirty_jobs_.empty() || !step_.transaction.is_empty() || !step_.events.empty() || !step_.orders.empty() ||
         services_.has_changes();
}

// A snapshot of a large cluster takes milliseconds to make and to write, in which nothing else is answered. Written
// only once the journal has grown by as much, it doubles what is written at most, whatever the size of the cluster.
bool Ledger::is_snapshot_due() const {
  const std::uint64_t steps = sequence_ - last_snapshot_sequence_;
  return (is_first_snapshot_due_ && sequence_ > 0) ||
         (steps >= options_.snapshot_every_steps && journal_bytes_ >= last_snapshot_bytes_);
}

Step Ledger::take_step() {
  for (const model::JobId id : dirty_jobs_) {
    const auto found = jobs_.find(id);
    if (found == jobs_.end()) continue;
    step_.transaction.jobs.push_back(to_row(found->second));
    step_.changed_jobs.push_back(to_status(found->second, now_ms(), Detail::kFull));
    if (model::is_terminal(found->second.state)) jobs_.erase(found);
  }
  dirty_jobs_.clear();
  take_caller_changes();
  take_service_changes();
  step_.transaction.events = step_.events;
  if (is_snapshot_due()) {
    step_.transaction.snapshot = core_.snapshot();
    step_.transaction.snapshot_sequence = sequence_;
    last_snapshot_sequence_ = sequence_;
    last_snapshot_bytes_ = step_.transaction.snapshot->size();
    journal_bytes_ = 0;
    is_first_snapshot_due_ = false;
  }
  return std::exchange(step_, Step{});
}

}  // namespace busbar::control
