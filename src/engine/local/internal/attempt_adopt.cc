#include <csignal>
#include <utility>

#include "engine/local/internal/attempt_runner.h"
#include "engine/local/internal/conmon.h"
#include "os/files.h"
#include "os/log.h"
#include "os/process.h"

namespace busbar::engine {
namespace {

using Kind = AttemptEvent::Kind;

constexpr std::size_t kMaxEvents = std::size_t{16} << 20;

}  // namespace

void AttemptRunner::adopt() {
  post([this] { adopt_now(); });
}

/// Delivers the facts among the events.
void AttemptRunner::replay(const std::vector<AttemptEvent>& events) {
  if (is_silent_) {
    return;
  }
  for (const AttemptEvent& event : events) {
    switch (event.kind) {
      case Kind::kStarted:
      case Kind::kReleaseWanted:
      case Kind::kStopWanted:
        break;
      case Kind::kImageReady:
        context_.deliver(event.time_ms, ImageReady{launch_.id});
        break;
      case Kind::kGangCreated:
        context_.deliver(event.time_ms, GangCreated{launch_.id});
        break;
      case Kind::kGangReleased:
        context_.deliver(event.time_ms, GangReleased{launch_.id});
        break;
      case Kind::kTaskEnded:
        if (event.ended.task.rank < tasks_.size()) {
          read_reports(tasks_[event.ended.task.rank]);
        }
        context_.deliver(event.time_ms, event.ended);
        break;
      case Kind::kGone:
        context_.deliver(event.time_ms, AttemptGone{launch_.id});
        break;
    }
  }
}

void AttemptRunner::adopt_now() {
  const auto text = os::read_file(context_.paths.events(launch_.id), kMaxEvents);
  if (!text) {
    // Never begun, or its directory is lost. The record makes the answer the same after the next restart.
    (void)os::make_dirs(context_.paths.attempt(launch_.id), 0700);
    fail_all(model::ExitClass::kInfrastructure, kNeverRan, "lost while the server was down");
    return;
  }
  const std::vector<AttemptEvent> events = parse_events(launch_.id, *text);
  bool is_created = false;
  bool is_gone = false;
  for (const AttemptEvent& event : events) {
    is_created |= event.kind == Kind::kGangCreated;
    is_release_wanted_ |= event.kind == Kind::kReleaseWanted;
    is_released_ = is_released_ || event.kind == Kind::kGangReleased;
    is_gone |= event.kind == Kind::kGone;
    if (event.kind == Kind::kStopWanted) {
      stop_ = Stop{.deadline_ms = event.deadline_ms};
    }
    if (event.kind == Kind::kTaskEnded && event.ended.task.rank < tasks_.size()) {
      const std::lock_guard lock(mutex_);
      tasks_[event.ended.task.rank].has_ended = true;
      tasks_[event.ended.task.rank].exit_code = event.ended.exit_code;
    }
  }
  if (is_gone) {
    phase_ = Phase::kGone;
    is_gone_ = true;
    replay(events);
    return;
  }
  phase_ = is_released_ ? Phase::kReleased : is_created ? Phase::kCreated : Phase::kPreparing;
  replay(events);
  if (!is_created) {
    fail_all(stop_ ? model::ExitClass::kCancelled : model::ExitClass::kInfrastructure, kNeverRan,
             "lost while the server was down: its containers were not complete");
    finish_if_over();
    return;
  }
  for (Task& task : tasks_) {
    if (!task.has_ended) {
      adopt_task(task);
    }
  }
  finish_if_over();
  if (phase_ == Phase::kCreated && is_release_wanted_ && !stop_) {
    finish_release();
  }
  if (phase_ != Phase::kGone && stop_) {
    // The signals may or may not have been sent before the crash; once more does no harm, never does.
    if (phase_ == Phase::kReleased && stop_->deadline_ms > context_.clock.now_ms()) {
      send_stop_signals({SIGTERM});
    }
    kill_at(phase_ == Phase::kReleased ? stop_->deadline_ms : 0);
  }
}

void AttemptRunner::adopt_task(Task& task) {
  const auto pid = read_number_file(context_.paths.task(task.id) + "/init.pid");
  if (pid && *pid > 0) {
    auto init = os::open_pidfd(static_cast<pid_t>(*pid));
    const auto started = read_number_file(context_.paths.task(task.id) + "/init.start");
    const auto ticks = os::process_start_ticks(static_cast<pid_t>(*pid));
    if (init && started && ticks && static_cast<std::uint64_t>(*started) == *ticks) {
      const std::lock_guard lock(mutex_);
      task.init = std::move(*init);
      task.init_pid = static_cast<pid_t>(*pid);
    }
  }
  task.is_created = true;
  // What was written while nobody watched.
  watch_task(task);
  read_reports(task);
  if (os::file_exists(context_.paths.exit_file(task.id))) {
    take_exit(task);
  }
}

/// The server died between the decision to release and its last `start`: some tasks may already run.
void AttemptRunner::finish_release() {
  std::vector<std::string> waiting;
  for (const Task& task : tasks_) {
    const std::string container = context_.paths.container(task.id);
    if (!task.has_ended && context_.runtime->status(container).value_or("") == "created") {
      waiting.push_back(container);
    }
  }
  for (const auto& result : context_.runtime->start(waiting)) {
    if (!result) {
      LOG(kWarning, "task_not_started", {{"attempt", launch_.id.to_string()}, {"error", result.error().to_string()}});
    }
  }
  phase_ = Phase::kReleased;
  is_released_ = true;
  record({.kind = Kind::kGangReleased});
}

}  // namespace busbar::engine
