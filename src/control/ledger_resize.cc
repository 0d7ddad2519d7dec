#include <fmt/format.h>

#include <algorithm>
#include <string_view>
#include <utility>

#include "control/internal/event_text.h"
#include "control/ledger.h"

// Live gangs: tasks that come to an attempt that runs, and leave it.
namespace busbar::control {

void Ledger::carry_out(const sched::Extend& extend) {
  JobRecord* record = find_live(extend.attempt.job);
  if (record == nullptr || record->current_attempt() == nullptr) return;
  api::AttemptStatus& attempt = *record->current_attempt();
  const auto first = static_cast<std::uint32_t>(attempt.tasks.size());
  api::AttemptStatus added{.chip = attempt.chip};
  for (const model::TaskPlacement& task : extend.added.tasks) {
    const model::Node* node = core_.find_node(task.node);
    added.tasks.push_back({.rank = task.rank,
                           .node = node == nullptr ? "" : node->name,
                           .cards = {task.cards.begin(), task.cards.end()},
                           .state = "creating"});
    // What a former task of this rank reported is another file.
    record->report_offsets.erase(task.rank);
    std::erase_if(attempt.left, [&](const api::TaskStatus& former) { return former.rank == task.rank; });
  }
  attempt.tasks.insert(attempt.tasks.end(), added.tasks.begin(), added.tasks.end());
  record->account.resized(now_ms(), accounted_milli_cards(record->spec, attempt.tasks.size()));
  ++record->generation;
  const std::string sizes = fmt::format("from {} to {} tasks", first, attempt.tasks.size());
  record->reason = fmt::format("grown {}: {}", sizes, extend.reason);
  follow_state(*record);
  note(record->id, "grown", fmt::format("{}: {}", sizes, placed_text(added, extend.reason)));
  // By the core's own view: what is carried out in this step is there already.
  const auto view = core_.find_job(record->id);
  if (!view || !view->placement) return;
  step_.orders.push_back(ExtendOrder{
      .start = start_order(*record, *view->placement), .first_rank = first, .generation = record->generation});
}

void Ledger::carry_out(const sched::Shrink& shrink) {
  JobRecord* record = find_live(shrink.attempt.job);
  if (record == nullptr || record->current_attempt() == nullptr) return;
  api::AttemptStatus& attempt = *record->current_attempt();
  for (api::TaskStatus& task : attempt.tasks) {
    if (task.rank >= shrink.kept && task.state != "ended") task.state = "leaving";
  }
  ++record->generation;
  const std::string sizes = fmt::format("from {} to {} tasks", attempt.tasks.size(), shrink.kept);
  record->reason = fmt::format("shrinks {}: {}", sizes, shrink.reason);
  follow_state(*record);
  note(record->id, "shrinking", fmt::format("{}: {}", sizes, shrink.reason));
  std::vector<EngineOrder> orders;
  add_resize_orders(*record, orders);
  for (EngineOrder& order : orders) {
    if (std::holds_alternative<ShrinkOrder>(order)) step_.orders.push_back(std::move(order));
  }
}

// What the record says was decided and the engine may not have heard of: tasks to be made, and tasks to be ended.
void Ledger::add_resize_orders(const JobRecord& record, std::vector<EngineOrder>& orders) const {
  const auto view = core_.find_job(record.id);
  if (record.spec.elastic != model::Elastic::kLive || !view || !view->placement || view->stop ||
      record.state != model::JobState::kRunning) {
    return;
  }
  model::Placement placement = *view->placement;
  if (view->staying > 0) placement.tasks.resize(view->staying);
  const auto& tasks = record.attempts.back().tasks;
  const auto awaited =
      std::find_if(tasks.begin(), tasks.end(), [](const api::TaskStatus& task) { return task.state == "creating"; });
  if (awaited != tasks.end()) {
    orders.push_back(ExtendOrder{
        .start = start_order(record, placement), .first_rank = awaited->rank, .generation = record.generation});
  }
  if (view->staying > 0) {
    // As of a stop; whoever borrowed gives back in time, ready or not.
    const StopOrder stop = stop_order(record, {record.id, record.attempts.back().number});
    std::int64_t grace_ms = stop.grace_ms;
    for (const model::Queue& queue : core_.queues()) {
      if (queue.name == record.spec.queue) grace_ms = std::min(grace_ms, queue.reclaim_bound_ms);
    }
    orders.push_back(ShrinkOrder{.start = start_order(record, std::move(placement)),
                                 .generation = record.generation,
                                 .grace_ms = grace_ms,
                                 .signal_first = stop.signal_first});
  }
}

namespace {

api::AttemptStatus* running_attempt(JobRecord* record, model::AttemptId id) {
  if (record == nullptr || model::is_terminal(record->state)) return nullptr;
  api::AttemptStatus* attempt = record->current_attempt();
  const bool is_it = attempt != nullptr && attempt->number == id.number && attempt->ended_ms == 0;
  return is_it && attempt->started_ms != 0 ? attempt : nullptr;
}

}  // namespace

void Ledger::on(const engine::TasksAdded& fact, TimeMs) {
  JobRecord* record = find_live(fact.attempt.job);
  api::AttemptStatus* attempt = running_attempt(record, fact.attempt);
  if (attempt == nullptr) return;
  for (api::TaskStatus& task : attempt->tasks) {
    if (task.rank >= fact.tasks || task.state != "creating") continue;
    task.state = "running";
    dirty_jobs_.insert(record->id);
  }
}

void Ledger::on(const engine::TasksRemoved& fact, TimeMs at_ms) {
  JobRecord* record = find_live(fact.attempt.job);
  api::AttemptStatus* attempt = running_attempt(record, fact.attempt);
  if (attempt == nullptr || attempt->tasks.size() <= fact.kept) return;
  // A refusal means that the core has it already, or never asked for it.
  const auto decisions = decide(sched::TasksGone{.attempt = fact.attempt, .kept = fact.kept}, "engine", "");
  if (!decisions) return;
  note(record->id, "shrunk", fmt::format("from {} to {} tasks", attempt->tasks.size(), fact.kept));
  constexpr std::string_view kPresent = "shrinks ";
  if (record->reason.starts_with(kPresent)) record->reason = "shrunk " + record->reason.substr(kPresent.size());
  for (std::size_t rank = fact.kept; rank < attempt->tasks.size(); ++rank) {
    attempt->tasks[rank].state = "left";
    attempt->left.insert(attempt->left.begin() + static_cast<std::ptrdiff_t>(rank - fact.kept), attempt->tasks[rank]);
  }
  attempt->tasks.resize(fact.kept);
  record->report_offsets.erase(record->report_offsets.lower_bound(fact.kept), record->report_offsets.end());
  record->account.resized(at_ms, accounted_milli_cards(record->spec, fact.kept));
  follow_state(*record);
  carry_out(*decisions);
}

}  // namespace busbar::control
