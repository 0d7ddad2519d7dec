#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/fake_engine.h"

namespace busbar::engine {

struct FakeMachine::Task {
  TaskLaunch launch = {};
  bool ignores_sigterm = false;
  bool has_ended = false;
  std::uint64_t report_offset = 0;
  std::string log = {};  ///< Whole lines in the log format of log_line.h.
};

struct FakeMachine::Attempt {
  AttemptLaunch launch = {};
  std::vector<Task> tasks = {};
  std::vector<Fact> history = {};
  bool is_created = false;
  bool is_release_wanted = false;
  bool is_released = false;
  bool is_paused = false;
  bool is_gone = false;
  std::vector<std::uint16_t> ports = {};
};

/// Everything behind one lock. Functions named `_locked` need `mutex` held.
struct FakeMachine::State {
  using Delivery = std::function<void(const FactSink&)>;

  explicit State(FakeMachineOptions machine_options);
  ~State();

  Attempt* find_locked(model::AttemptId id);
  Task* find_live_task_locked(model::TaskId id);
  void emit_locked(Attempt* attempt, decltype(Fact::body) body);
  void enqueue_locked(Delivery delivery);
  void create_locked(Attempt& attempt);
  void release_locked(Attempt& attempt);
  void run_locked(Attempt& attempt, std::uint32_t rank);
  void end_locked(Attempt& attempt, std::uint32_t rank, TaskEnded ended);
  /// As stop() does with each task.
  void stop_task_locked(Attempt& attempt, std::uint32_t rank, std::int64_t grace_ms, int signal_first);
  /// Ranks from `first` on are given to others: what became of the former ones is not told again.
  void drop_former_locked(Attempt& attempt, std::uint32_t first);
  void report_locked(Attempt& attempt, std::uint32_t rank, std::vector<std::string> lines);
  void print_locked(Task& task, const std::string& text);

  mutable std::mutex mutex;
  std::condition_variable changed;
  FakeMachineOptions options;
  std::map<model::AttemptId, Attempt> attempts;
  std::vector<model::AttemptId> started;
  std::vector<std::pair<model::TaskId, int>> signals;
  std::optional<Error> next_start_error;
  std::deque<Delivery> queue;
  bool is_watched = false;  ///< An engine has adopted: facts are queued, not only remembered.
  const Clock* clock = nullptr;
  std::map<model::AttemptId, std::vector<std::uint16_t>> early_ports;  ///< Leased before start().
  std::uint16_t next_port = 20000;
  std::string log_dir;  ///< Made at the first call of logs().
};

/// One command of a task's script, as far as the fake understands it.
struct FakeCommand {
  enum class Kind { kExit, kPrint, kReport, kRunOn, kIgnoreTerm, kNothing };
  Kind kind = Kind::kNothing;
  int code = 0;
  std::string text = {};
};
/// The script in `argv`, see FakeMachine. Ends in kExit or kRunOn.
std::vector<FakeCommand> fake_script(const std::vector<std::string>& argv);

}  // namespace busbar::engine
