#include "sim/core_run.h"

#include <algorithm>
#include <queue>
#include <tuple>
#include <variant>

#include <fmt/format.h>

#include "base/check.h"
#include "sched/journal.h"
#include "sim/room.h"

namespace busbar::sim {
namespace {

constexpr std::uint64_t kProgressEvery = 1000;
constexpr int kStrandedSamples = 2000;

/// What happens later on a machine. Stale by the time it is due if the job's attempt is another one then.
struct Happening {
  enum class Kind { kStarted, kEnded, kGone };
  TimeMs at_ms = 0;
  std::uint64_t order = 0;  ///< Of equal times, the earlier planned first.
  Kind kind = Kind::kStarted;
  std::size_t job = 0;
  std::uint32_t attempt = 0;
  friend bool operator>(const Happening& a, const Happening& b) {
    return std::tie(a.at_ms, a.order) > std::tie(b.at_ms, b.order);
  }
};

/// A job as its machines know it.
struct Running {
  std::uint32_t attempt = 0;    ///< Current; 0: none.
  TimeMs started_ms = -1;       ///< User code runs since; -1: not yet.
  std::int64_t restart_ms = 0;  ///< Of this attempt, before work goes on.
  std::int64_t saved_ms = 0;    ///< Work up to the last checkpoint of earlier attempts.
  std::optional<sched::StopReason> stop = {};
  bool has_ended = false;
  bool was_preempted = false;
};

std::int64_t stranded_milli(const sched::Core& core, const std::vector<model::Node>& nodes) {
  std::int64_t stranded = 0;
  for (const model::Node& node : nodes) {
    std::int64_t used = 0;
    const auto cards = core.used_on(node.id);
    for (const MilliCards card : cards) {
      used += card.value;
    }
    stranded += used > 0 ? static_cast<std::int64_t>(cards.size()) * 1000 - used : 0;
  }
  return stranded;
}

class CoreRun {
 public:
  CoreRun(const Trace& trace, const std::vector<model::Node>& nodes, const sched::Policy& policy,
          const MachineModel& machine, const RunControl& control)
      : trace_(trace),
        nodes_(nodes),
        machine_(machine),
        control_(control),
        core_(policy),
        recorder_(trace, capacity_of(nodes)),
        running_(trace.jobs.size()) {}

  Result<RunResult> run() {
    if (control_.on_journal) {
      control_.on_journal(sched::encode_journal_header({.build_id = "sim", .snapshot = core_.snapshot()}));
    }
    TRY(declare());
    while (recorder_.finished() < trace_.jobs.size()) {
      const std::optional<TimeMs> next_ms = next_time();
      if (!next_ms || (control_.until_ms && *next_ms > *control_.until_ms)) {
        break;
      }
      now_ms_ = std::max(now_ms_, *next_ms);
      sample_stranded();
      TRY(step());
    }
    RunResult result = recorder_.take(control_.until_ms ? std::max(now_ms_, *control_.until_ms) : now_ms_, "busbar");
    result.events = sequence_;
    return result;
  }

 private:
  static std::int64_t capacity_of(const std::vector<model::Node>& nodes) {
    std::int64_t milli = 0;
    for (const model::Node& node : nodes) {
      milli += static_cast<std::int64_t>(node.cards.size()) * 1000;
    }
    return milli;
  }

  Result<void> declare() {
    for (const std::string& queue : trace_.queues) {
      TRY(send(sched::QueueChanged{.queue = {.name = queue}}));
    }
    for (const model::Node& node : nodes_) {
      TRY(send(sched::NodeJoined{.node = node}));
    }
    return {};
  }

  std::optional<TimeMs> next_time() const {
    std::optional<TimeMs> next_ms = core_.next_wakeup();
    const auto earlier = [&](TimeMs at_ms) { next_ms = next_ms ? std::min(*next_ms, at_ms) : at_ms; };
    if (next_submit_ < trace_.jobs.size()) {
      earlier(trace_.jobs[next_submit_].submit_ms);
    }
    if (!happenings_.empty()) {
      earlier(happenings_.top().at_ms);
    }
    return next_ms;
  }

  // What the machines do comes before what users do, and both before the core's own timers, at equal times.
  Result<void> step() {
    if (!happenings_.empty() && happenings_.top().at_ms <= now_ms_) {
      const Happening happening = happenings_.top();
      happenings_.pop();
      return happen(happening);
    }
    if (next_submit_ < trace_.jobs.size() && trace_.jobs[next_submit_].submit_ms <= now_ms_) {
      const std::size_t job = next_submit_++;
      recorder_.submit(job, now_ms_);
      return send(sched::JobSubmitted{.job = request_of(trace_, job)});
    }
    return send(sched::Tick{});
  }

  Result<void> happen(const Happening& happening) {
    Running& running = running_[happening.job];
    if (running.attempt != happening.attempt) {
      return {};
    }
    const model::AttemptId attempt{.job = {happening.job + 1}, .number = happening.attempt};
    switch (happening.kind) {
      case Happening::Kind::kStarted:
        return running.stop ? Result<void>() : begin(happening.job, attempt);
      case Happening::Kind::kEnded:
        return running.stop ? Result<void>() : end(happening.job, attempt);
      case Happening::Kind::kGone:
        return gone(happening.job, attempt);
    }
    return {};
  }

  Result<void> begin(std::size_t job, const model::AttemptId& attempt) {
    TRY(send(sched::GangReady{.attempt = attempt}));
    Running& running = running_[job];
    if (running.stop) {
      return {};
    }
    running.started_ms = now_ms_;
    running.restart_ms = running.was_preempted ? machine_.restart_ms : 0;
    plan(now_ms_ + running.restart_ms + trace_.jobs[job].work_ms - running.saved_ms, Happening::Kind::kEnded, attempt);
    return send(sched::GangStarted{.attempt = attempt});
  }

