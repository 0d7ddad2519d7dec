#include "os/process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/close_range.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>

#include "base/text.h"
#include "os/errno_error.h"
#include "os/event_fd.h"
#include "os/files.h"

extern char** environ;

namespace busbar::os {
namespace {

/// The child runs on this until exec. What it calls needs far less.
[[maybe_unused]] constexpr std::size_t kChildStackBytes = 64 << 10;

enum class Step { kNone, kSession, kDescriptors, kCredentials, kDirectory, kExec };

/// Where the child stopped; written by the child before it ends, read by the parent, which sleeps until then
/// (CLONE_VFORK). In memory of its own that both see, whether or not the clone shares the rest.
struct Outcome {
  Step failed_step = Step::kNone;
  int failed_errno = 0;
};

struct Unmap {
  void operator()(Outcome* outcome) const { munmap(outcome, sizeof(Outcome)); }
};
using SharedOutcome = std::unique_ptr<Outcome, Unmap>;

/// All that the child needs, made by the parent: between clone and exec the child shares the parent's memory, while
/// other threads may hold locks, so it may not allocate.
struct ChildPlan {
  const ProcessOptions* options = nullptr;
  std::string program;
  std::vector<char*> argv;
  std::vector<char*> env;
  std::vector<FdMapping> fds;  ///< By child_fd; parent_fd is moved out of the way by the child.
  int first_free_fd = 3;       ///< Above every child_fd.
  SharedOutcome outcome;
};

bool place_descriptors(ChildPlan& plan) {
  // Two passes, because one mapping's source may be another one's target.
  for (FdMapping& mapping : plan.fds) {
    mapping.parent_fd = mapping.parent_fd < 0 ? open("/dev/null", O_RDWR | O_CLOEXEC) : mapping.parent_fd;
    if (mapping.parent_fd < 0) {
      return false;
    }
    mapping.parent_fd = fcntl(mapping.parent_fd, F_DUPFD_CLOEXEC, plan.first_free_fd);
    if (mapping.parent_fd < 0) {
      return false;
    }
  }
  unsigned next = 0;
  for (const FdMapping& mapping : plan.fds) {
    if (dup2(mapping.parent_fd, mapping.child_fd) < 0) {
      return false;
    }
    const auto target = static_cast<unsigned>(mapping.child_fd);
    if (target > next) {
      syscall(SYS_close_range, next, target - 1, CLOSE_RANGE_CLOEXEC);
    }
    next = target + 1;
  }
  // Closed by exec, not now: a lock of ours is then held until the child is another program, so that whoever takes the
  // lock after our death finds every child by its command line. A kernel without the flag (before 5.11) leaves what
  // others opened without O_CLOEXEC; all of ours has it.
  syscall(SYS_close_range, next, ~0U, CLOSE_RANGE_CLOEXEC);
  return true;
}

bool take_credentials(const Credentials& credentials) {
  // Raw calls: glibc's would ask every thread of the parent to change too.
  return syscall(SYS_setgroups, credentials.groups.size(), credentials.groups.data()) == 0 &&
         syscall(SYS_setresgid, credentials.gid, credentials.gid, credentials.gid) == 0 &&
         syscall(SYS_setresuid, credentials.uid, credentials.uid, credentials.uid) == 0;
}

Step prepare_child(ChildPlan& plan) {
  const ProcessOptions& options = *plan.options;
  for (int number = 1; number < NSIG; ++number) {
    struct sigaction action = {};
    action.sa_handler = SIG_DFL;
    sigaction(number, &action, nullptr);  // fails for SIGKILL, SIGSTOP and glibc's own two, as it should
  }
  if (options.is_session_leader && setsid() < 0) {
    return Step::kSession;
  }
  if (!place_descriptors(plan)) {
    return Step::kDescriptors;
  }
  if (options.credentials && !take_credentials(*options.credentials)) {
    return Step::kCredentials;
  }
  if (!options.cwd.empty() && chdir(options.cwd.c_str()) != 0) {
    return Step::kDirectory;
  }
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  execve(plan.program.c_str(), plan.argv.data(), plan.env.data());
  return Step::kExec;
}

int child_main(void* argument) {
  auto& plan = *static_cast<ChildPlan*>(argument);
  plan.outcome->failed_step = prepare_child(plan);
  plan.outcome->failed_errno = errno;
  _exit(127);
}

std::vector<char*> pointers_to(const std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  for (const std::string& text : texts) {
    pointers.push_back(const_cast<char*>(text.c_str()));  // execve's signature; it does not write
  }
  pointers.push_back(nullptr);
  return pointers;
}

std::string_view path_variable(const ProcessOptions& options) {
  constexpr std::string_view kName = "PATH=";
  if (options.env) {
    for (const std::string& entry : *options.env) {
      if (entry.starts_with(kName)) {
        return std::string_view(entry).substr(kName.size());
      }
    }
  } else if (const char* own = std::getenv("PATH")) {
    return own;
  }
  return "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
}

Result<ChildPlan> make_plan(const ProcessOptions& options) {
  if (options.argv.empty() || options.argv.front().empty()) {
    return make_error(ErrorCode::kInvalidArgument, "a process needs a program");
  }
  ChildPlan plan;
  plan.options = &options;
  TRY_ASSIGN(plan.program, find_program(options.argv.front(), path_variable(options)));
  plan.argv = pointers_to(options.argv);
  if (options.env) {
    plan.env = pointers_to(*options.env);
  } else {
    for (char** entry = environ; *entry != nullptr; ++entry) {
      plan.env.push_back(*entry);
    }
    plan.env.push_back(nullptr);
  }
  plan.fds = options.fds;
  for (int standard = 0; standard < 3; ++standard) {
    if (std::none_of(plan.fds.begin(), plan.fds.end(), [&](const FdMapping& m) { return m.child_fd == standard; })) {
      plan.fds.push_back({.parent_fd = -1, .child_fd = standard});
    }
  }
  std::sort(plan.fds.begin(), plan.fds.end(),
            [](const FdMapping& a, const FdMapping& b) { return a.child_fd < b.child_fd; });
  for (std::size_t i = 0; i < plan.fds.size(); ++i) {
    if (plan.fds[i].child_fd < 0 || (i > 0 && plan.fds[i].child_fd == plan.fds[i - 1].child_fd)) {
      return make_error(ErrorCode::kInvalidArgument,
                        fmt::format("descriptor {} of a child is mapped wrongly", plan.fds[i].child_fd));
    }
  }
  plan.first_free_fd = plan.fds.back().child_fd + 1;
  void* const memory = mmap(nullptr, sizeof(Outcome), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) {
    return errno_failure("cannot start a process");
  }
  plan.outcome.reset(new (memory) Outcome);
  return plan;
}

Error step_failure(const ChildPlan& plan) {
  const ProcessOptions& options = *plan.options;
  switch (plan.outcome->failed_step) {
    case Step::kSession:
      return errno_error("cannot make a session", plan.outcome->failed_errno);
    case Step::kDescriptors:
      return errno_error(fmt::format("cannot hand descriptors to {}", plan.program), plan.outcome->failed_errno);
    case Step::kCredentials:
      return errno_error(fmt::format("cannot become user {}", options.credentials->uid), plan.outcome->failed_errno);
    case Step::kDirectory:
      return errno_error(fmt::format("cannot change to directory {}", options.cwd), plan.outcome->failed_errno);
    case Step::kExec:
    case Step::kNone:
      return errno_error(fmt::format("cannot run {}", plan.program), plan.outcome->failed_errno);
  }
  return errno_error(fmt::format("cannot run {}", plan.program), plan.outcome->failed_errno);
}

/// Blocks every signal of this thread: the child shares our memory, so no handler of ours may run in it.
class AllSignalsBlocked {
 public:
  AllSignalsBlocked() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  AllSignalsBlocked(const AllSignalsBlocked&) = delete;
  AllSignalsBlocked& operator=(const AllSignalsBlocked&) = delete;
  ~AllSignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

