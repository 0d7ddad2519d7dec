#include "os/process.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>
#include <thread>

#include "os/event_fd.h"
#include "os/test_dir.h"

namespace busbar::os {
namespace {

using namespace std::chrono_literals;

std::string read_all(int fd) {
  std::string text;
  char buffer[4096];
  for (ssize_t got = 0; (got = ::read(fd, buffer, sizeof(buffer))) > 0;) {
    text.append(buffer, static_cast<std::size_t>(got));
  }
  return text;
}

/// Runs a shell script with its output on a pipe; what it printed.
std::string output_of(ProcessOptions options) {
  auto pipe = make_pipe();
  options.fds.push_back({.parent_fd = pipe->write_end.get(), .child_fd = 1});
  auto process = Process::spawn(options);
  EXPECT_TRUE(process.has_value()) << process.error().to_string();
  pipe->write_end.reset();
  std::string text = read_all(pipe->read_end.get());
  EXPECT_TRUE(process->wait(10s)->is_success());
  return text;
}

TEST(Process, TellsExitCodeAndSignalApart) {
  auto exits = Process::spawn({.argv = {"sh", "-c", "exit 3"}});
  ASSERT_TRUE(exits.has_value()) << exits.error().to_string();
  EXPECT_EQ(exits->wait(10s).value(), (ExitStatus{.exit_code = 3, .signal = 0}));
  EXPECT_EQ(exits->wait(0ms)->to_string(), "exit code 3");
  auto dies = Process::spawn({.argv = {"sh", "-c", "kill -TERM $$"}});
  EXPECT_EQ(dies->wait(10s)->to_string(), "signal 15 (Terminated)");
}

TEST(Process, WaitHasADeadlineAndTheProcessCanBeSignalled) {
  auto process = Process::spawn({.argv = {"sleep", "1000"}});
  ASSERT_TRUE(process.has_value());
  EXPECT_EQ(process->wait(0ms).error().code, ErrorCode::kDeadlineExceeded);
  EXPECT_FALSE(wait_readable(process->pidfd(), 0ms));
  ASSERT_TRUE(process->signal(SIGINT).has_value());
  EXPECT_EQ(process->wait(10s)->signal, SIGINT);
  EXPECT_EQ(process->signal(SIGINT).error().code, ErrorCode::kNotFound);
}

TEST(Process, FailuresToStartNameTheirReason) {
  EXPECT_EQ(Process::spawn({.argv = {"no-such-program-here"}}).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(Process::spawn({.argv = {"/no/such/program"}}).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(Process::spawn({.argv = {"/etc/passwd"}}).error().code, ErrorCode::kPermissionDenied);
  const auto no_dir = Process::spawn({.argv = {"true"}, .cwd = "/no/such"});
  EXPECT_EQ(no_dir.error().code, ErrorCode::kNotFound);
  EXPECT_NE(no_dir.error().message.find("/no/such"), std::string::npos);
  EXPECT_EQ(Process::spawn({}).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(Process::spawn({.argv = {"true"}, .fds = {{0, 5}, {1, 5}}}).error().code, ErrorCode::kInvalidArgument);
}

TEST(Process, GivesEnvironmentDirectoryAndArguments) {
  const std::string text =
      output_of({.argv = {"/bin/sh", "-c", "pwd; echo \"$A-$B-${HOME-unset}\"; echo \"$1\"", "sh", "two words"},
                 .env = std::vector<std::string>{"A=1", "B=x y"},
                 .cwd = "/usr"});
  EXPECT_EQ(text, "/usr\n1-x y-unset\ntwo words\n");
}

TEST(Process, HasOnlyTheDescriptorsItWasGiven) {
  const UniqueFd leaky(::open("/dev/null", O_RDONLY));  // on purpose without O_CLOEXEC
  auto extra = make_pipe();
  const std::string text =
      output_of({.argv = {"/bin/sh", "-c", "ls /proc/$$/fd"}, .fds = {{extra->read_end.get(), 7}}});
  // A shell may keep its script's descriptor at 10 and above.
  EXPECT_EQ(text.substr(0, 8), "0\n1\n2\n7\n") << text;
  EXPECT_EQ(text.find("\n" + std::to_string(leaky.get()) + "\n"), std::string::npos) << text;
}

TEST(Process, MappingsMayCross) {
  const TestDir dir;
  ASSERT_TRUE(write_file_atomic(dir.file("a"), "A").has_value());
  ASSERT_TRUE(write_file_atomic(dir.file("b"), "B").has_value());
  const auto a = open_file(dir.file("a"), O_RDONLY);
  const auto b = open_file(dir.file("b"), O_RDONLY);
  // Each takes the other's number.
  const std::string script = "cat <&" + std::to_string(a->get()) + "; cat <&" + std::to_string(b->get());
  EXPECT_EQ(output_of({.argv = {"/bin/bash", "-c", script}, .fds = {{a->get(), b->get()}, {b->get(), a->get()}}}),
            "BA");
}

TEST(Process, StartsWithDefaultSignals) {
  std::signal(SIGPIPE, SIG_IGN);
  sigset_t blocked;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &blocked, nullptr);
  const std::string text = output_of({.argv = {"cat", "/proc/self/status"}});
  pthread_sigmask(SIG_UNBLOCK, &blocked, nullptr);
  std::signal(SIGPIPE, SIG_DFL);
  for (const std::string_view name : {"SigBlk", "SigIgn"}) {
    EXPECT_NE(text.find(std::string(name) + ":\t0000000000000000\n"), std::string::npos) << text;
  }
}

TEST(Process, ASessionLeaderTakesItsGroupAlong) {
  auto pipe = make_pipe();
  auto process = Process::spawn({.argv = {"/bin/sh", "-c", "sleep 1000 & echo ready; wait"},
                                 .fds = {{pipe->write_end.get(), 1}},
                                 .is_session_leader = true});
  ASSERT_TRUE(process.has_value());
  pipe->write_end.reset();
  char ready[6];
  ASSERT_EQ(::read(pipe->read_end.get(), ready, sizeof(ready)), 6);
  ASSERT_TRUE(process->signal_group(SIGKILL).has_value());
  // The end of the stream comes only when the sleeping grandchild is gone too.
  EXPECT_EQ(read_all(pipe->read_end.get()), "");
  EXPECT_EQ(process->wait(10s)->signal, SIGKILL);
}

TEST(Process, DestructionLeavesNothingBehind) {
  auto pipe = make_pipe();
  {
    auto process = Process::spawn({.argv = {"sleep", "1000"}, .fds = {{pipe->write_end.get(), 1}}});
    ASSERT_TRUE(process.has_value());
    pipe->write_end.reset();
  }
  EXPECT_EQ(read_all(pipe->read_end.get()), "");
}

TEST(Process, CanBecomeAnotherUser) {
  if (::geteuid() != 0) {
    GTEST_SKIP() << "needs root";
  }
  const std::string text = output_of(
      {.argv = {"/bin/sh", "-c", "id -u; id -g; id -G"}, .credentials = Credentials{.uid = 65534, .gid = 65534}});
  EXPECT_EQ(text, "65534\n65534\n65534\n");
  EXPECT_EQ(::geteuid(), 0u);
}

TEST(Process, ThreadsSpawnAtTheSameTime) {
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([t] {
      for (int i = 0; i < 20; ++i) {
        auto process = Process::spawn({.argv = {"/bin/sh", "-c", "exit " + std::to_string(t + 1)}});
        ASSERT_TRUE(process.has_value());
        EXPECT_EQ(process->wait(30s)->exit_code, t + 1);
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
}

TEST(Process, PidsOfOthersAreHeldByPidfd) {
  auto process = Process::spawn({.argv = {"sleep", "1000"}});
  ASSERT_TRUE(process.has_value());
  const auto adopted = open_pidfd(process->pid());
  ASSERT_TRUE(adopted.has_value());
  EXPECT_GT(process_start_ticks(process->pid()).value(), 0u);
  ASSERT_TRUE(signal_pidfd(adopted->get(), SIGKILL).has_value());
  EXPECT_TRUE(wait_readable(adopted->get(), 10s));
  EXPECT_EQ(process->wait(10s)->signal, SIGKILL);
  EXPECT_EQ(signal_pidfd(adopted->get(), 0).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(process_start_ticks(process->pid()).error().code, ErrorCode::kNotFound);
}

TEST(Process, ReleaseLetsTheChildGoOn) {
  auto process = Process::spawn({.argv = {"sleep", "1000"}});
  const pid_t pid = process->pid();
  const UniqueFd pidfd = process->release();
  {
    const Process gone = std::move(*process);
  }
  EXPECT_FALSE(wait_readable(pidfd.get(), 0ms));
  ASSERT_TRUE(signal_pidfd(pidfd.get(), SIGKILL).has_value());
  EXPECT_TRUE(wait_readable(pidfd.get(), 10s));
  EXPECT_TRUE(process_start_ticks(pid).has_value());  // a zombie until it is reaped
}

TEST(FindProgram, LooksInPathOnly) {
  EXPECT_EQ(find_program("sh", "/nowhere:/bin").value(), "/bin/sh");
  EXPECT_EQ(find_program("./x", "/bin").value(), "./x");
  EXPECT_EQ(find_program("sh", "/nowhere").error().code, ErrorCode::kNotFound);
}

}  // namespace
}  // namespace busbar::os
