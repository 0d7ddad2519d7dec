#include "engine/local/local_engine.h"

#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <map>
#include <mutex>
#include <set>
#include <thread>
#include <utility>

#include "base/text.h"
#include "engine/local/internal/attempt_runner.h"
#include "engine/local/internal/bundle.h"
#include "engine/local/internal/engine_context.h"
#include "engine/local/internal/log_rotation.h"
#include "engine/local/internal/node_watch.h"
#include "engine/local/internal/process_stats.h"
#include "engine/local/internal/rootfs_mount.h"
#include "engine/local/internal/state_dir.h"
#include "engine/local/internal/terminal.h"
#include "os/directory_watcher.h"
#include "os/errno_error.h"
#include "os/files.h"
#include "os/log.h"

namespace busbar::engine {
namespace {

constexpr std::size_t kMaxEventBytes = std::size_t{16} << 20;

constexpr std::chrono::seconds kLogCheckPeriod{2};
/// A socket's path ends in "/x123.sock" and takes 107 bytes.
constexpr std::size_t kMaxRunDir = 80;

tl::unexpected<Error> unknown(model::AttemptId id) {
  return make_error(ErrorCode::kNotFound, "the engine knows no attempt " + id.to_string());
}

class LocalEngine final : public Engine {
 public:
  LocalEngine(std::unique_ptr<EngineContext> context, os::UniqueFd lock, std::unique_ptr<NodeWatch> node)
      : context_(std::move(context)), lock_(std::move(lock)), node_(std::move(node)) {}
  ~LocalEngine() override { shutdown(); }

  std::vector<Capability> capabilities() const override;
  Result<std::vector<model::Node>> observe_nodes() override {
    TRY_ASSIGN(NodeObserved observed, node_->look());
    return std::vector{std::move(observed.node)};
  }
  Result<chip::OciEdits> edits_for(model::NodeId, const std::vector<model::Card>& granted,
                                   MilliCards per_card) override {
    return node_->probe().edits_for(granted, per_card);
  }
  Result<std::vector<model::AttemptId>> adopt(const std::vector<AttemptLaunch>& active, FactSink sink) override;
  Result<void> start(AttemptLaunch launch) override;
  Result<void> release(model::AttemptId attempt) override;
  Result<void> stop(model::AttemptId attempt, std::int64_t grace_ms, int signal_first) override;
  Result<void> extend(Extension extension) override;
  Result<void> shrink(const Reduction& reduction) override;
  Result<void> signal(model::TaskId task, int number) override;
  Result<void> pause(model::AttemptId attempt) override;
  Result<void> resume(model::AttemptId attempt) override;
  Result<LogFiles> logs(model::TaskId task) const override;
  Result<std::unique_ptr<TerminalSession>> exec(const ExecRequest& request,
                                                TerminalSession::Callbacks callbacks) override;
  Result<std::unique_ptr<TerminalSession>> attach(model::TaskId task, TerminalSession::Callbacks callbacks) override;
  Result<TaskStats> stats(model::TaskId task) override;
  Result<std::vector<std::uint16_t>> lease_ports(model::AttemptId attempt, std::size_t count) override {
    return context_->ports->lease(attempt, count);
  }
  std::vector<std::uint16_t> leased_ports(model::AttemptId attempt) const override {
    return context_->ports->of(attempt);
  }
  Result<std::vector<Json>> preview(const AttemptLaunch& launch) override;
  Result<std::vector<model::AttemptId>> kept() const override;
  Bytes kept_bytes(model::AttemptId attempt) const override;
  Result<void> forget(model::AttemptId attempt) override;
  void shutdown() override;

 private:
  std::shared_ptr<AttemptRunner> find(model::AttemptId id) const;
  Result<std::shared_ptr<AttemptRunner>> find_running(model::TaskId task) const;
  std::vector<std::shared_ptr<AttemptRunner>> all() const;
  Result<void> watch_exits();
  void read_exits();
  void dispatch_exit(std::string_view name);
  void check_logs();
  void remove_unknown(const std::set<model::AttemptId>& active);
  void remove_later(const std::string& path);
  void remove_attempt(model::AttemptId id);
  std::vector<AttemptEvent> recorded_events(model::AttemptId id) const;
  bool was_never_complete(model::AttemptId id) const;

