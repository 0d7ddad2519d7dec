#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "engine/local/internal/engine_context.h"
#include "engine/local/internal/strand.h"
#include "os/unique_fd.h"

namespace busbar::engine {

/// Exit code of a task whose program never ran.
inline constexpr int kNeverRan = 128;

/// The life of one attempt on this machine: image, containers up to the barrier, release, exits, stop, cleaning up, and
/// the same after a restart of the server. The disk (events.jsonl, exit files) is the truth; this object is made from
/// it.
///
/// All work runs on the attempt's strand; public calls are thread-safe, only post, and return at once. Facts are
/// written to events.jsonl before they are delivered.
class AttemptRunner : public std::enable_shared_from_this<AttemptRunner> {
 public:
  /// Borrows `context`.
  AttemptRunner(EngineContext& context, AttemptLaunch launch);
  ~AttemptRunner();

  /// Takes possession of the attempt's directory, then makes the containers in the background.
  Result<void> start();
  void release();
  void stop(std::int64_t grace_ms, int signal_first);
  /// More tasks, beside those that run; and the end of the last ones. See Engine.
  void extend(Extension extension);
  void shrink(const Reduction& reduction);
  Result<void> signal(std::uint32_t rank, int number);
  Result<void> freeze(bool is_frozen);
  /// Goes on from what is on disk, delivering its facts again.
  void adopt();
  /// For attempts that nobody wants any more: ends everything, tells nobody. Blocks.
  void destroy();

  /// From the reactor: conmon has written the exit file, or has ended.
  void on_exit_file(std::uint32_t rank);
  void rotate_logs();

  bool has_terminal() const { return launch_.has_terminal; }
  std::vector<SecretFile> secrets_of(std::uint32_t rank) const {
    const std::lock_guard lock(mutex_);
    return rank < tasks_.size() ? launch_.tasks[rank].secrets : std::vector<SecretFile>();
  }
  bool is_gone() const { return is_gone_; }
  /// kFailedPrecondition if user code does not run (yet, or any more).
  Result<void> check_running(std::uint32_t rank) const;
  /// The container's first process; 0 when it is not known.
  pid_t init_pid(std::uint32_t rank) const {
    const std::lock_guard lock(mutex_);
    return rank < tasks_.size() ? tasks_[rank].init_pid : 0;
  }
  /// Calls back when the task has ended, with its exit code; at once if it has. For attached terminals.
  void when_ended(std::uint32_t rank, std::function<void(int)> callback);

 private:
  struct Task {
    model::TaskId id = {};
    os::UniqueFd init = {};  ///< pidfd of the container's first process.
    pid_t init_pid = 0;
    os::UniqueFd conmon = {};  ///< pidfd, watched by the reactor while valid.
    int report_watch = -1;
    std::uint64_t report_offset = 0;
    bool is_created = false;
    bool has_ended = false;
    int exit_code = 0;
    std::vector<std::function<void(int)>> on_end = {};
  };
  enum class Phase { kNew, kPreparing, kCreated, kReleased, kGone };
  struct Stop {
    TimeMs deadline_ms = 0;
    Reactor::TimerId timer = 0;
  };
  struct Shrink {
    std::uint32_t kept = 0;
    Stop stop = {};
  };

  void post(std::function<void()> work);

  // On the strand.
  void on_image(Result<PreparedRootfs> rootfs);
  /// Of the tasks from `first` on that have none and have not ended.
  Result<void> create_containers(const PreparedRootfs& rootfs, std::uint32_t first);
  void watch_task(Task& task);
  void unwatch_task(Task& task);
  void try_release();
  void begin_stop(std::int64_t grace_ms, int signal_first);
  void send_stop_signals(const std::vector<int>& numbers, std::uint32_t first);
  void send_when_ready(std::uint32_t rank, int number, int tries);
  void kill_from(std::uint32_t first);
  void kill_at(TimeMs deadline_ms, Stop& stop, std::uint32_t first);
  bool is_told_to_end(const Task& task) const { return stop_ || (shrink_ && task.id.rank >= shrink_->kept); }
  void take_exit(Task& task);
  void take_lost_monitor(Task& task);
  void read_reports(Task& task);
  void end_task(Task& task, TaskEnded ended);
  void fail_all(model::ExitClass exit_class, int exit_code, const std::string& detail);
  void finish_if_over();
  void clean_up();
  void clean_up_from(std::uint32_t first);
  void record(AttemptEvent event);
  void kill_strays(std::uint32_t first = 0);

  // Tasks that come and go (attempt_resize.cc).
  void begin_extend(Extension extension);
  void finish_extend(Result<PreparedRootfs> rootfs, std::uint32_t first);
  Result<void> run_added(const PreparedRootfs& rootfs, std::uint32_t first);
  void end_unmade(std::uint32_t first, model::ExitClass exit_class, int exit_code, const std::string& detail);
  void begin_shrink(const Reduction& reduction);
  void finish_shrink();
  void forget_from(std::uint32_t first);
  void write_files();

  // Adoption (attempt_adopt.cc).
  void adopt_now();
  void replay(const std::vector<AttemptEvent>& events);
  void adopt_task(Task& task);
  void adopt_resizes(const std::vector<AttemptEvent>& events);
  void remove_half_made(model::TaskId task);
  void finish_release();

  /// Of the tasks from `first` on.
  std::vector<std::string> containers(std::uint32_t first = 0) const;
  Cgroup cgroup(const Task& task) const { return {context_.cgroups, context_.paths.cgroup(task.id)}; }

  EngineContext& context_;
  /// Its tasks change with `tasks_`.
  AttemptLaunch launch_;
  std::shared_ptr<Strand> strand_;
  std::atomic<bool> is_gone_ = false;
  std::atomic<bool> is_released_ = false;

  // Only the strand writes; `mutex_` guards what other threads read: the tasks' number, Task::has_ended, exit_code,
  // init, on_end.
  mutable std::mutex mutex_;
  std::vector<Task> tasks_;
  Phase phase_ = Phase::kNew;
  bool is_release_wanted_ = false;
  bool is_silent_ = false;  ///< destroy(): no facts.
  std::optional<Stop> stop_;
  std::optional<Shrink> shrink_;
  std::map<std::string, std::string> files_;  ///< Of the last change of its tasks: who belongs to it.
};

}  // namespace busbar::engine
