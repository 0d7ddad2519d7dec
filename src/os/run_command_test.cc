#include <gtest/gtest.h>

#include <thread>

#include "os/event_fd.h"
#include "os/process.h"

namespace busbar::os {
namespace {

using namespace std::chrono_literals;

CommandResult run(const std::string& script, const CommandOptions& options = {}) {
  const auto result = run_command({"/bin/sh", "-c", script}, options);
  EXPECT_TRUE(result.has_value()) << result.error().to_string();
  return result.value_or(CommandResult{});
}

TEST(RunCommand, GivesBothStreamsAndTheExitCode) {
  const CommandResult result = run("echo out; echo err >&2; exit 4");
  EXPECT_EQ(result.stdout_text, "out\n");
  EXPECT_EQ(result.stderr_text, "err\n");
  EXPECT_EQ(result.exit_code, 4);
  EXPECT_FALSE(result.is_success());
  EXPECT_FALSE(result.is_truncated);
}

TEST(RunCommand, FeedsLargeInputThroughWithoutDeadlock) {
  const std::string text(3 << 20, 'x');
  const CommandResult result = run("cat; cat >&2 </dev/null", {.stdin_text = text, .max_output = 8 << 20});
  EXPECT_EQ(result.stdout_text, text);
  EXPECT_EQ(run("cat").stdout_text, "");
}

TEST(RunCommand, KeepsNoMoreThanAskedAndReadsOn) {
  const CommandResult result = run("head -c 500000 /dev/zero; echo done >&2", {.max_output = 1000});
  EXPECT_EQ(result.stdout_text.size(), 1000u);
  EXPECT_TRUE(result.is_truncated);
  EXPECT_EQ(result.stderr_text, "done\n");
}

TEST(RunCommand, KillsTheWholeGroupAtTheDeadline) {
  const auto result = run_command({"/bin/sh", "-c", "echo working >&2; sleep 1000 & sleep 1000"}, {.timeout = 200ms});
  EXPECT_EQ(result.error().code, ErrorCode::kDeadlineExceeded);
}

TEST(RunCommand, AWriterThatNeverStopsMeetsTheDeadline) {
  EXPECT_EQ(run_command({"yes"}, {.timeout = 100ms}).error().code, ErrorCode::kDeadlineExceeded);
}

TEST(RunCommand, IsCancelledByADescriptor) {
  auto cancel = EventFd::create();
  std::thread canceller([&] { cancel->set(); });
  EXPECT_EQ(run_command({"sleep", "1000"}, {.cancel_fd = cancel->fd()}).error().code, ErrorCode::kCancelled);
  canceller.join();
}

TEST(RunCommand, DoesNotWaitForADaemonThatHoldsItsOutput) {
  auto stop = make_pipe();
  // The daemon lives until this test closes the pipe, and holds the output open all that time.
  const CommandResult result = run("setsid sh -c 'read line <&9' & echo started", {.fds = {{stop->read_end.get(), 9}}});
  EXPECT_EQ(result.stdout_text, "started\n");
}

TEST(RunCommand, ReportsSignals) {
  EXPECT_EQ(run("kill -9 $$").signal, 9);
}

TEST(RunCommand, MissingProgramsAreErrors) {
  EXPECT_EQ(run_command({"no-such-program-here"}).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(run_command({}).error().code, ErrorCode::kInvalidArgument);
}

}  // namespace
}  // namespace busbar::os