  std::unique_ptr<EngineContext> context_;
  os::UniqueFd lock_;
  std::unique_ptr<NodeWatch> node_;
  std::optional<os::DirectoryWatcher> exits_;
  mutable std::mutex mutex_;
  std::map<model::AttemptId, std::shared_ptr<AttemptRunner>> attempts_;
  bool is_adopted_ = false;
  std::atomic<bool> is_shut_down_ = false;
};

std::vector<Capability> LocalEngine::capabilities() const {
  const CgroupFacts& cgroups = context_->cgroups;
  const bool is_rootless = context_->is_rootless;
  const auto limit = [&](const char* name, const char* controller) {
    return Capability{
        .name = name,
        .is_available = cgroups.has(controller),
        .detail = is_rootless ? "needs root: busbar runs as an ordinary user" : cgroups.describe(controller)};
  };
  return {{.name = "runtime", .is_available = true, .detail = context_->runtime->program()},
          limit("memory_limit", "memory"),
          limit("cpu_limit", "cpu"),
          limit("cpu_set", "cpuset"),
          limit("process_limit", "pids"),
          {.name = "swap_limit",
           .is_available = cgroups.has_swap_limit,
           .detail = cgroups.has_swap_limit ? "swap counts against the memory limit"
                                            : "the kernel does not account swap; a task may swap beyond its limit"},
          cgroups.is_v2() ? Capability{.name = "pause", .is_available = true, .detail = "cgroup v2 freezer"}
                          : limit("pause", "freezer"),
          {.name = "oci_layout",
           .is_available = std::any_of(context_->providers.begin(), context_->providers.end(),
                                       [](const RootfsProvider* each) { return each->accepts("oci:/layout"); }),
           .detail = "images from OCI layout directories"},
          {.name = "user_namespace",
           .is_available = is_rootless,
           .detail = is_rootless ? "containers run as this user, who is root inside"
                                 : "not needed: the engine runs as root; tasks have few capabilities"}};
}

std::shared_ptr<AttemptRunner> LocalEngine::find(model::AttemptId id) const {
  const std::lock_guard lock(mutex_);
  const auto found = attempts_.find(id);
  return found == attempts_.end() ? nullptr : found->second;
}

Result<std::shared_ptr<AttemptRunner>> LocalEngine::find_running(model::TaskId task) const {
  auto runner = find(task.attempt);
  if (!runner) {
    return make_error(ErrorCode::kFailedPrecondition, "task " + task.to_string() + " is not running");
  }
  TRY(runner->check_running(task.rank));
  return runner;
}

std::vector<std::shared_ptr<AttemptRunner>> LocalEngine::all() const {
  const std::lock_guard lock(mutex_);
  std::vector<std::shared_ptr<AttemptRunner>> runners;
  for (const auto& [id, runner] : attempts_) {
    runners.push_back(runner);
  }
  return runners;
}

Result<void> LocalEngine::watch_exits() {
  TRY_ASSIGN(exits_, os::DirectoryWatcher::open(context_->paths.exits_dir()));
  TRY(context_->reactor->add(exits_->fd(), EPOLLIN, [this](std::uint32_t) { read_exits(); }));
  context_->reactor->after(kLogCheckPeriod, [this] { check_logs(); });
  return {};
}

void LocalEngine::read_exits() {
  const auto events = exits_->read_events();
  if (!events) {
    LOG(kError, "exits_not_readable", {{"error", events.error().to_string()}});
    return;
  }
  for (const os::DirectoryEvent& event : *events) {
    switch (event.kind) {
      case os::DirectoryEvent::Kind::kWritten:
      case os::DirectoryEvent::Kind::kMovedIn:
        dispatch_exit(event.name);
        break;
      case os::DirectoryEvent::Kind::kOverflow:
        if (const auto entries = os::list_dir(context_->paths.exits_dir())) {
          for (const os::DirEntry& entry : *entries) {
            dispatch_exit(entry.name);
          }
        }
        break;
      case os::DirectoryEvent::Kind::kCreated:
      case os::DirectoryEvent::Kind::kRemoved:
      case os::DirectoryEvent::Kind::kGone:
        break;
    }
  }
}

/// "TAG-17.1.0"
void LocalEngine::dispatch_exit(std::string_view name) {
  const std::size_t dash = name.find('-');
  const std::size_t dot = name.rfind('.');
  if (dash == std::string_view::npos || dot == std::string_view::npos || dot < dash) {
    return;  // conmon's temporary name
  }
  const auto attempt = parse_attempt_id(name.substr(dash + 1, dot - dash - 1));
  const auto rank = parse_int(name.substr(dot + 1));
  if (const auto runner = attempt && rank ? find(*attempt) : nullptr) {
    runner->on_exit_file(static_cast<std::uint32_t>(*rank));
  }
}

void LocalEngine::check_logs() {
  for (const auto& runner : all()) {
    if (!runner->is_gone()) {
      runner->rotate_logs();
    }
  }
  context_->reactor->after(kLogCheckPeriod, [this] { check_logs(); });
}

Result<std::vector<model::AttemptId>> LocalEngine::adopt(const std::vector<AttemptLaunch>& active, FactSink sink) {
  if (std::exchange(is_adopted_, true)) {
    return make_error(ErrorCode::kFailedPrecondition, "adopt was called before");
  }
  std::set<model::AttemptId> ids;
  for (const AttemptLaunch& launch : active) {
    ids.insert(launch.id);
  }
  remove_unknown(ids);
  context_->ports->keep_only(ids);
  context_->facts = std::make_unique<FactQueue>(std::move(sink));
  TRY(node_->begin());
  std::vector<model::AttemptId> not_begun;
  for (const AttemptLaunch& launch : active) {
    if (launch.may_begin_again && was_never_complete(launch.id)) {
      if (os::file_exists(context_->paths.attempt(launch.id))) {
        remove_attempt(launch.id);
        TRY(os::remove_tree(context_->paths.attempt(launch.id)));
      }
      not_begun.push_back(launch.id);
      continue;
    }
    auto runner = std::make_shared<AttemptRunner>(*context_, launch);
    {
      const std::lock_guard lock(mutex_);
      attempts_[launch.id] = runner;
    }
    runner->adopt();
  }
  TRY(watch_exits());
  return not_begun;
}

/// Its containers were not all made, and nothing has ended it: there is nothing yet that could be lost.
bool LocalEngine::was_never_complete(model::AttemptId id) const {
  const std::vector<AttemptEvent> events = recorded_events(id);
  return std::all_of(events.begin(), events.end(), [](const AttemptEvent& event) {
    return event.kind == AttemptEvent::Kind::kStarted || event.kind == AttemptEvent::Kind::kImageReady;
  });
}

std::vector<AttemptEvent> LocalEngine::recorded_events(model::AttemptId id) const {
  return parse_events(id, os::read_file(context_->paths.events(id), kMaxEventBytes).value_or(""));
}

/// Ends what runs on behalf of attempts that the server does not know, and goes on with deletions that were cut short.
void LocalEngine::remove_unknown(const std::set<model::AttemptId>& active) {
  const auto entries = os::list_dir(context_->paths.attempts_dir());
  if (!entries) {
    return;
  }
  for (const os::DirEntry& entry : *entries) {
    if (entry.name.ends_with(kForgottenSuffix)) {
      remove_later(os::join_path(context_->paths.attempts_dir(), entry.name));
    }
    const auto id = parse_attempt_id(entry.name);
    if (!id || active.contains(*id)) {
      continue;
    }
    const std::vector<AttemptEvent> events = recorded_events(*id);
    const bool is_gone = std::any_of(events.begin(), events.end(),
                                     [](const AttemptEvent& event) { return event.kind == AttemptEvent::Kind::kGone; });
    if (!is_gone) {
      LOG(kWarning, "unknown_attempt_removed", {{"attempt", id->to_string()}});
      remove_attempt(*id);
    }
  }
}

void LocalEngine::remove_attempt(model::AttemptId id) {
  AttemptLaunch launch{.id = id};
  if (const auto entries = os::list_dir(context_->paths.attempt(id))) {
    for (const os::DirEntry& entry : *entries) {
      if (const auto rank = parse_int(entry.name); rank && entry.kind == os::FileKind::kDirectory) {
        launch.tasks.push_back({.rank = static_cast<std::uint32_t>(*rank)});
      }
    }
  }
  std::make_shared<AttemptRunner>(*context_, std::move(launch))->destroy();
}

Result<void> LocalEngine::start(AttemptLaunch launch) {
  const model::AttemptId id = launch.id;
  {
    const std::lock_guard lock(mutex_);
    if (attempts_.contains(id) || os::file_exists(context_->paths.attempt(id))) {
      return {};
    }
  }
  if (!context_->facts) {
    return make_error(ErrorCode::kFailedPrecondition, "the engine has not begun: adopt comes first");
  }
  TRY(check_launch(launch));
  TRY(check_sources(launch));
  auto runner = std::make_shared<AttemptRunner>(*context_, std::move(launch));
  {
    const std::lock_guard lock(mutex_);
    if (!attempts_.emplace(id, runner).second) {
      return {};
    }
  }
  const auto started = runner->start();
  if (!started) {
    (void)os::remove_tree(context_->paths.attempt(id));
    const std::lock_guard lock(mutex_);
    attempts_.erase(id);
  }
  return started;
}

Result<void> LocalEngine::release(model::AttemptId attempt) {
  const auto runner = find(attempt);
  if (!runner) {
    return unknown(attempt);
  }
  runner->release();
  return {};
}

Result<void> LocalEngine::stop(model::AttemptId attempt, std::int64_t grace_ms, int signal_first) {
  const auto runner = find(attempt);
  if (!runner) {
    return unknown(attempt);
  }
  runner->stop(grace_ms, signal_first);
  return {};
}

Result<void> LocalEngine::extend(Extension extension) {
  const auto runner = find(extension.attempt);
  if (!runner || runner->is_gone()) {
    return unknown(extension.attempt);
  }
  TRY(check_sources({.tasks = extension.tasks}));
  runner->extend(std::move(extension));
  return {};
}

Result<void> LocalEngine::shrink(const Reduction& reduction) {
  const auto runner = find(reduction.attempt);
  if (!runner || runner->is_gone()) {
    return unknown(reduction.attempt);
  }
  runner->shrink(reduction);
  return {};
}

Result<void> LocalEngine::signal(model::TaskId task, int number) {
  TRY_ASSIGN(const auto runner, find_running(task));
  return runner->signal(task.rank, number);
}

Result<void> LocalEngine::pause(model::AttemptId attempt) {
  const auto runner = find(attempt);
  return runner ? runner->freeze(true) : unknown(attempt);
}

Result<void> LocalEngine::resume(model::AttemptId attempt) {
  const auto runner = find(attempt);
  return runner ? runner->freeze(false) : unknown(attempt);
}

Result<LogFiles> LocalEngine::logs(model::TaskId task) const {
  if (!os::file_exists(context_->paths.task(task))) {
    return make_error(ErrorCode::kNotFound, "no logs of task " + task.to_string());
  }
  return LogFiles{.paths = existing_logs(context_->paths.log(task), context_->options.log_files)};
}

Result<std::unique_ptr<TerminalSession>> LocalEngine::exec(const ExecRequest& request,
                                                           TerminalSession::Callbacks callbacks) {
  TRY_ASSIGN(const auto runner, find_running(request.task));
  return open_exec(*context_, *runner, request, std::move(callbacks));
}

Result<std::unique_ptr<TerminalSession>> LocalEngine::attach(model::TaskId task, TerminalSession::Callbacks callbacks) {
  TRY_ASSIGN(const auto runner, find_running(task));
  return open_attach(*context_, *runner, task, std::move(callbacks));
}

Result<TaskStats> LocalEngine::stats(model::TaskId task) {
  TRY_ASSIGN(const auto runner, find_running(task));
  return context_->is_rootless ? process_stats(runner->init_pid(task.rank))
                               : Cgroup(context_->cgroups, context_->paths.cgroup(task)).stats();
}

Result<std::vector<Json>> LocalEngine::preview(const AttemptLaunch& launch) {
  TRY(check_launch(launch));
  TRY_ASSIGN(const PreparedRootfs rootfs, prepare_rootfs(*context_, launch.image));
  std::vector<Json> configs;
  for (const TaskLaunch& task : launch.tasks) {
    TRY_ASSIGN(Json config, task_config(*context_, launch, task, rootfs));
    configs.push_back(std::move(config));
  }
  return configs;
}

Result<void> LocalEngine::forget(model::AttemptId attempt) {
  if (const auto runner = find(attempt); runner && !runner->is_gone()) {
    return make_error(ErrorCode::kFailedPrecondition, "attempt " + attempt.to_string() + " still runs; stop it first");
  }
  {
    const std::lock_guard lock(mutex_);
    attempts_.erase(attempt);
  }
  context_->ports->release(attempt);
  // One rename, so that a crash leaves all or nothing; big logs take their time in the background.
  const std::string path = context_->paths.forgotten(attempt);
  if (::rename(context_->paths.attempt(attempt).c_str(), path.c_str()) != 0) {
    return errno == ENOENT ? Result<void>() : os::errno_failure("cannot delete the files of " + attempt.to_string());
  }
  remove_later(path);
  return {};
}

void LocalEngine::remove_later(const std::string& path) {
  const auto remove = [path] {
    if (const auto removed = os::remove_tree(path); !removed) {
      LOG(kWarning, "files_not_deleted", {{"path", path}, {"error", removed.error().to_string()}});
    }
  };
  if (!context_->images->submit(remove)) {
    remove();  // Who deletes more than the queue takes waits for it.
  }
}

Result<std::vector<model::AttemptId>> LocalEngine::kept() const {
  TRY_ASSIGN(const std::vector<os::DirEntry> entries, os::list_dir(context_->paths.attempts_dir()));
  std::vector<model::AttemptId> kept;
  for (const os::DirEntry& entry : entries) {
    const auto id = parse_attempt_id(entry.name);
    const auto runner = id ? find(*id) : nullptr;
    // Without a runner: of an earlier life, and adopt has ended what it found running.
    if (id && (!runner || runner->is_gone())) {
      kept.push_back(*id);
    }
  }
  std::sort(kept.begin(), kept.end());
  return kept;
}

Bytes LocalEngine::kept_bytes(model::AttemptId attempt) const {
  return bytes_of_files(context_->paths.attempt(attempt));
}

void LocalEngine::shutdown() {
  if (is_shut_down_.exchange(true)) {
    return;
  }
  // No new events, then no new work, then no new facts.
  context_->reactor->stop();
  context_->images->stop();
  context_->work->stop();
  if (context_->facts) {
    context_->facts->stop();
  }
  // Running containers keep their layers; the next engine makes its own.
  if (const auto unmounted = context_->is_rootless ? Result<void>() : unmount(context_->paths.masks_dir());
      !unmounted) {
    LOG(kWarning, "masks_not_unmounted", {{"error", unmounted.error().to_string()}});
  }
  // Only what is empty goes.
  if (context_->is_rootless) {
    ::rmdir(context_->paths.tasks_run_dir().c_str());
    ::rmdir(os::parent_path(context_->paths.tasks_run_dir()).c_str());
  }
  Cgroup(context_->cgroups, context_->paths.cgroup_top()).remove();
  lock_.reset();
}

Result<void> check_options(const LocalOptions& options) {
  for (const std::string* dir : {&options.state_dir, &options.run_dir}) {
    if (!dir->starts_with('/') || dir->find(',') != std::string::npos || dir->find(':') != std::string::npos) {
      return make_error(ErrorCode::kInvalidArgument,
                        "the directory \"" + *dir + "\" must be absolute, without , and : (overlay cannot name them)");
    }
  }
  if (options.run_dir.size() > kMaxRunDir) {
    return make_error(ErrorCode::kInvalidArgument,
                      "the run directory " + options.run_dir + " is longer than " + std::to_string(kMaxRunDir) +
                          " bytes, too long for sockets; use a shorter one, such as /run/busbar");
  }
  return {};
}

}  // namespace

Result<std::unique_ptr<Engine>> make_local_engine(const LocalOptions& options, std::vector<RootfsProvider*> providers,
                                                  DeviceProbe& probe, const Clock& clock) {
  TRY(check_options(options));
  TRY(os::make_dirs(options.state_dir, 0700));
  TRY(os::make_dirs(options.run_dir, 0700));
  TRY_ASSIGN(os::UniqueFd lock, take_lock(options.state_dir));
  TRY_ASSIGN(MachineFacts machine, read_machine_facts(options.node_name));
  TRY_ASSIGN(auto context, open_context(options, std::move(providers), clock));
  auto node = std::make_unique<NodeWatch>(*context, probe, std::move(machine));
  return std::make_unique<LocalEngine>(std::move(context), std::move(lock), std::move(node));
}

}  // namespace busbar::engine
