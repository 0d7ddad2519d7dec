#include "engine/local/internal/attempt_runner.h"

#include <sys/epoll.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <utility>

#include "engine/local/internal/bundle.h"
#include "engine/local/internal/conmon.h"
#include "os/errno_error.h"
#include "os/files.h"
#include "os/log.h"
#include "os/process.h"

namespace busbar::engine {
namespace {

using Kind = AttemptEvent::Kind;

/// The SDK may write often; the server hears at most this often.
constexpr std::chrono::milliseconds kReportDelay{20};
constexpr int kSignalTries = 200;

}  // namespace

AttemptRunner::AttemptRunner(EngineContext& context, AttemptLaunch launch)
    : context_(context), launch_(std::move(launch)), strand_(std::make_shared<Strand>(*context.work)) {
  for (const TaskLaunch& task : launch_.tasks) {
    tasks_.push_back({.id = {launch_.id, task.rank}, .report_offset = task.report_offset});
  }
}

AttemptRunner::~AttemptRunner() {
  for (Task& task : tasks_) {
    unwatch_task(task);
  }
}

void AttemptRunner::post(std::function<void()> work) {
  strand_->post([self = shared_from_this(), work = std::move(work)] { work(); });
}

Result<void> AttemptRunner::start() {
  const std::string dir = context_.paths.attempt(launch_.id);
  if (::mkdir(dir.c_str(), 0700) != 0) {
    return os::errno_failure("cannot make " + dir);
  }
  TRY(append_event(context_.paths.events(launch_.id), {.kind = Kind::kStarted, .time_ms = context_.clock.now_ms()}));
  phase_ = Phase::kPreparing;
  return context_.images->submit([self = shared_from_this()] {
    auto rootfs = prepare_rootfs(self->context_, self->launch_.image);
    self->post([self, rootfs = std::move(rootfs)] { self->on_image(rootfs); });
  });
}

void AttemptRunner::on_image(Result<PreparedRootfs> rootfs) {
  if (phase_ != Phase::kPreparing) {
    return;  // stopped meanwhile
  }
  if (!rootfs) {
    fail_all(model::ExitClass::kInfrastructure, kNeverRan,
             "image " + launch_.image + ": " + rootfs.error().to_string());
    return;
  }
  record({.kind = Kind::kImageReady});
  const auto created = create_containers(*rootfs, 0);
  if (!created) {
    LOG(kWarning, "attempt_create_failed",
        {{"attempt", launch_.id.to_string()}, {"error", created.error().to_string()}});
    fail_all(model::ExitClass::kInfrastructure, kNeverRan, created.error().to_string());
    return;
  }
  phase_ = Phase::kCreated;
  record({.kind = Kind::kGangCreated});
  try_release();
}

Result<void> AttemptRunner::create_containers(const PreparedRootfs& rootfs, std::uint32_t first) {
  std::vector<Task*> wanted;
  for (std::size_t rank = first; rank < tasks_.size(); ++rank) {
    if (!tasks_[rank].has_ended && !tasks_[rank].is_created) wanted.push_back(&tasks_[rank]);
  }
  std::vector<ConmonStart> starts;
  for (Task* wanted_task : wanted) {
    Task& task = *wanted_task;
    TRY(make_bundle(context_, launch_, launch_.tasks[task.id.rank], rootfs));
    TRY_ASSIGN(ConmonStart started, spawn_conmon({.conmon = context_.conmon,
                                                  .runtime = context_.runtime->program(),
                                                  .runtime_root = context_.runtime->root(),
                                                  .bundle = context_.paths.task(task.id),
                                                  .container = context_.paths.container(task.id),
                                                  .log_path = context_.paths.log(task.id),
                                                  .exit_dir = context_.paths.exits_dir(),
                                                  .socket_dir = context_.paths.scratch_dir(),
                                                  .has_terminal = launch_.has_terminal,
                                                  .cgroups = context_.monitor_cgroups}));
    starts.push_back(std::move(started));
  }
  // The runtimes work side by side; every answer is waited for, so that a failure leaves none behind.
  Result<void> outcome;
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    Task& task = *wanted[i];
    const auto pid = wait_created(starts[i]);
    if (!pid) {
      outcome = with_context("task " + std::to_string(task.id.rank), pid.error());
      continue;
    }
    auto init = os::open_pidfd(*pid);
    if (const auto ticks = os::process_start_ticks(*pid)) {
      // Lets the next server recognise it.
      (void)os::write_file_atomic(context_.paths.task(task.id) + "/init.start", std::to_string(*ticks), 0600,
                                  os::Durability::kCached);
    }
    const std::lock_guard lock(mutex_);
    task.init_pid = *pid;
    task.is_created = true;
    if (init) {
      task.init = std::move(*init);
    }
  }
  TRY(outcome);
  for (Task* task : wanted) {
    watch_task(*task);
  }
  return {};
}

