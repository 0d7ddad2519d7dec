#include <algorithm>
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

namespace {

/// Takes out what became of tasks whose ranks, from `first` on, others were given since.
void erase_former(std::vector<AttemptEvent>& events, std::uint32_t first) {
  std::erase_if(events, [&](const AttemptEvent& former) {
    return (former.kind == Kind::kTaskEnded && former.ended.task.rank >= first) || former.kind == Kind::kShrinkWanted ||
           former.kind == Kind::kShrunk || (former.kind == Kind::kExtended && former.tasks > first);
  });
}

/// Without what became of former tasks: the server has that, else it had given their ranks to nobody. So it is also
/// where it awaits tasks of which nothing has been heard here.
std::vector<AttemptEvent> without_former_tasks(const std::vector<AttemptEvent>& all, const AttemptLaunch& launch) {
  std::vector<AttemptEvent> events;
  for (const AttemptEvent& event : all) {
    if (event.kind == Kind::kExtendWanted) erase_former(events, event.tasks);
    events.push_back(event);
  }
  const auto awaited =
      std::find_if(launch.tasks.begin(), launch.tasks.end(), [](const TaskLaunch& task) { return task.is_awaited; });
  if (awaited != launch.tasks.end() && std::any_of(events.begin(), events.end(), [&](const AttemptEvent& event) {
        return event.kind == Kind::kShrunk && event.tasks <= awaited->rank;
      })) {
    erase_former(events, awaited->rank);
  }
  return events;
}

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
      case Kind::kExtendWanted:
      case Kind::kShrinkWanted:
        break;
      case Kind::kExtended:
        context_.deliver(event.time_ms, TasksAdded{.attempt = launch_.id, .tasks = event.tasks});
        break;
      case Kind::kShrunk:
        context_.deliver(event.time_ms, TasksRemoved{.attempt = launch_.id, .kept = event.tasks});
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
  const std::vector<AttemptEvent> events = without_former_tasks(parse_events(launch_.id, *text), launch_);
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
  adopt_resizes(events);
  if (!is_created) {
    fail_all(stop_ ? model::ExitClass::kCancelled : model::ExitClass::kInfrastructure, kNeverRan,
             "lost while the server was down: its containers were not complete");
    finish_if_over();
    return;
  }
  // By number: the end of the last one that was told to leave takes it out.
  for (std::size_t rank = 0; rank < tasks_.size(); ++rank) {
    if (!tasks_[rank].has_ended) {
      adopt_task(tasks_[rank]);
    }
  }
  finish_if_over();
  if (phase_ == Phase::kCreated && is_release_wanted_ && !stop_) {
    finish_release();
  }
  if (phase_ != Phase::kGone && stop_) {
    // The signals may or may not have been sent before the crash; once more does no harm, never does.
    if (phase_ == Phase::kReleased && stop_->deadline_ms > context_.clock.now_ms()) {
      send_stop_signals({SIGTERM}, 0);
    }
    kill_at(phase_ == Phase::kReleased ? stop_->deadline_ms : 0, *stop_, 0);
  } else if (phase_ == Phase::kReleased && shrink_) {
    if (shrink_->stop.deadline_ms > context_.clock.now_ms()) {
      send_stop_signals({SIGTERM}, shrink_->kept);
    }
    kill_at(shrink_->stop.deadline_ms, shrink_->stop, shrink_->kept);
    finish_shrink();
  }
}

/// How far the tasks have come that were added or told to leave. What was not made before the server went down is made
/// when it asks again.
void AttemptRunner::adopt_resizes(const std::vector<AttemptEvent>& events) {
  std::uint32_t running = 0;
  for (const AttemptEvent& event : events) {
    if (event.kind == Kind::kExtended) {
      running = event.tasks;
    } else if (event.kind == Kind::kShrinkWanted) {
      shrink_ = Shrink{.kept = event.tasks, .stop = {.deadline_ms = event.deadline_ms}};
    } else if (event.kind == Kind::kShrunk) {
      shrink_.reset();
      running = std::min(running, event.tasks);
      forget_from(event.tasks);
    }
  }
  for (std::uint32_t rank = 0; rank < tasks_.size(); ++rank) {
    if (launch_.tasks[rank].is_awaited && rank >= running && !tasks_[rank].has_ended) {
      kill_strays(rank);
      clean_up_from(rank);
      for (std::size_t i = rank; i < tasks_.size(); ++i) remove_half_made(tasks_[i].id);
      forget_from(rank);
    }
  }
}

/// A runtime that was killed leaves files of its own behind. Former tasks' logs stay.
void AttemptRunner::remove_half_made(model::TaskId task) {
  const std::string dir = context_.paths.task(task);
  const auto entries = os::list_dir(dir);
  for (const os::DirEntry& entry : entries ? *entries : std::vector<os::DirEntry>()) {
    if (entry.name.starts_with("task.log")) continue;
    if (const auto removed = os::remove_tree(os::join_path(dir, entry.name)); !removed) {
      LOG(kWarning, "task_not_cleaned_up", {{"task", task.to_string()}, {"error", removed.error().to_string()}});
    }
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
  {
    const std::lock_guard lock(mutex_);
    task.is_created = true;
  }
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
