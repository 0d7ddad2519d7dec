#include "engine/local/internal/terminal.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <termios.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "engine/local/internal/conmon.h"
#include "engine/local/internal/terminal_io.h"
#include "os/errno_error.h"
#include "os/files.h"
#include "os/process.h"

namespace busbar::engine {
namespace {

constexpr std::size_t kMaxConfig = 4 << 20;

std::string scratch_name(const EngineContext& context) {
  static std::atomic<std::uint64_t> next = 1;
  return context.paths.scratch_dir() + "/x" + std::to_string(next++);
}

/// "pid:[4026532200]"; empty when there is no such process.
std::string pid_namespace_of(std::int64_t pid) {
  return os::read_link("/proc/" + std::to_string(pid) + "/ns/pid").value_or("");
}

Result<sockaddr_un> unix_address(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    return make_error(ErrorCode::kInvalidArgument, "the path " + path +
                                                       " is too long for a socket; use a shorter run "
                                                       "directory");
  }
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  return address;
}

/// Files that one exec needs besides the container: its process.json and pid file.
struct ExecFiles {
  explicit ExecFiles(std::string base) : process(base + ".json"), pid(base + ".pid") {}
  ~ExecFiles() {
    for (const std::string* path : {&process, &pid}) {
      ::unlink(path->c_str());
    }
  }
  ExecFiles(const ExecFiles&) = delete;
  ExecFiles& operator=(const ExecFiles&) = delete;

  const std::string process;
  const std::string pid;
};

/// What it takes to end an exec after its session.
struct ExecEnd {
  std::shared_ptr<Reactor> reactor = {};
  std::shared_ptr<TerminalIo> io = {};
  std::shared_ptr<ExecFiles> files = {};
  std::string pid_namespace = {};  ///< Of the container: tells whose process a number is.
  int tries = 100;
};

/// Kills the process in the container, whose number the runtime writes soon after its start: the runtime's own process,
/// which stays outside, is let go only then. On the reactor's thread.
void end_exec(ExecEnd end) {
  const auto pid = read_number_file(end.files->pid);
  if (!pid && end.tries > 0 && !end.io->has_ended()) {
    --end.tries;
    const std::shared_ptr<Reactor> reactor = end.reactor;
    reactor->after(std::chrono::milliseconds(10), [again = std::move(end)] { end_exec(again); });
    return;
  }
  const auto pidfd = os::open_pidfd(static_cast<pid_t>(pid.value_or(0)));
  // The runtime made it a session of its own; the open pidfd keeps the number from being given away.
  if (pid && *pid > 0 && pidfd && pid_namespace_of(*pid) == end.pid_namespace) {
    ::kill(static_cast<pid_t>(-*pid), SIGKILL);
  }
  end.io->close();
}

class ExecSession final : public TerminalSession {
 public:
  explicit ExecSession(ExecEnd end) : io_(end.io), end_(std::move(end)) {}

  ~ExecSession() override {
    io_->silence();
    const std::shared_ptr<Reactor> reactor = end_.reactor;
    reactor->post([end = std::move(end_)] { end_exec(end); });
  }

  bool write_input(std::string_view bytes) override { return io_->write_input(bytes); }
  void close_input() override { io_->close_input(); }
  void resize(std::uint16_t rows, std::uint16_t columns) override { io_->resize(rows, columns); }
  void signal(int number) override { io_->signal(number); }
  void pause_output(bool is_paused) override { io_->pause_output(is_paused); }

 private:
  std::shared_ptr<TerminalIo> io_;
  ExecEnd end_;
};

class AttachSession final : public TerminalSession {
 public:
  AttachSession(std::shared_ptr<TerminalIo> io, std::string bundle, std::function<void(int)> send_signal)
      : io_(std::move(io)), bundle_(std::move(bundle)), send_signal_(std::move(send_signal)) {}
  ~AttachSession() override { io_->close(); }

  bool write_input(std::string_view bytes) override { return io_->write_input(bytes); }
  void close_input() override { (void)io_->write_input("\x04"); }  // what a terminal's user types for it
  void resize(std::uint16_t rows, std::uint16_t columns) override { (void)resize_terminal(bundle_, rows, columns); }
  void signal(int number) override { send_signal_(number); }
  void pause_output(bool is_paused) override { io_->pause_output(is_paused); }

