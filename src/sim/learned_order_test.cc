#include "sim/learned_order.h"

#include <gtest/gtest.h>

#include "base/hash.h"
#include "sim/test_trace.h"

namespace busbar::sim {
namespace {

using testing::kMinute;

constexpr std::int64_t kHour = 60 * kMinute;
constexpr std::int64_t kCard = 1000;

void learn(LearnedOrder& order, std::uint32_t queue, std::int64_t cards, std::int64_t ran_ms, int times) {
  for (int i = 0; i < times; ++i) order.learn(queue, cards * kCard, ran_ms);
}

TEST(LearnedOrder, ServesFirstWhatEndsSoonest) {
  LearnedOrder order(2);
  learn(order, 0, 1, 10 * kHour, 30);
  learn(order, 1, 1, kMinute, 30);
  EXPECT_GT(order.index(1, kCard, 0), order.index(0, kCard, 0));
  EXPECT_GT(order.index(0, kCard, 9 * kHour), order.index(0, kCard, 0)) << "it is nearly done";
}

TEST(LearnedOrder, GivesWayOnceAJobIsNotOneOfTheShortOnes) {
  LearnedOrder order(2);
  learn(order, 0, 1, kMinute, 40);
  learn(order, 0, 1, 20 * kHour, 10);
  learn(order, 1, 1, 2 * kHour, 50);
  EXPECT_GT(order.index(0, kCard, 0), order.index(1, kCard, 0)) << "four of five end in a minute";
  EXPECT_LT(order.index(0, kCard, 10 * kMinute), order.index(1, kCard, 0));
}

TEST(LearnedOrder, CountsTheCardsThatAJobTakes) {
  LearnedOrder order(1);
  learn(order, 0, 1, kHour, 30);
  learn(order, 0, 8, kHour, 30);
  EXPECT_NEAR(static_cast<double>(order.index(0, kCard, 0)), 8.0 * static_cast<double>(order.index(0, 8 * kCard, 0)),
              8.0);
}

TEST(LearnedOrder, AsksAWiderKindUntilItHasSeenEnough) {
  LearnedOrder order(3);
  learn(order, 0, 2, kMinute, 30);
  learn(order, 1, 4, 10 * kHour, 30);
  EXPECT_EQ(order.index(2, 2 * kCard, 0), order.index(0, 2 * kCard, 0)) << "other jobs of that size";
  learn(order, 2, 2, 10 * kHour, 30);
  EXPECT_LT(order.index(2, 2 * kCard, 0), order.index(0, 2 * kCard, 0)) << "its own queue's";
}

TEST(LearnedOrder, KnowsOfNothingAndStillPrefersThoseServedLess) {
  LearnedOrder order(1);
  EXPECT_GT(order.index(0, kCard, 0), order.index(0, kCard, kHour));
  EXPECT_GT(order.index(0, kCard, kHour), order.index(0, kCard, 100 * kHour));
  EXPECT_GT(order.index(0, kCard, 100 * 24 * kHour), 0U);
}

TEST(LearnedOrder, ChangesOnlyWhereItSays) {
  LearnedOrder order(1);
  std::uint64_t state = 3;
  for (int i = 0; i < 200; ++i) order.learn(0, kCard, static_cast<std::int64_t>(mix64(state++) % (40 * kHour)));
  for (std::int64_t at_ms = 0; at_ms < 60 * kHour;) {
    const std::int64_t next_ms = LearnedOrder::next_change_ms(at_ms);
    ASSERT_GT(next_ms, at_ms);
    EXPECT_EQ(order.index(0, kCard, at_ms), order.index(0, kCard, next_ms - 1)) << at_ms;
    at_ms = next_ms;
  }
}

}  // namespace
}  // namespace busbar::sim
