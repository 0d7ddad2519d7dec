#include "net/internal/outbox.h"

#include <gtest/gtest.h>

namespace busbar::net {
namespace {

constexpr auto kBinary = WebSocketMessage::kBinary;

TEST(Outbox, WakesItsConsumerOnlyWhenItSleeps) {
  Outbox outbox(100);
  EXPECT_EQ(outbox.push("a", kBinary), Outbox::Push::kWake);
  EXPECT_EQ(outbox.push("b", kBinary), Outbox::Push::kQueued);
  EXPECT_EQ(outbox.take().size(), 2u);
  EXPECT_EQ(outbox.push("c", kBinary), Outbox::Push::kQueued);
  EXPECT_EQ(outbox.take().size(), 1u);
  EXPECT_TRUE(outbox.take().empty());
  EXPECT_EQ(outbox.push("d", kBinary), Outbox::Push::kWake);
}

TEST(Outbox, IsFullBeyondItsLimitAndClosedFromThenOn) {
  Outbox outbox(10);
  EXPECT_NE(outbox.push(std::string(8, 'x'), kBinary), Outbox::Push::kFull);
  outbox.take();  // in flight counts too
  EXPECT_EQ(outbox.push("xyz", kBinary), Outbox::Push::kFull);
  EXPECT_EQ(outbox.push("x", kBinary), Outbox::Push::kClosed);
}

TEST(Outbox, IsNeverExhaustedOnceItWasFull) {
  // Else the consumer could drain the queue and send the end mark before it hears that the peer is to be cut.
  Outbox outbox(10);
  outbox.push(std::string(8, 'x'), kBinary);
  ASSERT_EQ(outbox.push("xyz", kBinary), Outbox::Push::kFull);
  outbox.take();
  outbox.written(8);
  EXPECT_TRUE(outbox.take().empty());
  EXPECT_FALSE(outbox.is_exhausted());
}

TEST(Outbox, TakesOneMessageBiggerThanItsLimit) {
  Outbox outbox(10);
  EXPECT_EQ(outbox.push(std::string(20, 'x'), kBinary), Outbox::Push::kWake);
  EXPECT_EQ(outbox.pending_bytes(), 20u);
}

TEST(Outbox, CallsWhenDrainedToAQuarter) {
  Outbox outbox(100);
  int calls = 0;
  outbox.push(std::string(60, 'x'), kBinary);
  outbox.when_drained([&] { ++calls; });
  outbox.take();
  outbox.written(30);
  EXPECT_EQ(calls, 0);
  outbox.written(5);
  EXPECT_EQ(calls, 1);
  outbox.written(25);
  EXPECT_EQ(calls, 1);
  outbox.when_drained([&] { ++calls; });
  EXPECT_EQ(calls, 2);
}

TEST(Outbox, FinishLetsTheQueueOut) {
  Outbox outbox(100);
  outbox.push("a", kBinary);
  EXPECT_FALSE(outbox.finish());  // the consumer is awake
  EXPECT_EQ(outbox.push("b", kBinary), Outbox::Push::kClosed);
  EXPECT_EQ(outbox.take().size(), 1u);
  Outbox idle(100);
  EXPECT_TRUE(idle.finish());
  EXPECT_FALSE(idle.finish());
}

TEST(Outbox, IsNotExhaustedByAnEmptyTakeBeforeTheLastPush) {
  // The consumer sees nothing, then the producer pushes and finishes: the end mark must wait for what was pushed.
  Outbox outbox(100);
  EXPECT_TRUE(outbox.take().empty());
  EXPECT_EQ(outbox.push("last", kBinary), Outbox::Push::kWake);
  EXPECT_FALSE(outbox.finish());
  EXPECT_FALSE(outbox.is_exhausted());
  EXPECT_EQ(outbox.take().size(), 1u);
  EXPECT_TRUE(outbox.is_exhausted());
}

TEST(Outbox, CloseRunsEveryCallbackOnce) {
  Outbox outbox(4);
  int drained = 0;
  int closed = 0;
  outbox.push("abcd", kBinary);
  outbox.when_drained([&] { ++drained; });
  outbox.on_close([&] { ++closed; });
  outbox.close();
  outbox.close();
  EXPECT_EQ(drained, 1);
  EXPECT_EQ(closed, 1);
  outbox.on_close([&] { ++closed; });
  EXPECT_EQ(closed, 2);
}

}  // namespace
}  // namespace busbar::net