 private:
  std::shared_ptr<TerminalIo> io_;
  const std::string bundle_;
  std::function<void(int)> send_signal_;
};

Result<os::Process> spawn_with_pipes(os::ProcessOptions options, TerminalIo& io) {
  TRY_ASSIGN(os::Pipe in, os::make_pipe());
  TRY_ASSIGN(os::Pipe out, os::make_pipe());
  TRY_ASSIGN(os::Pipe err, os::make_pipe());
  options.fds = {{in.read_end.get(), 0}, {out.write_end.get(), 1}, {err.write_end.get(), 2}};
  TRY_ASSIGN(os::Process process, os::Process::spawn(options));
  io.set_input(std::move(in.write_end));
  io.add_output(1, std::move(out.read_end));
  io.add_output(2, std::move(err.read_end));
  return process;
}

/// Gives the runtime a terminal of our own as its standard streams, from which it copies to the one that it makes in
/// the container. The other way, --console-socket, works only detached (runc refuses it here), and loses the exit code.
Result<os::Process> spawn_with_terminal(os::ProcessOptions options, const ExecRequest& request, TerminalIo& io) {
  os::UniqueFd ours(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));
  char name[64];
  if (!ours.is_valid() || ::unlockpt(ours.get()) != 0 || ::ptsname_r(ours.get(), name, sizeof name) != 0) {
    return os::errno_failure("cannot make a terminal");
  }
  TRY_ASSIGN(const os::UniqueFd theirs, os::open_file(name, O_RDWR | O_NOCTTY));
  // Raw from the start: what is typed before the runtime has set its mode must not be echoed here.
  termios mode{};
  ::tcgetattr(theirs.get(), &mode);
  ::cfmakeraw(&mode);
  ::tcsetattr(theirs.get(), TCSANOW, &mode);
  options.fds = {{theirs.get(), 0}, {theirs.get(), 1}, {theirs.get(), 2}};
  options.is_session_leader = true;
  io.set_terminal(std::move(ours), request.rows, request.columns);
  return os::Process::spawn(options);
}

}  // namespace

Result<std::unique_ptr<TerminalSession>> open_exec(EngineContext& context, AttemptRunner& runner,
                                                   const ExecRequest& request, TerminalSession::Callbacks callbacks) {
  TRY(runner.check_running(request.task.rank));
  if (request.argv.empty()) {
    return make_error(ErrorCode::kInvalidArgument, "exec needs a command");
  }
  TRY_ASSIGN(const std::string text, os::read_file(context.paths.task(request.task) + "/config.json", kMaxConfig));
  TRY_ASSIGN(const Json config, parse_json(text));
  const std::vector<SecretFile>& secrets = runner.secrets_of(request.task.rank);
  TRY_ASSIGN(const std::int64_t init_pid, read_number_file(context.paths.task(request.task) + "/init.pid"));
  const auto files = std::make_shared<ExecFiles>(scratch_name(context));
  TRY(os::write_file_atomic(files->process, make_exec_process(config, secrets, request).dump(), 0600,
                            os::Durability::kCached));
  os::ProcessOptions options{.argv = {context.runtime->program(), "--root", context.runtime->root(), "exec",
                                      "--process", files->process, "--pid-file", files->pid}};
  options.argv.push_back(context.paths.container(request.task));
  const auto io = std::make_shared<TerminalIo>(context.reactor, std::move(callbacks));
  TRY_ASSIGN(os::Process process, request.has_terminal ? spawn_with_terminal(std::move(options), request, *io)
                                                       : spawn_with_pipes(std::move(options), *io));
  io->set_process(std::move(process));
  return std::make_unique<ExecSession>(
      ExecEnd{.reactor = context.reactor, .io = io, .files = files, .pid_namespace = pid_namespace_of(init_pid)});
}

Result<std::unique_ptr<TerminalSession>> open_attach(EngineContext& context, AttemptRunner& runner, model::TaskId task,
                                                     TerminalSession::Callbacks callbacks) {
  TRY(runner.check_running(task.rank));
  if (!runner.has_terminal()) {
    return make_error(ErrorCode::kFailedPrecondition,
                      "task " + task.to_string() + " has no terminal; use exec, or start the job with type: dev");
  }
  const std::string bundle = context.paths.task(task);
  // By a descriptor of the directory: its path may be longer than a socket's may.
  TRY_ASSIGN(const os::UniqueFd dir, os::open_file(bundle, O_PATH | O_DIRECTORY));
  TRY_ASSIGN(const sockaddr_un address, unix_address("/proc/self/fd/" + std::to_string(dir.get()) + "/attach"));
  os::UniqueFd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  if (!socket.is_valid() || ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return os::errno_failure("cannot reach the terminal of task " + task.to_string());
  }
  const auto io = std::make_shared<TerminalIo>(context.reactor, std::move(callbacks));
  io->set_attach_socket(std::move(socket));
  const std::weak_ptr<TerminalIo> weak = io;
  runner.when_ended(task.rank, [weak](int code) {
    if (const auto session = weak.lock()) {
      session->finish(code);
    }
  });
  return std::make_unique<AttachSession>(io, bundle,
                                         [weak_runner = runner.weak_from_this(), rank = task.rank](int number) {
                                           if (const auto owner = weak_runner.lock()) {
                                             (void)owner->signal(rank, number);
                                           }
                                         });
}

}  // namespace busbar::engine
