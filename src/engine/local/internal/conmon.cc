#include "engine/local/internal/conmon.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>

#include "base/json.h"
#include "base/text.h"
#include "engine/local/internal/cgroup.h"
#include "os/errno_error.h"
#include "os/event_fd.h"
#include "os/files.h"

namespace busbar::engine {
namespace {

constexpr std::chrono::seconds kForkTimeout{10};
/// A create takes 10-100 ms; a machine that swaps may need much longer.
constexpr std::chrono::seconds kCreateTimeout{60};

std::vector<std::string> conmon_argv(const ConmonRequest& request) {
  std::vector<std::string> argv{request.conmon,
                                "--cid",
                                request.container,
                                "--cuuid",
                                request.container,
                                "--name",
                                request.container,
                                "--runtime",
                                request.runtime,
                                "--runtime-arg=--root",
                                "--runtime-arg=" + request.runtime_root,
                                "--bundle",
                                request.bundle,
                                "--container-pidfile",
                                request.bundle + "/init.pid",
                                "--conmon-pidfile",
                                request.bundle + "/conmon.pid",
                                "--socket-dir-path",
                                request.socket_dir,
                                "--exit-dir",
                                request.exit_dir,
                                "--log-path",
                                "k8s-file:" + request.log_path,
                                "--log-level",
                                "error",
                                "--no-new-keyring",
                                "--no-sync-log",
                                "--full-attach"};
  if (request.has_terminal) {
    argv.insert(argv.end(), {"--terminal", "--stdin", "--leave-stdin-open"});
  }
  return argv;
}

Result<void> write_fifo(const std::string& path, const std::string& line) {
  TRY_ASSIGN(const os::UniqueFd fd, os::open_file(path, O_WRONLY | O_NONBLOCK));
  return os::write_all(fd.get(), line, path);
}

}  // namespace

Result<ConmonStart> spawn_conmon(const ConmonRequest& request) {
  TRY_ASSIGN(os::Pipe sync, os::make_pipe());
  TRY_ASSIGN(os::Pipe gate, os::make_pipe());
  TRY_ASSIGN(const os::UniqueFd errors,
             os::open_file(request.bundle + "/conmon.err", O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0600));
  constexpr int kSyncFd = 3;
  constexpr int kGateFd = 4;
  os::ProcessOptions options{
      .argv = conmon_argv(request),
      .env = std::vector<std::string>{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                                      "XDG_RUNTIME_DIR=" + os::parent_path(request.runtime_root),
                                      "_OCI_SYNCPIPE=" + std::to_string(kSyncFd),
                                      "_OCI_STARTPIPE=" + std::to_string(kGateFd)},
      .cwd = request.bundle,
      .fds = {{errors.get(), 2}, {sync.write_end.get(), kSyncFd}, {gate.read_end.get(), kGateFd}},
      .is_session_leader = true};
  TRY_ASSIGN(os::Process conmon, os::Process::spawn(options));
  // It waits for a byte before it forks: from then on it is where it belongs, and so is all that it starts.
  move_to_cgroups(request.cgroups, conmon.pid());
  TRY(os::write_all(gate.write_end.get(), std::string_view("\0", 1), "conmon's start pipe"));
  TRY_ASSIGN(const os::ExitStatus status, conmon.wait(kForkTimeout));
  if (!status.is_success()) {
    const std::string said = os::read_file(request.bundle + "/conmon.err", 4096).value_or("");
    return make_error(ErrorCode::kInternal, "conmon ended at once with " + status.to_string(), std::string(trim(said)));
  }
  return ConmonStart{.result = std::move(sync.read_end)};
}

Result<pid_t> parse_created(std::string_view text) {
  const auto json = parse_json(trim(text));
  if (!json) {
    return make_error(ErrorCode::kInternal, "conmon ended before the container was created", std::string(trim(text)));
  }
  const std::int64_t pid = (*json)["pid"].as_int(-1);
  if (pid > 0) {
    return static_cast<pid_t>(pid);
  }
  const std::string& message = (*json)["message"].as_string();
  return make_error(ErrorCode::kInternal, "the container runtime could not create the container",
                    std::string(trim(message.empty() ? text : message)));
}

Result<pid_t> wait_created(const ConmonStart& start) {
  const auto deadline = std::chrono::steady_clock::now() + kCreateTimeout;
  std::string text;
  while (text.find('\n') == std::string::npos) {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    if (left.count() <= 0 || !os::wait_readable(start.result.get(), left)) {
      return make_error(ErrorCode::kDeadlineExceeded, "the container was not created within 60 s");
    }
    char buffer[4096];
    const ssize_t n = ::read(start.result.get(), buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) {
      continue;
    }
    if (n < 0) {
      return os::errno_failure("cannot read conmon's answer");
    }
    if (n == 0) {
      break;
    }
    text.append(buffer, static_cast<std::size_t>(n));
  }
  return parse_created(text);
}

Result<std::int64_t> read_number_file(const std::string& path) {
  TRY_ASSIGN(const std::string text, os::read_file(path, 64));
  const auto number = parse_int(trim(text));
  if (!number) {
    return make_error(ErrorCode::kDataCorrupt, path + " holds \"" + std::string(trim(text)) + "\", not a number");
  }
  return *number;
}

os::UniqueFd open_conmon(const std::string& bundle, const std::string& container) {
  const auto pid = read_number_file(bundle + "/conmon.pid");
  if (!pid || *pid <= 0) {
    return {};
  }
  auto pidfd = os::open_pidfd(static_cast<pid_t>(*pid));
  if (!pidfd) {
    return {};
  }
  // After the pidfd is open the number cannot change hands; its command line says whose it is.
  const std::string command = os::read_file("/proc/" + std::to_string(*pid) + "/cmdline", 65536).value_or("");
  return command.find(std::string("--cid\0", 6) + container + std::string(1, '\0')) == std::string::npos
             ? os::UniqueFd()
             : std::move(*pidfd);
}

// conmon's ctl_handler: "1 ROWS COLUMNS" sets the window size, "2 0 0" opens the logs again.
Result<void> reopen_log(const std::string& bundle) {
  return write_fifo(bundle + "/ctl", "2 0 0\n");
}

Result<void> resize_terminal(const std::string& bundle, std::uint16_t rows, std::uint16_t columns) {
  return write_fifo(bundle + "/ctl", "1 " + std::to_string(rows) + " " + std::to_string(columns) + "\n");
}

}  // namespace busbar::engine
