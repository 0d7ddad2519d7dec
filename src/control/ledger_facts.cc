#include <fmt/format.h>

#include <algorithm>

#include "control/internal/event_text.h"
#include "control/ledger.h"

// Facts from the engine. Each may come late, twice, or of an attempt that is no longer current (after a restart the
// engine tells again what the journal may already hold): the record's own phase decides whether it is news.
namespace busbar::control {

void Ledger::on_fact(const engine::Fact& fact) {
  std::visit([&](const auto& body) { on(body, std::min(fact.time_ms > 0 ? fact.time_ms : now_ms(), now_ms())); },
             fact.body);
}

void Ledger::on(const engine::NodeObserved& fact, TimeMs) {
  health_details_[fact.node.name] = fact.health_details;
  // A node that cannot be declared is the engine's fault; the cluster stays as it was and the event log says so.
  if (const auto done = observe_nodes({fact.node}); !done) {
    note({}, "node_refused", fmt::format("node \"{}\": {}", fact.node.name, done.error().to_string()));
  }
}

namespace {
/// The attempt's status if it is the current one of a job that is not over, else nullptr.
api::AttemptStatus* current(JobRecord* record, model::AttemptId id) {
  if (record == nullptr || model::is_terminal(record->state)) return nullptr;
  api::AttemptStatus* attempt = record->current_attempt();
  return attempt != nullptr && attempt->number == id.number && attempt->ended_ms == 0 ? attempt : nullptr;
}
}  // namespace

void Ledger::on(const engine::ImageReady& fact, TimeMs at_ms) {
  JobRecord* record = find_live(fact.attempt.job);
  api::AttemptStatus* attempt = current(record, fact.attempt);
  if (attempt == nullptr || attempt->image_ready_ms != 0) return;
  attempt->image_ready_ms = at_ms;
  record->account.image_ready(at_ms);
  dirty_jobs_.insert(record->id);
}

void Ledger::on(const engine::GangCreated& fact, TimeMs) {
  JobRecord* record = find_live(fact.attempt.job);
  api::AttemptStatus* attempt = current(record, fact.attempt);
  if (attempt == nullptr || attempt->started_ms != 0) return;
  const bool is_news = std::any_of(attempt->tasks.begin(), attempt->tasks.end(),
                                   [](const api::TaskStatus& task) { return task.state == "creating"; });
  if (is_news) {
    if (!apply(sched::GangReady{fact.attempt}, "engine", "")) return;
    for (api::TaskStatus& task : attempt->tasks) {
      if (task.state == "creating") task.state = "created";
    }
    follow_state(*record);
  }
  // Told again after a restart: the release may not have reached the engine, and is idempotent there.
  if (record->state == model::JobState::kStarting) step_.orders.push_back(ReleaseOrder{fact.attempt});
}

void Ledger::on(const engine::GangReleased& fact, TimeMs at_ms) {
  JobRecord* record = find_live(fact.attempt.job);
  api::AttemptStatus* attempt = current(record, fact.attempt);
  if (attempt == nullptr || attempt->started_ms != 0) return;
  if (!apply(sched::GangStarted{fact.attempt}, "engine", "")) return;
  attempt->started_ms = at_ms;
  if (record->started_ms == 0) record->started_ms = at_ms;
  for (api::TaskStatus& task : attempt->tasks) {
    if (task.state == "creating" || task.state == "created") task.state = "running";
  }
  record->account.started(at_ms);
  record->reason.clear();
  follow_state(*record);
  note(record->id, "started", fmt::format("attempt {} runs", attempt->number));
}

void Ledger::on(const engine::TaskEnded& fact, TimeMs) {
  JobRecord* record = find_live(fact.task.attempt.job);
  if (current(record, fact.task.attempt) == nullptr) return;
  api::TaskStatus* task = find_task(fact.task);
  if (task == nullptr || task->state == "ended") return;
  task->state = "ended";
  task->exit_code = fact.exit_code;
  task->exit_class = model::exit_class_name(fact.exit_class);
  task->detail = fact.detail;
  dirty_jobs_.insert(record->id);
  if (fact.exit_class != model::ExitClass::kSuccess) {
    note(record->id, "task_ended",
         fmt::format("task {} ended with exit code {} ({}){}{}", fact.task.rank, fact.exit_code, task->exit_class,
                     fact.detail.empty() ? "" : ": ", fact.detail));
  }
  const bool is_led =
      record->spec.launcher == model::Launcher::kMpirun || record->spec.elastic == model::Elastic::kLive;
  const bool is_leader = is_led && fact.task.rank == 0;
  // A refusal means that the core has this exit already: recorded before a restart, told again after it.
  const auto done = apply(
      sched::TaskExited{
          .task = fact.task, .exit_class = fact.exit_class, .exit_code = fact.exit_code, .ends_gang = is_leader},
      "engine", "");
  if (done) {
    if (JobRecord* still = find_live(fact.task.attempt.job)) follow_state(*still);
  }
}

void Ledger::on(const engine::AttemptGone& fact, TimeMs at_ms) {
  JobRecord* record = find_live(fact.attempt.job);
  api::AttemptStatus* attempt = current(record, fact.attempt);
  if (attempt == nullptr) return;
  attempt->ended_ms = at_ms;
  step_.transaction.attempts.push_back({.id = fact.attempt, .is_over = true});
  dirty_jobs_.insert(record->id);
  if (const auto done = apply(sched::GangGone{fact.attempt}, "engine", ""); !done) {
    note(record->id, "inconsistent",
         fmt::format("attempt {} is gone: {}", fact.attempt.to_string(), done.error().to_string()));
  }
}

void Ledger::on(const engine::ReportLines& fact, TimeMs) {
  JobRecord* record = find_live(fact.task.attempt.job);
  if (current(record, fact.task.attempt) == nullptr) return;
  std::uint64_t& offset = record->report_offsets[fact.task.rank];
  if (fact.offset <= offset) return;
  offset = fact.offset;
  dirty_jobs_.insert(record->id);
  for (const std::string& line : fact.lines) {
    const auto report = launch::parse_report_line(line);
    if (!report) continue;  // Not ours: user code may write to the file too; counted nowhere because it costs nothing.
    record->account.report(*report);
    if (report->kind == launch::Report::Kind::kMessage) record->message = report->text;
    if (report->kind == launch::Report::Kind::kCheckpointEnd) {
      note(record->id, "checkpoint",
           fmt::format("step {}{}{}", report->step, report->text.empty() ? "" : ": ", report->text));
      // Refused only where the attempt is already over for the core: then the checkpoint changes no decision.
      (void)apply(sched::CheckpointReached{fact.task.attempt}, "engine", "");
    }
  }
}

}  // namespace busbar::control