 private:
  sigset_t before_;
};

pid_t clone_or_copy(ChildPlan& plan, int& pidfd) {
#ifdef __SANITIZE_THREAD__
  // ThreadSanitizer's own state must not be shared with the child, and only its own fork() leaves the child a copy in
  // which no lock is held by a thread that is not there. The parent sleeps until the exec, as by vfork.
  int ends[2] = {-1, -1};
  if (pipe2(ends, O_CLOEXEC) != 0) {
    return -1;
  }
  const UniqueFd read_end(ends[0]);
  UniqueFd write_end(fcntl(ends[1], F_DUPFD_CLOEXEC, plan.first_free_fd));
  close(ends[1]);
  const pid_t pid = fork();
  if (pid == 0) {
    child_main(&plan);
  }
  write_end.reset();
  char nothing = 0;
  while (pid > 0 && read(read_end.get(), &nothing, 1) < 0 && errno == EINTR) {
  }
  pidfd = pid > 0 ? static_cast<int>(syscall(SYS_pidfd_open, pid, 0)) : -1;
  return pid;
#else
  const auto stack = std::make_unique<char[]>(kChildStackBytes);
  return clone(child_main, stack.get() + kChildStackBytes, CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD, &plan,
               &pidfd);
#endif
}

Result<std::pair<pid_t, UniqueFd>> clone_child(ChildPlan& plan) {
  // The child's change of user would make our shared memory undumpable, which hides our own /proc files from us.
  const int dumpable = plan.options->credentials ? prctl(PR_GET_DUMPABLE) : -1;
  int pidfd = -1;
  pid_t pid = -1;
  int failure = 0;
  {
    const AllSignalsBlocked blocked;
    pid = clone_or_copy(plan, pidfd);
    failure = errno;
  }
  if (dumpable == 1) {
    prctl(PR_SET_DUMPABLE, 1);
  }
  if (pid < 0) {
    return tl::unexpected(errno_error("cannot start a process", failure));
  }
  return std::pair(pid, UniqueFd(pidfd));
}

}  // namespace

std::string ExitStatus::to_string() const {
  return signal != 0 ? fmt::format("signal {} ({})", signal, strsignal(signal))
                     : fmt::format("exit code {}", exit_code);
}

Result<Process> Process::spawn(const ProcessOptions& options) {
  TRY_ASSIGN(ChildPlan plan, make_plan(options));
  TRY_ASSIGN(auto child, clone_child(plan));
  Process process(child.first, std::move(child.second), options.is_session_leader);
  if (plan.outcome->failed_step != Step::kNone) {
    process.kill_and_reap();
    return tl::unexpected(step_failure(plan));
  }
  return process;
}

Process::Process(Process&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)),
      pidfd_(std::move(other.pidfd_)),
      leads_group_(other.leads_group_),
      status_(other.status_) {}

