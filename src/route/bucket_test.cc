#include "route/bucket.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace busbar::route {
namespace {

constexpr std::int64_t kSecond = 1'000'000'000;

TEST(Bucket, GivesABurstAndThenItsRate) {
  const Bucket bucket({.count = 10});
  std::int64_t state = 0;
  std::int64_t now = 5 * kSecond;
  for (int count = 0; count < 10; ++count) {
    const Bucket::Take take = bucket.take(state, now, 1);
    ASSERT_TRUE(take.is_granted);
    state = take.state;
  }
  const Bucket::Take refused = bucket.take(state, now, 1);
  EXPECT_FALSE(refused.is_granted);
  EXPECT_EQ(refused.state, state);
  EXPECT_EQ(refused.wait_ns, kSecond / 10);
  now += refused.wait_ns;
  EXPECT_TRUE(bucket.take(state, now, 1).is_granted);
  EXPECT_EQ(bucket.left(state, now + kSecond), 10U);
}

TEST(Bucket, WithoutARateGrantsEverything) {
  const Bucket bucket;
  EXPECT_TRUE(bucket.take(0, 0, 1'000'000'000'000).is_granted);
}

TEST(Bucket, GrantsMoreThanItHoldsOnlyWhenFullAndThenOwesIt) {
  const Bucket bucket({.count = 100, .period_ms = 60'000});
  const Bucket::Take large = bucket.take(0, kSecond, 250);
  ASSERT_TRUE(large.is_granted);
  EXPECT_EQ(bucket.left(large.state, kSecond), 0U);
  EXPECT_FALSE(bucket.take(large.state, 91 * kSecond, 1).is_granted);
  EXPECT_TRUE(bucket.take(large.state, 92 * kSecond, 1).is_granted);
  EXPECT_FALSE(bucket.take(bucket.take(0, kSecond, 1).state, kSecond, 250).is_granted);
}

TEST(Bucket, SettlesWhatWasEstimated) {
  const Bucket bucket({.count = 1'000});
  const std::int64_t taken = bucket.take(0, kSecond, 600).state;
  EXPECT_EQ(bucket.left(bucket.settle(taken, kSecond, -500), kSecond), 900U);
  EXPECT_EQ(bucket.left(bucket.settle(taken, kSecond, 300), kSecond), 100U);
  EXPECT_EQ(bucket.left(bucket.settle(taken, kSecond, 900), kSecond), 0U);
  // What is given back late does not make it hold more than it can.
  EXPECT_EQ(bucket.left(bucket.settle(taken, 100 * kSecond, -500), 100 * kSecond), 1'000U);
}

TEST(Bucket, IsDividedAmongSharers) {
  const Bucket third({.count = 10}, 3);
  EXPECT_EQ(third.count(), 3U);
  EXPECT_EQ(Bucket({.count = 1}, 5).count(), 1U);
}

RC_GTEST_PROP(Bucket, NeverGrantsMoreThanItsRateAndOneBurst, ()) {
  const auto count = *rc::gen::inRange<std::uint64_t>(1, 2'000);
  const Bucket bucket({.count = count});
  std::int64_t state = 0;
  std::int64_t now = kSecond;
  std::uint64_t granted = 0;
  for (int round = 0; round < 200; ++round) {
    now += *rc::gen::inRange<std::int64_t>(0, kSecond / 50);
    const auto amount = *rc::gen::inRange<std::uint64_t>(1, count + 1);
    const Bucket::Take take = bucket.take(state, now, amount);
    RC_ASSERT(take.wait_ns >= 0);
    if (take.is_granted) granted += amount;
    if (!take.is_granted) RC_ASSERT(bucket.take(state, now + take.wait_ns, amount).is_granted);
    state = take.state;
  }
  const auto by_rate = static_cast<std::uint64_t>(static_cast<unsigned __int128>(now - kSecond) * count / kSecond);
  RC_ASSERT(granted <= count + by_rate + 1);
}

}  // namespace
}  // namespace busbar::route
