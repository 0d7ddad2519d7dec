#include <deque>
#include <variant>

#include <fmt/format.h>

#include "sched/backfill/pass.h"
#include "sched/gang/swap.h"
#include "sched/internal/decision_log.h"
#include "sched/internal/submission.h"
#include "sched/internal/verdict.h"
#include "sched/preempt/plan.h"

namespace busbar::sched::internal {
namespace {

/// What a NodeJoined does to the declared cluster.
enum class Declaration { kSame, kGrew, kChanged };

Declaration declaration_of(const State& state, const Event& event) {
  const NodeJoined* joined = std::get_if<NodeJoined>(&event.body);
  if (joined == nullptr) {
    return Declaration::kSame;
  }
  const NodeEntry* before = state.nodes().find(joined->node.id);
  if (before == nullptr) {
    return Declaration::kGrew;
  }
  return same_declaration(*before->node, joined->node) ? Declaration::kSame : Declaration::kChanged;
}

/// What follows from one event for the jobs that it concerns; starting jobs is the pass's part.
class Decider {
 public:
  /// `ended`: what the attempt had that this event says is gone.
  Decider(DecisionLog& log, Declaration declaration, std::shared_ptr<const Granted> ended)
      : log_(log), state_(log.state()), declaration_(declaration), ended_(std::move(ended)) {}

  void operator()(const NodeJoined&) {
    if (declaration_ != Declaration::kSame) {
      judge_again(declaration_ == Declaration::kGrew ? Whom::kBlocked : Whom::kAllWaiting);
    }
  }
  void operator()(const NodeStateChanged& e) {
    if (e.state == model::NodeState::kFailed) {
      stop_attempts_on(e.node);
    }
  }
  void operator()(const CardHealthChanged&) {}
  void operator()(const JobSubmitted& e) {
    if (auto decision = judge_submission(state_, *state_.jobs().find(e.job.id))) {
      emit(std::move(*decision));
    }
  }
  void operator()(const JobCancelled& e) {
    const JobRecord& record = *state_.jobs().find(e.job);
    if (record.is_waiting()) {
      emit(Finish{.job = e.job,
                  .state = model::JobState::kCancelled,
                  .exit_class = model::ExitClass::kCancelled,
                  .reason = "cancelled by a user"});
    } else if (record.alive() > 0) {
      stop(record, StopReason::kCancelled, {});
    }
  }
  void operator()(const GangReady&) {}
  void operator()(const GangStarted&) {}
  void operator()(const TaskExited& e) {
    const JobRecord& record = *state_.jobs().find(e.task.attempt.job);
    if (record.alive() == 0) {
      return;
    }
    if (record.failure.has_value()) {
      stop(record, StopReason::kTaskFailed,
           fmt::format("task {} exited with {}", record.failure->rank, record.failure->exit_code));
    } else if (record.has_succeeded) {
      stop(record, StopReason::kLeaderDone, {});
    }
  }
  void operator()(const GangGone& e) {
    const JobRecord& record = *state_.jobs().find(e.attempt.job);
    Decision verdict = verdict_of(state_.policy(), record, state_.now_ms());
    if (Requeue* requeue = std::get_if<Requeue>(&verdict)) {
      gang::plan_swap(state_, record, ended_->placement, *requeue);
    }
    emit(std::move(verdict));
  }
  void operator()(const CheckpointReached&) {}
  void operator()(const TasksGone&) {}
  void operator()(const QueueChanged& e) {
    judge_again(Whom::kAllWaiting);
    if (e.queue.enforce == model::Enforce::kNow) {
      preempt::enforce_limit(log_, e.queue.name);
    }
  }
  void operator()(const Tick&) {}
  void operator()(const ReservationMade&) {}
  void operator()(const ReservationCancelled&) {}
  void operator()(const PolicyChanged&) {}

  /// True: a claim or a hold was given up, so waiting jobs may be able to start.
  bool end_overdue() {
    bool has_given_up = false;
    while (!state_.timers().empty() && state_.timers().begin()->first.first <= state_.now_ms()) {
      const JobRecord& record = *state_.jobs().find(state_.timers().begin()->first.second);
      if (record.claim) {
        emit(Claim{.job = record.id(), .reason = "its cards did not come free in time"});
        has_given_up = true;
      } else if (record.kept) {
        emit(EndHold{.job = record.id()});
        has_given_up = true;
      } else if (record.state == model::JobState::kRunning) {
        stop(record, StopReason::kTimeLimit, {});
      } else {
        stop(record, StopReason::kStartDeadline,
             fmt::format("not started within {}", format_duration_ms(state_.policy().start_deadline_ms)));
      }
    }
    return has_given_up;
  }

