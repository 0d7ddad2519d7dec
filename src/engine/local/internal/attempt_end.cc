#include <sys/stat.h>

#include <algorithm>
#include <csignal>
#include <utility>

#include "base/text.h"
#include "engine/local/internal/attempt_runner.h"
#include "engine/local/internal/bundle.h"
#include "engine/local/internal/conmon.h"
#include "engine/local/internal/exit_class.h"
#include "engine/local/internal/log_rotation.h"
#include "engine/local/internal/report_reader.h"
#include "os/event_fd.h"
#include "os/files.h"
#include "os/log.h"
#include "os/process.h"

namespace busbar::engine {
namespace {

using Kind = AttemptEvent::Kind;

constexpr std::chrono::milliseconds kSignalRetry{10};
constexpr std::chrono::seconds kDeathTimeout{5};

/// Our init blocks every signal before it does anything else. One that came earlier would be lost: the kernel drops
/// what the first process of a PID namespace neither blocks nor handles.
bool is_init_ready(pid_t pid) {
  const std::string status = os::read_file("/proc/" + std::to_string(pid) + "/status", 65536).value_or("");
  constexpr std::string_view kKey = "SigBlk:\t";
  const std::size_t at = status.find(kKey);
  if (at == std::string::npos) {
    return true;  // it has ended
  }
  const std::uint64_t blocked = std::strtoull(status.c_str() + at + kKey.size(), nullptr, 16);
  return (blocked >> (SIGTERM - 1) & 1) != 0;
}

/// Written over the blanks of bundle.cc, so that a full disk does not hinder it.
bool has_exit_mark(const std::string& path) {
  const std::string text = os::read_file(path, 64).value_or("");
  return !text.empty() && text.front() != ' ';
}

}  // namespace

void AttemptRunner::send_when_ready(std::uint32_t rank, int number, int tries) {
  if (rank >= tasks_.size()) {
    return;
  }
  Task& task = tasks_[rank];
  if (task.has_ended || !task.init.is_valid()) {
    return;
  }
  if (number == SIGKILL || tries == 0 || is_init_ready(task.init_pid)) {
    (void)os::signal_pidfd(task.init.get(), number);
    return;
  }
  context_.reactor->after(kSignalRetry, [weak = weak_from_this(), rank, number, tries] {
    if (const auto self = weak.lock()) {
      self->post([raw = self.get(), rank, number, tries] { raw->send_when_ready(rank, number, tries - 1); });
    }
  });
}

void AttemptRunner::take_exit(Task& task) {
  if (task.has_ended || phase_ == Phase::kGone) {
    return;
  }
  const auto code = read_number_file(context_.paths.exit_file(task.id));
  if (!code) {
    return;
  }
  end_task(task, classify_exit(task.id, {.code = static_cast<std::int32_t>(*code),
                                         .was_stopped = is_told_to_end(task),
                                         .oom_kills = cgroup(task).oom_kills(),
                                         .has_exit_mark = has_exit_mark(context_.paths.exit_mark(task.id)),
                                         .memory_limit = launch_.tasks[task.id.rank].memory}));
}

void AttemptRunner::take_lost_monitor(Task& task) {
  if (task.has_ended || phase_ == Phase::kGone) {
    return;
  }
  if (os::file_exists(context_.paths.exit_file(task.id))) {
    take_exit(task);
    return;
  }
  // Nobody is left to say how the container ends: end it, so that the truth is known.
  if (task.init.is_valid()) {
    (void)os::signal_pidfd(task.init.get(), SIGKILL);
    (void)cgroup(task).thaw();
    os::wait_readable(task.init.get(), kDeathTimeout);
  }
  end_task(task, {.task = task.id,
                  .exit_class = is_told_to_end(task) ? model::ExitClass::kCancelled : model::ExitClass::kInfrastructure,
                  .exit_code = 128 + SIGKILL,
                  .detail = "its monitor (conmon) ended without telling the exit code; the container was killed"});
}

void AttemptRunner::read_reports(Task& task) {
  while (!is_silent_) {
    ReportChunk chunk = read_report(context_.paths.report(task.id), task.report_offset);
    const bool has_lines = !chunk.lines.empty();
    task.report_offset = chunk.offset;
    if (has_lines) {
      context_.deliver(context_.clock.now_ms(),
                       ReportLines{.task = task.id, .offset = chunk.offset, .lines = std::move(chunk.lines)});
    }
    if (!chunk.has_more) {
      return;
    }
  }
}

void AttemptRunner::end_task(Task& task, TaskEnded ended) {
  read_reports(task);
  std::vector<std::function<void(int)>> callbacks;
  {
    const std::lock_guard lock(mutex_);
    task.has_ended = true;
    task.exit_code = ended.exit_code;
    callbacks = std::exchange(task.on_end, {});
  }
  const int code = ended.exit_code;
  record({.kind = Kind::kTaskEnded, .ended = std::move(ended)});
  for (const auto& callback : callbacks) {
    callback(code);
  }
  finish_if_over();
  finish_shrink();
}

void AttemptRunner::fail_all(model::ExitClass exit_class, int exit_code, const std::string& detail) {
  kill_strays();
  for (std::size_t rank = 0; rank < tasks_.size(); ++rank) {
    if (!tasks_[rank].has_ended) {
      end_task(tasks_[rank],
               {.task = tasks_[rank].id, .exit_class = exit_class, .exit_code = exit_code, .detail = detail});
    }
  }
}

void AttemptRunner::finish_if_over() {
  if (phase_ == Phase::kGone ||
      !std::all_of(tasks_.begin(), tasks_.end(), [](const Task& task) { return task.has_ended; })) {
    return;
  }
  phase_ = Phase::kGone;
  for (const Reactor::TimerId timer : {stop_ ? stop_->timer : 0, shrink_ ? shrink_->stop.timer : 0}) {
    if (timer != 0) context_.reactor->cancel(timer);
  }
  clean_up();
  is_gone_ = true;
  record({.kind = Kind::kGone});
}

void AttemptRunner::clean_up() {
  clean_up_from(0);
  Cgroup(context_.cgroups, context_.paths.cgroup(launch_.id)).remove();
  context_.ports->release(launch_.id);
}

void AttemptRunner::clean_up_from(std::uint32_t first) {
  for (std::size_t rank = first; rank < tasks_.size(); ++rank) {
    unwatch_task(tasks_[rank]);
  }
  context_.runtime->remove(containers(first));
  for (std::size_t rank = first; rank < tasks_.size(); ++rank) {
    Task& task = tasks_[rank];
    const auto removed = remove_bundle(context_, task.id);
    if (!removed) {
      LOG(kWarning, "task_not_cleaned_up", {{"task", task.id.to_string()}, {"error", removed.error().to_string()}});
    }
    const std::lock_guard lock(mutex_);
    task.init.reset();
  }
}

void AttemptRunner::kill_strays(std::uint32_t first) {
  for (Task& task : tasks_) {
    if (task.has_ended || task.id.rank < first) {
      continue;
    }
    const std::string container = context_.paths.container(task.id);
    if (!os::file_exists(context_.paths.task(task.id))) {
      continue;
    }
    // Monitors first: a `create` that one is in the middle of must not finish behind our back. Not by their pid files,
    // which may not be written yet.
    kill_workers(container, {context_.conmon, context_.runtime->program()});
    if (task.init.is_valid()) {
      (void)os::signal_pidfd(task.init.get(), SIGKILL);
    }
    Cgroup group = cgroup(task);
    for (const std::int64_t pid : group.processes()) {
      if (const auto pidfd = os::open_pidfd(static_cast<pid_t>(pid));
          pidfd && is_in_cgroup(pid, context_.paths.cgroup(task.id))) {
        (void)os::signal_pidfd(pidfd->get(), SIGKILL);
      }
    }
    (void)group.thaw();
  }
}

void AttemptRunner::destroy() {
  is_silent_ = true;
  kill_strays();
  for (Task& task : tasks_) {
    task.has_ended = true;
  }
  phase_ = Phase::kGone;
  clean_up();
  is_gone_ = true;
  record({.kind = Kind::kGone});
}

void AttemptRunner::rotate_logs() {
  post([this] {
    for (Task& task : tasks_) {
      if (task.has_ended || phase_ == Phase::kGone || !task.is_created) {
        continue;
      }
      const std::string log = context_.paths.log(task.id);
      if (!is_log_full(log, context_.options.log_max_bytes)) {
        continue;
      }
      shift_logs(log, context_.options.log_files);
      if (const auto reopened = reopen_log(context_.paths.task(task.id)); !reopened) {
        LOG(kWarning, "log_not_reopened", {{"task", task.id.to_string()}, {"error", reopened.error().to_string()}});
      }
    }
  });
}

}  // namespace busbar::engine
