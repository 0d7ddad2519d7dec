#include <algorithm>
#include <csignal>
#include <utility>

#include "engine/local/internal/attempt_runner.h"
#include "engine/local/internal/bundle.h"
#include "os/files.h"
#include "os/log.h"

// Tasks that come to a gang that runs, and leave it.
namespace busbar::engine {
namespace {

using Kind = AttemptEvent::Kind;

}  // namespace

void AttemptRunner::extend(Extension extension) {
  post([this, extension = std::move(extension)]() mutable { begin_extend(std::move(extension)); });
}

void AttemptRunner::begin_extend(Extension extension) {
  if (phase_ != Phase::kReleased || stop_) {
    return;  // It ends or has ended; its own facts say so.
  }
  const auto first = static_cast<std::uint32_t>(tasks_.size());
  {
    const std::lock_guard lock(mutex_);
    for (TaskLaunch& task : extension.tasks) {
      if (task.rank != tasks_.size()) {
        continue;  // It is there already.
      }
      tasks_.push_back({.id = {launch_.id, task.rank}});
      launch_.tasks.push_back(std::move(task));
    }
  }
  if (tasks_.size() == first) {
    return;
  }
  files_ = std::move(extension.files);
  record({.kind = Kind::kExtendWanted, .tasks = first});
  const auto submitted = context_.images->submit([self = shared_from_this(), first] {
    auto rootfs = prepare_rootfs(self->context_, self->launch_.image);
    self->post([self, rootfs = std::move(rootfs), first] { self->finish_extend(rootfs, first); });
  });
  if (!submitted) {
    end_unmade(first, model::ExitClass::kInfrastructure, kNeverRan, submitted.error().to_string());
  }
}

void AttemptRunner::finish_extend(Result<PreparedRootfs> rootfs, std::uint32_t first) {
  const bool is_wanted = std::any_of(tasks_.begin(), tasks_.end(), [&](const Task& task) {
    return task.id.rank >= first && !task.is_created && !task.has_ended;
  });
  if (phase_ != Phase::kReleased || stop_ || !is_wanted) {
    return;
  }
  const Result<void> done = rootfs ? run_added(*rootfs, first) : with_context("image " + launch_.image, rootfs.error());
  if (!done) {
    LOG(kWarning, "tasks_not_added", {{"attempt", launch_.id.to_string()}, {"error", done.error().to_string()}});
    kill_strays(first);
    for (std::size_t rank = first; rank < tasks_.size() && phase_ != Phase::kGone; ++rank) {
      if (tasks_[rank].has_ended) continue;
      end_task(tasks_[rank], {.task = tasks_[rank].id,
                              .exit_class = model::ExitClass::kInfrastructure,
                              .exit_code = kNeverRan,
                              .detail = done.error().to_string()});
    }
    return;
  }
  record({.kind = Kind::kExtended, .tasks = static_cast<std::uint32_t>(tasks_.size())});
}

Result<void> AttemptRunner::run_added(const PreparedRootfs& rootfs, std::uint32_t first) {
  TRY(create_containers(rootfs, first));
  write_files();
  const auto results = context_.runtime->start(containers(first));
  for (std::size_t i = 0; i < results.size(); ++i) {
    const Task& task = tasks_[first + i];
    // One that was killed meanwhile has its own exit to tell.
    if (!results[i] && !task.has_ended && !os::file_exists(context_.paths.exit_file(task.id))) {
      return with_context("task " + std::to_string(task.id.rank) + " could not be started", results[i].error());
    }
  }
  return {};
}

/// Those that are being made have no container to stop yet.
void AttemptRunner::end_unmade(std::uint32_t first, model::ExitClass exit_class, int exit_code,
                               const std::string& detail) {
  for (std::size_t rank = first; rank < tasks_.size() && phase_ != Phase::kGone; ++rank) {
    if (!tasks_[rank].is_created && !tasks_[rank].has_ended) {
      end_task(tasks_[rank],
               {.task = tasks_[rank].id, .exit_class = exit_class, .exit_code = exit_code, .detail = detail});
    }
  }
}

void AttemptRunner::shrink(const Reduction& reduction) {
  post([this, reduction] { begin_shrink(reduction); });
}

void AttemptRunner::begin_shrink(const Reduction& reduction) {
  if (phase_ != Phase::kReleased || stop_) {
    return;  // It ends or has ended as a whole.
  }
  files_ = reduction.files;
  write_files();
  if (reduction.kept >= tasks_.size()) {
    // Done before, or the tasks were never made: the server has not heard of it.
    context_.deliver(context_.clock.now_ms(), TasksRemoved{.attempt = launch_.id, .kept = reduction.kept});
    return;
  }
  const TimeMs deadline_ms = context_.clock.now_ms() + std::max<std::int64_t>(0, reduction.grace_ms);
  if (shrink_) {
    if (deadline_ms < shrink_->stop.deadline_ms) kill_at(deadline_ms, shrink_->stop, shrink_->kept);
    return;
  }
  shrink_ = Shrink{.kept = reduction.kept};
  record({.kind = Kind::kShrinkWanted, .deadline_ms = deadline_ms, .tasks = reduction.kept});
  end_unmade(reduction.kept, model::ExitClass::kCancelled, 128 + SIGTERM, "not needed any more before it started");
  if (!shrink_ || phase_ != Phase::kReleased) {
    return;
  }
  if (reduction.grace_ms > 0) {
    std::vector<int> numbers = {SIGTERM};
    if (reduction.signal_first > 0) numbers.insert(numbers.begin(), reduction.signal_first);
    send_stop_signals(numbers, reduction.kept);
  }
  kill_at(deadline_ms, shrink_->stop, reduction.kept);
  finish_shrink();
}

void AttemptRunner::finish_shrink() {
  if (!shrink_ || phase_ == Phase::kGone || !std::all_of(tasks_.begin(), tasks_.end(), [&](const Task& task) {
        return task.id.rank < shrink_->kept || task.has_ended;
      })) {
    return;
  }
  if (shrink_->stop.timer != 0) {
    context_.reactor->cancel(shrink_->stop.timer);
  }
  const std::uint32_t kept = shrink_->kept;
  shrink_.reset();
  clean_up_from(kept);
  forget_from(kept);
  record({.kind = Kind::kShrunk, .tasks = kept});
}

void AttemptRunner::forget_from(std::uint32_t first) {
  const std::lock_guard lock(mutex_);
  while (tasks_.size() > first) {
    tasks_.pop_back();
    launch_.tasks.pop_back();
  }
}

void AttemptRunner::write_files() {
  for (const Task& task : tasks_) {
    if (task.has_ended) continue;
    for (const auto& [name, content] : files_) {
      const std::string path = context_.paths.task_files(task.id) + "/" + name;
      if (const auto written = os::write_file_atomic(path, content, 0755, os::Durability::kCached); !written) {
        LOG(kWarning, "file_not_written", {{"path", path}, {"error", written.error().to_string()}});
      }
    }
  }
}

}  // namespace busbar::engine