 private:
  // One stop an attempt: what comes later finds it stopping already.
  void stop(const JobRecord& record, StopReason reason, std::string detail) {
    if (!record.stop.has_value()) {
      log_.emit(Stop{.attempt = record.attempt_id(), .reason = reason, .detail = std::move(detail)});
    }
  }

  // A job that ends without success takes along those that needed its success, and so on.
  void emit(Decision decision) {
    std::deque<Decision> queue = {std::move(decision)};
    while (!queue.empty()) {
      const Decision next = std::move(queue.front());
      queue.pop_front();
      const Finish* finish = std::get_if<Finish>(&next);
      if (finish != nullptr && !state_.jobs().contains(finish->job)) {
        continue;  // Two jobs that it needed ended in this step.
      }
      if (finish != nullptr && finish->state != model::JobState::kSucceeded) {
        append_dependents(finish->job, queue);
      }
      log_.emit(next);
    }
  }

  void append_dependents(model::JobId job, std::deque<Decision>& queue) const {
    for (const model::JobId waiter : state_.dependents_of(job)) {
      for (const JobRequest::Dependency& after : state_.jobs().find(waiter)->request().after) {
        if (after.job == job && after.must_succeed) {
          queue.push_back(Finish{.job = waiter,
                                 .state = model::JobState::kCancelled,
                                 .exit_class = model::ExitClass::kCancelled,
                                 .reason = fmt::format("job {}, which had to succeed first, did not", job.value)});
          break;
        }
      }
    }
  }

  void stop_attempts_on(model::NodeId node) {
    std::vector<model::JobId> touched;
    for (const auto& [id, nothing] : state_.live()) {
      const JobRecord& record = *state_.jobs().find(id);
      for (const model::TaskPlacement& task : record.granted->placement.tasks) {
        // A gang goes on without those that are leaving.
        if (task.node == node && task.rank < record.going_on()) {
          touched.push_back(id);
          break;
        }
      }
    }
    for (const model::JobId id : touched) {
      // Also if every task is lost: the engine must confirm that nothing is left before the cards are free.
      stop(*state_.jobs().find(id), StopReason::kNodeLost,
           fmt::format("node {} failed", state_.nodes().find(node)->node->name));
    }
  }

  enum class Whom { kBlocked, kAllWaiting };
  // More nodes can only help those that are blocked; another declaration or queue may also hurt those that wait.
  void judge_again(Whom whom) {
    std::vector<model::JobId> waiting;
    if (whom == Whom::kAllWaiting) {
      for (const auto& [id, record] : state_.jobs()) {
        if (record.is_waiting()) waiting.push_back(id);
      }
    } else {
      for (const auto& [id, nothing] : state_.blocked()) {
        waiting.push_back(id);
      }
    }
    for (const model::JobId id : waiting) {
      if (auto decision = judge_feasibility(state_, *state_.jobs().find(id))) {
        emit(std::move(*decision));
      }
    }
  }

  DecisionLog& log_;
  State& state_;
  Declaration declaration_;
  std::shared_ptr<const Granted> ended_;
};

std::shared_ptr<const Granted> ending_of(const State& state, const Event& event) {
  const GangGone* gone = std::get_if<GangGone>(&event.body);
  return gone == nullptr ? nullptr : state.jobs().find(gone->attempt.job)->granted;
}

}  // namespace

Result<std::vector<Decision>> step(State& state, const Event& event) {
  return try_step(state, event, {});
}

Result<std::vector<Decision>> try_step(State& state, const Event& event, Walk walk) {
  TRY(check_event(state, event));
  const Declaration declaration = declaration_of(state, event);
  std::shared_ptr<const Granted> ended = ending_of(state, event);
  bool may_start = absorb(state, event);
  DecisionLog log(state);
  Decider decider(log, declaration, std::move(ended));
  std::visit(decider, event.body);
  may_start = decider.end_overdue() || may_start;
  if (may_start) {
    backfill::start_jobs(log, walk.until);
  }
  return log.take();
}

}  // namespace busbar::sched::internal
