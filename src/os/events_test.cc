#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <thread>

#include "os/directory_watcher.h"
#include "os/event_fd.h"
#include "os/signals.h"
#include "os/system_clock.h"
#include "os/test_dir.h"

namespace busbar::os {
namespace {

using namespace std::chrono_literals;
using Kind = DirectoryEvent::Kind;

/// Events until one of this kind and name has come.
std::vector<DirectoryEvent> events_until(DirectoryWatcher& watcher, const DirectoryEvent& last) {
  std::vector<DirectoryEvent> events;
  while (std::find(events.begin(), events.end(), last) == events.end()) {
    const auto more = watcher.wait_events(10s);
    if (!more || more->empty()) {
      ADD_FAILURE() << "the event did not come: " << last.name;
      break;
    }
    events.insert(events.end(), more->begin(), more->end());
  }
  return events;
}

TEST(EventFd, WakesAWaiterInAnotherThread) {
  auto event = EventFd::create();
  ASSERT_TRUE(event.has_value());
  EXPECT_FALSE(event->take());
  EXPECT_FALSE(event->wait(0ms));
  std::thread setter([&] { event->set(); });
  EXPECT_TRUE(event->wait(10s));
  setter.join();
  event->set();
  EXPECT_TRUE(event->take());
  EXPECT_FALSE(event->take());
}

TEST(DirectoryWatcher, TellsOfNamesInOrder) {
  const TestDir dir;
  auto watcher = DirectoryWatcher::open(dir.path());
  ASSERT_TRUE(watcher.has_value());
  EXPECT_TRUE(watcher->read_events()->empty());
  ASSERT_TRUE(write_file_atomic(dir.file("exit"), "0").has_value());
  ASSERT_EQ(::unlink(dir.file("exit").c_str()), 0);
  const auto events = events_until(*watcher, {.kind = Kind::kRemoved, .name = "exit"});
  EXPECT_EQ(events.front().kind, Kind::kCreated);
  const auto written =
      std::find_if(events.begin(), events.end(), [](const DirectoryEvent& e) { return e.kind == Kind::kWritten; });
  const auto moved = std::find(events.begin(), events.end(), DirectoryEvent{.kind = Kind::kMovedIn, .name = "exit"});
  EXPECT_LT(written, moved);
  EXPECT_NE(moved, events.end());
}

TEST(DirectoryWatcher, SaysOnceThatTheDirectoryIsGone) {
  const TestDir dir;
  ASSERT_TRUE(make_dirs(dir.file("d")).has_value());
  auto watcher = DirectoryWatcher::open(dir.file("d"));
  ASSERT_TRUE(watcher.has_value());
  ASSERT_TRUE(remove_tree(dir.file("d")).has_value());
  const auto events = events_until(*watcher, {.kind = Kind::kGone});
  EXPECT_EQ(std::count(events.begin(), events.end(), DirectoryEvent{.kind = Kind::kGone}), 1);
}

TEST(DirectoryWatcher, RefusesWhatIsNotADirectory) {
  EXPECT_EQ(DirectoryWatcher::open("/no/such").error().code, ErrorCode::kNotFound);
  EXPECT_EQ(DirectoryWatcher::open("/proc/self/status").error().code, ErrorCode::kFailedPrecondition);
}

TEST(DirectoryWatcher, ReportsThatTheKernelDroppedEvents) {
  const auto limit_text = read_file("/proc/sys/fs/inotify/max_queued_events", 100);
  ASSERT_TRUE(limit_text.has_value());
  const int limit = std::atoi(limit_text->c_str());
  if (limit > 100'000) {
    GTEST_SKIP() << "the queue holds " << limit << " events";
  }
  const TestDir dir;
  auto watcher = DirectoryWatcher::open(dir.path());
  ASSERT_TRUE(watcher.has_value());
  for (int i = 0; i <= limit / 2; ++i) {  // two different events each: equal neighbours would be merged
    const UniqueFd file(::open(dir.file("f").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
    ASSERT_TRUE(file.is_valid());
    ASSERT_EQ(::unlink(dir.file("f").c_str()), 0);
  }
  const auto events = watcher->read_events();
  ASSERT_TRUE(events.has_value());
  EXPECT_EQ(events->back().kind, Kind::kOverflow);
}

TEST(SignalFd, TurnsSignalsIntoEvents) {
  {
    auto signals = SignalFd::create({SIGUSR1, SIGUSR2});
    ASSERT_TRUE(signals.has_value());
    EXPECT_EQ(signals->take(), std::nullopt);
    ::kill(::getpid(), SIGUSR2);
    EXPECT_EQ(signals->wait(10s), SIGUSR2);
    EXPECT_EQ(signals->wait(0ms), std::nullopt);
  }
  sigset_t blocked;
  pthread_sigmask(SIG_BLOCK, nullptr, &blocked);
  EXPECT_EQ(sigismember(&blocked, SIGUSR1), 0);
}

TEST(SystemClock, AgreesWithItself) {
  const SystemClock clock;
  EXPECT_GT(clock.now_ms(), 1'700'000'000'000);
  const auto first = clock.monotonic_ns();
  EXPECT_GE(clock.monotonic_ns(), first);
}

}  // namespace
}  // namespace busbar::os