Process& Process::operator=(Process&& other) noexcept {
  if (this != &other) {
    kill_and_reap();
    pid_ = std::exchange(other.pid_, -1);
    pidfd_ = std::move(other.pidfd_);
    leads_group_ = other.leads_group_;
    status_ = other.status_;
  }
  return *this;
}

Process::~Process() {
  kill_and_reap();
}

void Process::kill_and_reap() {
  if (!pidfd_.is_valid() || status_) {
    return;
  }
  if (leads_group_) {
    ::kill(-pid_, SIGKILL);
  }
  syscall(SYS_pidfd_send_signal, pidfd_.get(), SIGKILL, nullptr, 0);
  siginfo_t info{};
  while (waitid(P_PIDFD, static_cast<id_t>(pidfd_.get()), &info, WEXITED) < 0 && errno == EINTR) {
  }
  status_ = ExitStatus{.exit_code = 0, .signal = SIGKILL};
}

Result<void> Process::signal(int number) {
  if (status_) {
    return make_error(ErrorCode::kNotFound, fmt::format("process {} has ended", pid_));
  }
  return signal_pidfd(pidfd_.get(), number);
}

Result<void> Process::signal_group(int number) {
  if (!leads_group_ || status_) {
    return make_error(ErrorCode::kFailedPrecondition, fmt::format("process {} leads no group", pid_));
  }
  if (::kill(-pid_, number) != 0) {
    return errno_failure(fmt::format("cannot send signal {} to process group {}", number, pid_));
  }
  return {};
}