  Result<void> end(std::size_t job, const model::AttemptId& attempt) {
    running_[job].has_ended = true;
    // The leader's end stands for the gang's: one event, whatever the size.
    TRY(send(sched::TaskExited{.task = {.attempt = attempt, .rank = 0}, .ends_gang = true}));
    return gone(job, attempt);
  }

  Result<void> gone(std::size_t job, const model::AttemptId& attempt) {
    Running& running = running_[job];
    account(job);
    running.attempt = 0;
    running.started_ms = -1;
    running.stop.reset();
    return send(sched::GangGone{.attempt = attempt});
  }

  void account(std::size_t job) {
    Running& running = running_[job];
    if (running.has_ended) {
      recorder_.finish(job, now_ms_, running.restart_ms);
      return;
    }
    const std::int64_t ran_ms = running.started_ms < 0 ? 0 : now_ms_ - running.started_ms;
    const std::int64_t restart_ms = std::min(ran_ms, running.restart_ms);
    const std::int64_t work_ms = ran_ms - restart_ms;
    const std::int64_t declared_ms = trace_.jobs[job].checkpoint_ms;
    const std::int64_t every_ms = declared_ms > 0 ? declared_ms : machine_.checkpoint_ms;
    const std::int64_t lost_ms = work_ms % every_ms;
    running.saved_ms += work_ms - lost_ms;
    running.was_preempted = running.was_preempted || ran_ms > 0;
    recorder_.stop(
        job, now_ms_,
        {.restart_ms = restart_ms, .lost_ms = lost_ms, .is_preemption = running.stop == sched::StopReason::kPreempted});
  }

  void plan(TimeMs at_ms, Happening::Kind kind, const model::AttemptId& attempt) {
    happenings_.push({.at_ms = at_ms,
                      .order = next_order_++,
                      .kind = kind,
                      .job = static_cast<std::size_t>(attempt.job.value - 1),
                      .attempt = attempt.number});
  }

  Result<void> send(sched::EventBody body) {
    sched::Event event{.time_ms = now_ms_, .body = std::move(body), .actor = "sim"};
    auto decisions = core_.apply(event);
    if (!decisions) {
      return make_error(ErrorCode::kInternal, fmt::format("the core refused event {} at {} ms", sequence_ + 1, now_ms_),
                        decisions.error().to_string());
    }
    ++sequence_;
    for (const sched::Decision& decision : *decisions) {
      carry_out(decision);
    }
    if (control_.on_journal) {
      control_.on_journal(sched::encode_frame({.sequence = sequence_,
                                               .event = std::move(event),
                                               .decisions = std::move(*decisions),
                                               .state_hash = core_.state_hash()}));
    }
    if (control_.on_progress && sequence_ % kProgressEvery == 0) {
      control_.on_progress({.finished = recorder_.finished(), .jobs = trace_.jobs.size(), .now_ms = now_ms_});
    }
    return {};
  }

  void carry_out(const sched::Decision& decision) {
    if (const auto* place = std::get_if<sched::Place>(&decision)) {
      const auto job = static_cast<std::size_t>(place->attempt.job.value - 1);
      Running& running = running_[job];
      running.attempt = place->attempt.number;
      running.has_ended = false;
      recorder_.start(job, now_ms_);
      plan(now_ms_ + machine_.start_ms, Happening::Kind::kStarted, place->attempt);
    } else if (const auto* stop = std::get_if<sched::Stop>(&decision)) {
      Running& running = running_[stop->attempt.job.value - 1];
      if (!running.has_ended && !running.stop) {
        running.stop = stop->reason;
        plan(now_ms_ + machine_.stop_ms, Happening::Kind::kGone, stop->attempt);
      }
    } else if (const auto* refuse = std::get_if<sched::Refuse>(&decision)) {
      recorder_.refuse(static_cast<std::size_t>(refuse->job.value - 1), now_ms_);
    } else if (const auto* finish = std::get_if<sched::Finish>(&decision)) {
      // A job that the core ended itself, at its time limit for one.
      recorder_.abandon(static_cast<std::size_t>(finish->job.value - 1), now_ms_);
    }
  }

  void sample_stranded() {
    const TimeMs last_ms = trace_.jobs.empty() ? 0 : trace_.jobs.back().submit_ms;
    const std::int64_t every_ms = std::max<std::int64_t>(last_ms / kStrandedSamples, 60'000);
    if (now_ms_ >= sampled_ms_ + every_ms) {
      recorder_.note_stranded(now_ms_, stranded_milli(core_, nodes_));
      sampled_ms_ = now_ms_;
    }
  }

  const Trace& trace_;
  const std::vector<model::Node>& nodes_;
  const MachineModel& machine_;
  const RunControl& control_;
  sched::Core core_;
  Recorder recorder_;
  std::vector<Running> running_;
  std::priority_queue<Happening, std::vector<Happening>, std::greater<>> happenings_;
  std::size_t next_submit_ = 0;
  std::uint64_t next_order_ = 0;
  std::uint64_t sequence_ = 0;
  TimeMs now_ms_ = 0;
  TimeMs sampled_ms_ = 0;
};

}  // namespace

Result<RunResult> run_core(const Trace& trace, const std::vector<model::Node>& nodes, const sched::Policy& policy,
                           const MachineModel& machine, const RunControl& control) {
  return CoreRun(trace, nodes, policy, machine, control).run();
}

}  // namespace busbar::sim
