#include "engine/local/internal/reactor.h"

#include <gtest/gtest.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <atomic>
#include <future>

#include "engine/local/internal/report_watcher.h"
#include "engine/local/internal/strand.h"
#include "os/files.h"
#include "os/process.h"
#include "os/test_dir.h"

namespace busbar::engine {
namespace {

constexpr std::chrono::seconds kLong{20};

TEST(Reactor, CallsHandlersWhenThereIsSomethingToRead) {
  const auto reactor = Reactor::create().value();
  os::Pipe pipe = os::make_pipe().value();
  std::promise<char> got;
  ASSERT_TRUE(reactor->add(pipe.read_end.get(), EPOLLIN, [&](std::uint32_t) {
    char byte = 0;
    ASSERT_EQ(::read(pipe.read_end.get(), &byte, 1), 1);
    got.set_value(byte);
  }));
  ASSERT_EQ(::write(pipe.write_end.get(), "x", 1), 1);
  auto result = got.get_future();
  ASSERT_EQ(result.wait_for(kLong), std::future_status::ready);
  EXPECT_EQ(result.get(), 'x');
  reactor->remove(pipe.read_end.get());
}

TEST(Reactor, RunsTimersInOrderAndNotWhenCancelled) {
  const auto reactor = Reactor::create().value();
  std::string order;
  std::promise<void> done;
  reactor->after(std::chrono::milliseconds(20), [&] {
    order += "c";
    done.set_value();
  });
  reactor->after(std::chrono::milliseconds(10), [&] { order += "b"; });
  const auto never = reactor->after(std::chrono::milliseconds(5), [&] { order += "never"; });
  reactor->cancel(never);
  reactor->post([&] { order += "a"; });
  ASSERT_EQ(done.get_future().wait_for(kLong), std::future_status::ready);
  EXPECT_EQ(order, "abc");
}

TEST(Reactor, DropsWorkAfterItsEnd) {
  const auto reactor = Reactor::create().value();
  reactor->stop();
  auto held = std::make_shared<int>(1);
  reactor->post([held] { FAIL(); });
  EXPECT_EQ(held.use_count(), 1);
}

TEST(ReportWatcher, TellsOfWritesToTheOneFile) {
  const auto reactor = Reactor::create().value();
  const auto watcher = ReportWatcher::create(*reactor).value();
  const os::TestDir dir;
  std::promise<void> changed;
  std::atomic<int> count = 0;
  const auto handle = watcher->watch(dir.path(), "report.jsonl", [&] {
    if (count++ == 0) {
      changed.set_value();
    }
  });
  ASSERT_TRUE(handle.has_value());
  ASSERT_TRUE(os::write_file_atomic(dir.file("other"), "x"));
  EXPECT_EQ(count, 0);
  ASSERT_TRUE(os::write_file_atomic(dir.file("report.jsonl"), "x"));
  EXPECT_EQ(changed.get_future().wait_for(kLong), std::future_status::ready);
  watcher->unwatch(*handle);
}

TEST(Strand, KeepsTheOrderOfManyThreadsWork) {
  os::WorkQueue queue({.name = "test", .threads = 4, .max_pending = 10'000});
  const auto strand = std::make_shared<Strand>(queue);
  std::vector<int> seen;
  for (int i = 0; i < 1000; ++i) {
    strand->post([&seen, i] { seen.push_back(i); });
  }
  queue.stop();
  ASSERT_EQ(seen.size(), 1000U);
  EXPECT_TRUE(std::is_sorted(seen.begin(), seen.end()));
}

}  // namespace
}  // namespace busbar::engine
