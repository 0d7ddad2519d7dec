#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "os/unique_fd.h"

namespace busbar::os {

/// `parent_fd` of this process becomes `child_fd` of the child; borrowed until spawn returns.
struct FdMapping {
  int parent_fd = -1;
  int child_fd = -1;
};

struct Credentials {
  uid_t uid = 0;
  gid_t gid = 0;
  std::vector<gid_t> groups = {};  ///< Supplementary groups: exactly these.
};

struct ProcessOptions {
  /// argv[0] without a slash is looked up in PATH (the child's, if `env` is given).
  std::vector<std::string> argv = {};
  /// "NAME=value" each; nullopt: this process's own.
  std::optional<std::vector<std::string>> env = {};
  std::string cwd = {};  ///< Empty: this process's own.
  /// The only descriptors that the child has. 0, 1 and 2 are /dev/null unless named here.
  std::vector<FdMapping> fds = {};
  /// Its own session and process group, so that a terminal's Ctrl-C does not reach it and signal_group does.
  bool is_session_leader = false;
  std::optional<Credentials> credentials = {};  ///< Needs root.
};

/// How a process ended: by itself with `exit_code`, or by `signal` (then not 0).
struct ExitStatus {
  int exit_code = 0;
  int signal = 0;

  bool is_success() const { return exit_code == 0 && signal == 0; }
  /// "exit code 3", "signal 9 (Killed)".
  std::string to_string() const;
  friend bool operator==(const ExitStatus&, const ExitStatus&) = default;
};

/// A child process, held by a pidfd, so that a reused pid can never be hit. Thread-compatible; spawn is thread-safe.
///
/// spawn shares the address space until exec (clone with CLONE_VM | CLONE_VFORK): its cost, about 0.2 ms, does not grow
/// with the size of the server as fork's does. The child starts with default signal handlers and an empty mask.
class Process {
 public:
  /// kNotFound where the program or `cwd` is missing, kPermissionDenied where it may not run.
  static Result<Process> spawn(const ProcessOptions& options);

  Process(Process&&) noexcept;
  Process& operator=(Process&&) noexcept;
  /// Kills and reaps a child that has not been waited for: no zombies, nothing left running by mistake.
  ~Process();

  pid_t pid() const { return pid_; }
  /// Readable once the process has ended, so it fits any poll loop.
  int pidfd() const { return pidfd_.get(); }

  Result<void> signal(int number);
  /// To the whole process group; only with is_session_leader, and only before the end has been waited for.
  Result<void> signal_group(int number);

  /// Reaps. kDeadlineExceeded when it still runs after `timeout`; may be called again, also after the end.
  Result<ExitStatus> wait(std::chrono::milliseconds timeout);

  /// Lets go: the child runs on after this object, and the caller reaps `pid` or leaves that to init.
  UniqueFd release();

 private:
  Process(pid_t pid, UniqueFd pidfd, bool leads_group)
      : pid_(pid), pidfd_(std::move(pidfd)), leads_group_(leads_group) {}
  void kill_and_reap();

  pid_t pid_ = -1;
  UniqueFd pidfd_;
  bool leads_group_ = false;
  std::optional<ExitStatus> status_;
};

struct CommandOptions {
  std::optional<std::vector<std::string>> env = {};
  std::string cwd = {};
  std::string stdin_text = {};
  std::chrono::milliseconds timeout{30'000};
  std::size_t max_output = 1 << 20;  ///< Of each stream; the rest is read and dropped.
  std::vector<FdMapping> fds = {};   ///< Beyond 0, 1 and 2.
  int cancel_fd = -1;                ///< Borrowed; when it becomes readable the command is killed.
};

struct CommandResult {
  int exit_code = 0;
  int signal = 0;
  std::string stdout_text = {};
  std::string stderr_text = {};
  bool is_truncated = false;  ///< One of the streams was longer than max_output.

  bool is_success() const { return exit_code == 0 && signal == 0; }
};

/// Runs a program to its end and gives what it wrote. An exit code other than 0 is a result, not an error. After
/// `timeout` the whole process group is killed: kDeadlineExceeded; by cancel_fd: kCancelled. Returns when the program
/// itself ends, even where a daemon that it left behind still holds its output open.
Result<CommandResult> run_command(const std::vector<std::string>& argv, const CommandOptions& options = {});

/// For processes that are not our children (adopted after a restart). kNotFound when there is none.
Result<UniqueFd> open_pidfd(pid_t pid);
Result<void> signal_pidfd(int pidfd, int number);
/// When the process started, in clock ticks since boot (/proc/PID/stat, field 22): with the pid it names one process
/// for as long as the machine is up, so a recorded pair tells whether a pid has been reused.
Result<std::uint64_t> process_start_ticks(pid_t pid);

/// Two ends of a pipe, close-on-exec.
struct Pipe {
  UniqueFd read_end;
  UniqueFd write_end;
};
Result<Pipe> make_pipe();

/// The file that `name` means in a PATH such as "/usr/bin:/bin"; kNotFound.
Result<std::string> find_program(std::string_view name, std::string_view path);
/// In this process's own PATH.
Result<std::string> find_program(std::string_view name);

}  // namespace busbar::os
