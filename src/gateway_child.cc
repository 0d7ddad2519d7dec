#include "gateway_child.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <csignal>
#include <utility>

#include "base/json.h"
#include "os/event_fd.h"
#include "os/files.h"
#include "os/log.h"

namespace busbar {
namespace {

constexpr std::chrono::seconds kStartDeadline{10};
constexpr std::chrono::seconds kDrainDeadline{35};
constexpr std::size_t kMaxInfoBytes = 64 << 10;

/// The first line that comes through the pipe; "" when it ends without one, or the deadline passes.
std::string read_line(int fd) {
  const auto deadline = std::chrono::steady_clock::now() + kStartDeadline;
  std::string line;
  while (line.find('\n') == std::string::npos) {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    if (left.count() <= 0 || !os::wait_readable(fd, left)) return {};
    std::array<char, 512> bytes = {};
    const ssize_t count = read(fd, bytes.data(), bytes.size());
    if (count <= 0) return {};
    line.append(bytes.data(), static_cast<std::size_t>(count));
  }
  return line.substr(0, line.find('\n'));
}

Result<std::string> last_line_of(const std::string& file) {
  TRY_ASSIGN(std::string text, os::read_file(file, std::size_t{64} << 20));
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text.substr(text.rfind('\n') + 1);
}

}  // namespace

std::optional<GatewayChild> GatewayChild::take_over(const std::string& state_dir) {
  const auto text = os::read_file(os::join_path(state_dir, "gateway.json"), kMaxInfoBytes);
  const auto json = text ? parse_json(*text) : tl::unexpected(text.error());
  if (!json) return std::nullopt;
  const auto pid = static_cast<pid_t>((*json)["pid"].as_int());
  if (pid <= 0) return std::nullopt;
  auto pidfd = os::open_pidfd(pid);
  const auto started = os::process_start_ticks(pid);
  // A number alone may be somebody else's by now.
  if (!pidfd || !started || static_cast<std::int64_t>(*started) != (*json)["start_ticks"].as_int()) return std::nullopt;
  LOG(kInfo, "gateway_taken_over", {{"pid", std::int64_t{pid}}, {"url", (*json)["url"].as_string()}});
  return GatewayChild((*json)["url"].as_string(), *std::move(pidfd));
}

Result<GatewayChild> GatewayChild::start(const std::string& state_dir, const std::vector<std::string>& flags) {
  if (auto running = take_over(state_dir)) return *std::move(running);
  TRY_ASSIGN(const std::string self, os::read_link("/proc/self/exe"));
  TRY_ASSIGN(os::Pipe out, os::make_pipe());
  const std::string log_file = os::join_path(state_dir, "gateway.log");
  TRY_ASSIGN(const os::UniqueFd log, os::open_file(log_file, O_WRONLY | O_CREAT | O_APPEND, 0640));
  std::vector<std::string> argv = {self, "gateway", "--state-dir", state_dir};
  argv.insert(argv.end(), flags.begin(), flags.end());
  TRY_ASSIGN(os::Process process, os::Process::spawn({.argv = argv,
                                                      .fds = {{.parent_fd = out.write_end.get(), .child_fd = 1},
                                                              {.parent_fd = log.get(), .child_fd = 2}},
                                                      .is_session_leader = true}));
  out.write_end.reset();
  const std::string line = read_line(out.read_end.get());
  constexpr std::string_view kReady = "busbar gateway is ready: ";
  if (!line.starts_with(kReady)) {
    return make_error(ErrorCode::kUnavailable, fmt::format("the gateway did not start with {}", fmt::join(flags, " ")),
                      last_line_of(log_file).value_or(""));
  }
  const std::string rest = line.substr(kReady.size());
  return GatewayChild(rest.substr(0, rest.find(' ')), process.release());
}

void GatewayChild::stop() {
  if (!os::signal_pidfd(pidfd_.get(), SIGTERM)) return;
  if (!os::wait_readable(pidfd_.get(), kDrainDeadline)) {
    LOG(kWarning, "gateway_killed", {{"reason", "it did not drain in time"}});
    static_cast<void>(os::signal_pidfd(pidfd_.get(), SIGKILL));
    os::wait_readable(pidfd_.get(), kDrainDeadline);
  }
  // Ours to reap unless it was taken over.
  siginfo_t info = {};
  waitid(P_PIDFD, static_cast<id_t>(pidfd_.get()), &info, WEXITED | WNOHANG);
}

}  // namespace busbar