void AttemptRunner::watch_task(Task& task) {
  const std::weak_ptr<AttemptRunner> weak = weak_from_this();
  const std::uint32_t rank = task.id.rank;
  task.conmon = open_conmon(context_.paths.task(task.id), context_.paths.container(task.id));
  if (!task.conmon.is_valid()) {
    post([this, rank] { take_lost_monitor(tasks_[rank]); });
  } else {
    const int fd = task.conmon.get();
    const auto added = context_.reactor->add(fd, EPOLLIN, [weak, rank, fd](std::uint32_t) {
      if (const auto self = weak.lock()) {
        self->context_.reactor->remove(fd);
        self->post([raw = self.get(), rank] {
          if (rank < raw->tasks_.size()) raw->take_lost_monitor(raw->tasks_[rank]);
        });
      }
    });
    if (!added) {
      LOG(kError, "monitor_not_watched", {{"task", task.id.to_string()}, {"error", added.error().to_string()}});
    }
  }
  const auto pending = std::make_shared<std::atomic<bool>>(false);
  const auto watch = context_.reports->watch(context_.paths.task_files(task.id), "report.jsonl", [weak, rank, pending] {
    const auto self = weak.lock();
    if (!self || pending->exchange(true)) {
      return;
    }
    self->context_.reactor->after(kReportDelay, [weak, rank, pending] {
      pending->store(false);
      if (const auto again = weak.lock()) {
        again->post([raw = again.get(), rank] {
          if (rank < raw->tasks_.size()) raw->read_reports(raw->tasks_[rank]);
        });
      }
    });
  });
  if (watch) {
    task.report_watch = *watch;
  } else {
    LOG(kError, "report_not_watched", {{"task", task.id.to_string()}, {"error", watch.error().to_string()}});
  }
}

void AttemptRunner::unwatch_task(Task& task) {
  if (task.report_watch >= 0) {
    context_.reports->unwatch(std::exchange(task.report_watch, -1));
  }
  if (task.conmon.is_valid()) {
    context_.reactor->remove(task.conmon.get());
    task.conmon.reset();
  }
}

void AttemptRunner::release() {
  post([this] {
    if (is_release_wanted_ || phase_ == Phase::kGone) {
      return;
    }
    is_release_wanted_ = true;
    record({.kind = Kind::kReleaseWanted});
    try_release();
  });
}

void AttemptRunner::try_release() {
  if (!is_release_wanted_ || phase_ != Phase::kCreated || stop_) {
    return;
  }
  const auto results = context_.runtime->start(containers());
  for (std::size_t rank = 0; rank < results.size(); ++rank) {
    // A task whose container was killed at the barrier has its own exit to tell.
    if (!results[rank] && !os::file_exists(context_.paths.exit_file(tasks_[rank].id)) && !tasks_[rank].has_ended) {
      kill_from(0);
      fail_all(model::ExitClass::kInfrastructure, kNeverRan,
               "task " + std::to_string(rank) + " could not be started: " + results[rank].error().to_string());
      return;
    }
  }
  phase_ = Phase::kReleased;
  is_released_ = true;
  record({.kind = Kind::kGangReleased});
}

void AttemptRunner::stop(std::int64_t grace_ms, int signal_first) {
  post([this, grace_ms, signal_first] { begin_stop(grace_ms, signal_first); });
}

void AttemptRunner::begin_stop(std::int64_t grace_ms, int signal_first) {
  if (phase_ == Phase::kGone) {
    return;
  }
  const TimeMs deadline_ms = context_.clock.now_ms() + std::max<std::int64_t>(0, grace_ms);
  if (stop_) {
    if (deadline_ms < stop_->deadline_ms) {
      kill_at(deadline_ms, *stop_, 0);
    }
    return;
  }
  stop_ = Stop{};
  record({.kind = Kind::kStopWanted, .deadline_ms = deadline_ms});
  if (phase_ == Phase::kPreparing) {
    fail_all(model::ExitClass::kCancelled, 128 + SIGTERM, "stopped before it started");
    return;
  }
  if (phase_ == Phase::kReleased) {
    end_unmade(0, model::ExitClass::kCancelled, 128 + SIGTERM, "stopped before it started");
  }
  if (phase_ == Phase::kReleased && grace_ms > 0) {
    std::vector<int> numbers;
    if (signal_first > 0) {
      numbers.push_back(signal_first);
    }
    numbers.push_back(SIGTERM);
    if (launch_.has_terminal) {
      numbers.push_back(SIGHUP);  // an interactive shell ignores SIGTERM
    }
    send_stop_signals(numbers, 0);
    kill_at(deadline_ms, *stop_, 0);
  } else if (phase_ != Phase::kGone) {
    kill_at(0, *stop_, 0);
  }
}

