#include "os/gate.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>

namespace busbar::os {
namespace {

using namespace std::chrono_literals;

TEST(Gate, CloseWaitsForEverybodyInside) {
  Gate gate;
  auto token = gate.enter();
  ASSERT_TRUE(token.has_value());
  std::atomic<bool> has_left = false;
  auto closing = std::async(std::launch::async, [&] {
    gate.close();
    return has_left.load();
  });
  while (!gate.is_closed()) {
    std::this_thread::yield();
  }
  EXPECT_FALSE(gate.enter().has_value());
  has_left = true;
  token.reset();
  EXPECT_TRUE(closing.get());
}

TEST(Gate, TokensMoveAndLeaveOnce) {
  Gate gate;
  auto first = gate.enter();
  Gate::Token second = std::move(*first);
  EXPECT_EQ(gate.count(), 1u);
  first.reset();
  EXPECT_EQ(gate.count(), 1u);
  second.leave();
  second.leave();
  EXPECT_EQ(gate.count(), 0u);
  gate.close();
  gate.close();
}

TEST(WorkQueue, OneThreadKeepsTheOrder) {
  std::vector<int> order;
  {
    WorkQueue queue({.name = "test"});
    for (int i = 0; i < 100; ++i) {
      ASSERT_TRUE(queue.submit([&order, i] { order.push_back(i); }).has_value());
    }
  }
  ASSERT_EQ(order.size(), 100u);
  EXPECT_TRUE(std::is_sorted(order.begin(), order.end()));
}

TEST(WorkQueue, ThreadsWorkAtTheSameTime) {
  WorkQueue queue({.name = "test", .threads = 2});
  std::promise<void> first;
  std::promise<void> second;
  // Each waits for the other: one thread could never finish.
  ASSERT_TRUE(queue
                  .submit([&] {
                    first.set_value();
                    EXPECT_EQ(second.get_future().wait_for(10s), std::future_status::ready);
                  })
                  .has_value());
  ASSERT_TRUE(queue
                  .submit([&] {
                    EXPECT_EQ(first.get_future().wait_for(10s), std::future_status::ready);
                    second.set_value();
                  })
                  .has_value());
  queue.stop();
}

TEST(WorkQueue, RefusesWhenFullAndWhenStopped) {
  WorkQueue queue({.name = "test", .threads = 1, .max_pending = 1});
  std::promise<void> is_running;
  std::promise<void> may_end;
  ASSERT_TRUE(queue
                  .submit([&] {
                    is_running.set_value();
                    may_end.get_future().wait();
                  })
                  .has_value());
  is_running.get_future().wait();
  EXPECT_TRUE(queue.submit([] {}).has_value());
  EXPECT_EQ(queue.pending(), 1u);
  const auto refused = queue.submit([] {});
  EXPECT_EQ(refused.error().code, ErrorCode::kResourceExhausted);
  EXPECT_TRUE(refused.error().is_retryable);
  may_end.set_value();
  queue.stop();
  queue.stop();
  EXPECT_EQ(queue.submit([] {}).error().code, ErrorCode::kCancelled);
}

TEST(WorkQueue, ThreadsCarryTheirName) {
  std::string name;
  WorkQueue queue({.name = "a-rather-long-name"});
  ASSERT_TRUE(queue
                  .submit([&] {
                    char text[16];
                    pthread_getname_np(pthread_self(), text, sizeof(text));
                    name = text;
                  })
                  .has_value());
  queue.stop();
  EXPECT_EQ(name, "a-rather-long-n");
}

}  // namespace
}  // namespace busbar::os
