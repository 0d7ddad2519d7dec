#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>

#include "os/errno_error.h"
#include "os/files.h"
#include "os/process.h"

namespace busbar::os {
namespace {

using std::chrono::steady_clock;

/// The text as a file in memory: nothing to feed while the command runs, so no SIGPIPE and no deadlock.
Result<UniqueFd> stdin_of(const std::string& text) {
  UniqueFd file(memfd_create("busbar-stdin", MFD_CLOEXEC));
  if (!file.is_valid()) {
    return errno_failure("cannot make a file in memory");
  }
  TRY(write_all(file.get(), text, "a command's standard input"));
  if (lseek(file.get(), 0, SEEK_SET) != 0) {
    return errno_failure("cannot rewind a command's standard input");
  }
  return file;
}

/// One of the command's output streams.
struct Capture {
  UniqueFd read_end;
  std::string text = {};
  bool is_truncated = false;

  /// Takes what is there; closes at the end of the stream. Bounded, because a fast writer would hold us past every
  /// deadline; no less than a pipe can hold (1 MiB), because after the command's end nothing may be left behind.
  void drain(std::size_t max_output) {
    constexpr std::size_t kMaxTaken = 1 << 20;
    std::array<char, 16384> buffer;
    for (std::size_t taken = 0; read_end.is_valid() && taken < kMaxTaken;) {
      const ssize_t got = ::read(read_end.get(), buffer.data(), buffer.size());
      if (got < 0 && errno == EINTR) {
        continue;
      }
      if (got < 0 && errno == EAGAIN) {
        return;
      }
      if (got <= 0) {
        read_end.reset();
        return;
      }
      taken += static_cast<std::size_t>(got);
      const std::size_t kept = std::min(static_cast<std::size_t>(got), max_output - text.size());
      text.append(buffer.data(), kept);
      is_truncated = is_truncated || kept < static_cast<std::size_t>(got);
    }
  }
};

struct Running {
  Process process;
  Capture out;
  Capture err;
};

Result<Running> start(const std::vector<std::string>& argv, const CommandOptions& options) {
  TRY_ASSIGN(Pipe out, make_pipe());
  TRY_ASSIGN(Pipe err, make_pipe());
  UniqueFd input;
  if (!options.stdin_text.empty()) {
    TRY_ASSIGN(input, stdin_of(options.stdin_text));
  }
  std::vector<FdMapping> fds = options.fds;
  if (input.is_valid()) {
    fds.push_back({.parent_fd = input.get(), .child_fd = STDIN_FILENO});
  }
  fds.push_back({.parent_fd = out.write_end.get(), .child_fd = STDOUT_FILENO});
  fds.push_back({.parent_fd = err.write_end.get(), .child_fd = STDERR_FILENO});
  TRY_ASSIGN(Process process, Process::spawn({.argv = argv,
                                              .env = options.env,
                                              .cwd = options.cwd,
                                              .fds = std::move(fds),
                                              .is_session_leader = true,
                                              .credentials = {}}));
  for (const int fd : {out.read_end.get(), err.read_end.get()}) {
    fcntl(fd, F_SETFL, O_NONBLOCK);
  }
  return Running{.process = std::move(process),
                 .out = {.read_end = std::move(out.read_end)},
                 .err = {.read_end = std::move(err.read_end)}};
}

}  // namespace

Result<CommandResult> run_command(const std::vector<std::string>& argv, const CommandOptions& options) {
  TRY_ASSIGN(Running running, start(argv, options));
  const auto deadline = steady_clock::now() + options.timeout;
  while (true) {
    // poll skips negative descriptors: closed streams, no cancel_fd.
    std::array<pollfd, 4> polled{pollfd{running.process.pidfd(), POLLIN, 0},
                                 pollfd{running.out.read_end.get(), POLLIN, 0},
                                 pollfd{running.err.read_end.get(), POLLIN, 0}, pollfd{options.cancel_fd, POLLIN, 0}};
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - steady_clock::now());
    const auto wait_ms = static_cast<int>(std::clamp<std::int64_t>(left.count(), 0, 1 << 30));
    if (poll(polled.data(), polled.size(), wait_ms) < 0 && errno != EINTR) {
      return errno_failure(fmt::format("cannot wait for {}", argv.front()));
    }
    const bool has_ended = polled[0].revents != 0;
    running.out.drain(options.max_output);
    running.err.drain(options.max_output);
    if (has_ended) {
      break;
    }
    // Leaving this function kills the whole group (~Process).
    if (polled[3].revents != 0) {
      return make_error(ErrorCode::kCancelled, fmt::format("{} was cancelled", argv.front()));
    }
    if (wait_ms == 0) {
      return make_error(ErrorCode::kDeadlineExceeded,
                        fmt::format("{} still ran after {}ms", argv.front(), options.timeout.count()),
                        running.err.text);
    }
  }
  TRY_ASSIGN(const ExitStatus status, running.process.wait(std::chrono::milliseconds(0)));
  return CommandResult{.exit_code = status.exit_code,
                       .signal = status.signal,
                       .stdout_text = std::move(running.out.text),
                       .stderr_text = std::move(running.err.text),
                       .is_truncated = running.out.is_truncated || running.err.is_truncated};
}

}  // namespace busbar::os