void AttemptRunner::send_stop_signals(const std::vector<int>& numbers, std::uint32_t first) {
  for (Task& task : tasks_) {
    if (task.has_ended || task.id.rank < first) {
      continue;
    }
    (void)cgroup(task).thaw();
    for (const int number : numbers) {
      send_when_ready(task.id.rank, number, kSignalTries);
    }
  }
}

void AttemptRunner::kill_at(TimeMs deadline_ms, Stop& stop, std::uint32_t first) {
  if (stop.timer != 0) {
    context_.reactor->cancel(stop.timer);
    stop.timer = 0;
  }
  stop.deadline_ms = deadline_ms;
  const std::int64_t left = deadline_ms - context_.clock.now_ms();
  if (left <= 0) {
    kill_from(first);
    return;
  }
  stop.timer = context_.reactor->after(std::chrono::milliseconds(left), [weak = weak_from_this(), first] {
    if (const auto self = weak.lock()) {
      self->post([raw = self.get(), first] { raw->kill_from(first); });
    }
  });
}

void AttemptRunner::kill_from(std::uint32_t first) {
  for (Task& task : tasks_) {
    if (!task.has_ended && task.id.rank >= first && task.init.is_valid()) {
      (void)os::signal_pidfd(task.init.get(), SIGKILL);
      (void)cgroup(task).thaw();  // a frozen process of cgroup v1 does not die
    }
  }
}

Result<void> AttemptRunner::signal(std::uint32_t rank, int number) {
  TRY(check_running(rank));
  if (number <= 0 || number >= NSIG) {
    return make_error(ErrorCode::kInvalidArgument, "there is no signal " + std::to_string(number));
  }
  post([this, rank, number] { send_when_ready(rank, number, kSignalTries); });
  return {};
}

Result<void> AttemptRunner::freeze(bool is_frozen) {
  std::vector<model::TaskId> ids;
  {
    const std::lock_guard lock(mutex_);
    for (const Task& task : tasks_) ids.push_back(task.id);
  }
  for (const model::TaskId id : ids) {
    if (!check_running(id.rank)) {
      continue;
    }
    Cgroup group(context_.cgroups, context_.paths.cgroup(id));
    TRY(is_frozen ? group.freeze() : group.thaw());
  }
  return {};
}

Result<void> AttemptRunner::check_running(std::uint32_t rank) const {
  const std::string name = model::TaskId{launch_.id, rank}.to_string();
  const std::lock_guard lock(mutex_);
  if (rank >= tasks_.size()) {
    return make_error(ErrorCode::kFailedPrecondition, "there is no task " + name);
  }
  if (tasks_[rank].has_ended) {
    return make_error(ErrorCode::kFailedPrecondition, "task " + name + " has ended");
  }
  if (!is_released_) {
    return make_error(ErrorCode::kFailedPrecondition, "task " + name + " does not run yet");
  }
  return {};
}

void AttemptRunner::when_ended(std::uint32_t rank, std::function<void(int)> callback) {
  int code = 0;
  {
    const std::lock_guard lock(mutex_);
    if (rank < tasks_.size() && !tasks_[rank].has_ended) {
      tasks_[rank].on_end.push_back(std::move(callback));
      return;
    }
    code = rank < tasks_.size() ? tasks_[rank].exit_code : 128 + SIGTERM;
  }
  callback(code);
}

std::vector<std::string> AttemptRunner::containers(std::uint32_t first) const {
  std::vector<std::string> names;
  for (const Task& task : tasks_) {
    if (task.id.rank >= first) names.push_back(context_.paths.container(task.id));
  }
  return names;
}

void AttemptRunner::record(AttemptEvent event) {
  event.time_ms = context_.clock.now_ms();
  if (const auto written = append_event(context_.paths.events(launch_.id), event); !written) {
    // The exit files still tell how tasks ended; what is lost is told again after a restart.
    LOG(kError, "attempt_event_not_written",
        {{"attempt", launch_.id.to_string()}, {"error", written.error().to_string()}});
  }
  replay({std::move(event)});
}

void AttemptRunner::on_exit_file(std::uint32_t rank) {
  post([this, rank] {
    if (rank < tasks_.size()) {
      take_exit(tasks_[rank]);
    }
  });
}

}  // namespace busbar::engine