Result<ExitStatus> Process::wait(std::chrono::milliseconds timeout) {
  if (status_) {
    return *status_;
  }
  if (!wait_readable(pidfd_.get(), timeout)) {
    return make_error(ErrorCode::kDeadlineExceeded,
                      fmt::format("process {} still runs after {}ms", pid_, timeout.count()));
  }
  siginfo_t info{};
  while (waitid(P_PIDFD, static_cast<id_t>(pidfd_.get()), &info, WEXITED) < 0) {
    if (errno != EINTR) {
      return errno_failure(fmt::format("cannot wait for process {}", pid_));
    }
  }
  status_ = info.si_code == CLD_EXITED ? ExitStatus{.exit_code = info.si_status, .signal = 0}
                                       : ExitStatus{.exit_code = 0, .signal = info.si_status};
  return *status_;
}

UniqueFd Process::release() {
  pid_ = -1;
  return std::move(pidfd_);
}

Result<UniqueFd> open_pidfd(pid_t pid) {
  UniqueFd fd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
  if (!fd.is_valid()) {
    return errno_failure(fmt::format("cannot open process {}", pid));
  }
  return fd;
}

Result<void> signal_pidfd(int pidfd, int number) {
  if (syscall(SYS_pidfd_send_signal, pidfd, number, nullptr, 0) != 0) {
    return errno_failure(fmt::format("cannot send signal {}", number));
  }
  return {};
}

Result<std::uint64_t> process_start_ticks(pid_t pid) {
  const std::string path = fmt::format("/proc/{}/stat", pid);
  TRY_ASSIGN(const std::string text, read_file(path, 4096));
  // The second field is the program's name in parentheses and may hold anything; fields are counted after its end.
  const std::size_t name_end = text.rfind(')');
  constexpr std::size_t kStartTime = 22 - 3;  // the first one after the name is field 3
  if (name_end != std::string::npos && name_end + 2 < text.size()) {
    const auto fields = split(std::string_view(text).substr(name_end + 2), ' ');
    const auto ticks = fields.size() > kStartTime ? parse_int(fields[kStartTime]) : std::nullopt;
    if (ticks) {
      return static_cast<std::uint64_t>(*ticks);
    }
  }
  return make_error(ErrorCode::kInternal, fmt::format("{} has no start time", path));
}

Result<Pipe> make_pipe() {
  int ends[2] = {-1, -1};
  if (pipe2(ends, O_CLOEXEC) != 0) {
    return errno_failure("cannot make a pipe");
  }
  return Pipe{.read_end = UniqueFd(ends[0]), .write_end = UniqueFd(ends[1])};
}

Result<std::string> find_program(std::string_view name, std::string_view path) {
  if (name.find('/') != std::string_view::npos) {
    return std::string(name);
  }
  for (const std::string_view dir : split(path, ':')) {
    std::string candidate = join_path(dir.empty() ? "." : dir, name);
    if (::access(candidate.c_str(), X_OK) == 0) {
      return candidate;
    }
  }
  return make_error(ErrorCode::kNotFound, fmt::format("program \"{}\" is not in PATH ({})", name, path));
}

Result<std::string> find_program(std::string_view name) {
  return find_program(name, path_variable({}));
}

}  // namespace busbar::os
