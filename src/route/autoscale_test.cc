#include "route/autoscale.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <algorithm>
#include <vector>

namespace busbar::route {
namespace {

constexpr ScalePolicy kZeroToEight{.min = 0, .max = 8, .target = 4, .down_after_ms = 60'000};

/// A load that a service with enough replicas would see: `rate` requests a second of `busy_ms` each, told every 250 ms.
struct Load {
  Autoscaler& scaler;
  TimeMs now_ms;

  std::uint32_t run(std::int64_t for_ms, std::uint64_t rate, std::uint64_t busy_ms, std::uint32_t replicas) {
    std::uint32_t last = replicas;
    for (const TimeMs end_ms = now_ms + for_ms; now_ms < end_ms;) {
      now_ms += 250;
      const std::uint64_t requests = rate / 4;
      scaler.observe(now_ms, {.running = static_cast<std::uint32_t>(rate * busy_ms / 1'000),
                              .arrivals = requests,
                              .finished = requests,
                              .busy_us = requests * busy_ms * 1'000});
      last = scaler.desired(now_ms, last);
    }
    return last;
  }
};

TEST(Autoscaler, StartsOneAtTheFirstWaitingRequest) {
  Autoscaler scaler(kZeroToEight, 0, 0);
  EXPECT_EQ(scaler.desired(0, 0), 0u);
  scaler.observe(10, {.waiting = 1, .arrivals = 1});
  EXPECT_EQ(scaler.desired(10, 0), 1u);
}

TEST(Autoscaler, FollowsLittlesLaw) {
  Autoscaler scaler(kZeroToEight, 1, 0);
  Load load{.scaler = scaler, .now_ms = 0};
  // 100 requests a second of 200 ms each are 20 at once: five replicas of four.
  EXPECT_EQ(load.run(10'000, 100, 200, 1), 5u);
}

TEST(Autoscaler, GoesUpAtOnceWhenTheQueueGrows) {
  Autoscaler scaler(kZeroToEight, 1, 0);
  Load load{.scaler = scaler, .now_ms = 0};
  ASSERT_EQ(load.run(30'000, 8, 250, 1), 1u);
  scaler.observe(load.now_ms + 1, {.waiting = 25, .running = 4, .arrivals = 27});
  EXPECT_EQ(scaler.desired(load.now_ms + 1, 1), 8u);
}

TEST(Autoscaler, GoesUpAtOnceWhenReplicasAreOverrunThoughNobodyWaits) {
  Autoscaler scaler(kZeroToEight, 1, 0);
  Load load{.scaler = scaler, .now_ms = 0};
  ASSERT_EQ(load.run(30'000, 8, 250, 1), 1u);
  scaler.observe(load.now_ms + 1, {.running = 30, .arrivals = 28});
  EXPECT_EQ(scaler.desired(load.now_ms + 1, 1), 8u);
}

TEST(Autoscaler, ABurstOfShortRequestsStartsNothing) {
  Autoscaler scaler(kZeroToEight, 1, 0);
  Load load{.scaler = scaler, .now_ms = 0};
  ASSERT_EQ(load.run(30'000, 1'000, 1, 1), 1u);
  scaler.observe(load.now_ms + 250, {.running = 7, .arrivals = 250, .finished = 250, .busy_us = 250'000});
  EXPECT_EQ(scaler.desired(load.now_ms + 250, 1), 1u);
}

TEST(Autoscaler, GoesDownOnlyAfterTheHoldAndToZero) {
  Autoscaler scaler(kZeroToEight, 0, 0);
  scaler.observe(1'000, {.waiting = 20, .arrivals = 20});
  EXPECT_EQ(scaler.desired(1'000, 0), 5u);
  scaler.observe(2'000, {.finished = 20, .busy_us = 100'000});
  EXPECT_EQ(scaler.desired(2'000, 5), 5u);
  ASSERT_EQ(scaler.next_change_ms(), 61'000);
  EXPECT_EQ(scaler.desired(60'999, 5), 5u);
  EXPECT_EQ(scaler.desired(61'000, 5), 1u);  // what the twenty short ones would have needed, a second later
  ASSERT_EQ(scaler.next_change_ms(), 62'000);
  EXPECT_EQ(scaler.desired(62'000, 1), 0u);
  EXPECT_FALSE(scaler.next_change_ms());
}

TEST(Autoscaler, StaysUpForALongStreamOfWhichNothingIsHeardButThatItRuns) {
  Autoscaler scaler(kZeroToEight, 0, 0);
  for (TimeMs now_ms = 0; now_ms < 600'000; now_ms += 250) {
    scaler.observe(now_ms, {.running = 1, .arrivals = now_ms == 0 ? 1u : 0u});
    ASSERT_EQ(scaler.desired(now_ms, 1), 1u);
  }
}

TEST(Autoscaler, KeepsWithinItsBounds) {
  Autoscaler scaler({.min = 2, .max = 3, .target = 1}, 2, 0);
  EXPECT_EQ(scaler.desired(0, 2), 2u);
  scaler.observe(1, {.waiting = 1'000'000});
  EXPECT_EQ(scaler.desired(1, 2), 3u);
}

TEST(Autoscaler, ExpectsMoreWhereArrivalsGrow) {
  Autoscaler scaler(kZeroToEight, 1, 0);
  Load load{.scaler = scaler, .now_ms = 0};
  load.run(30'000, 20, 200, 1);
  EXPECT_EQ(scaler.expected(load.now_ms, 60'000), 0u) << "arrivals do not grow";
  std::uint32_t desired = 1;
  for (std::uint64_t rate = 24; rate <= 60; rate += 4) desired = load.run(2'000, rate, 200, desired);
  ASSERT_EQ(desired, 3u);  // 60 a second of 200 ms: 12 at once, 4 each
  EXPECT_EQ(scaler.expected(load.now_ms, 20'000), 5u);
  EXPECT_EQ(scaler.expected(load.now_ms, 600'000), 6u) << "at most twice what there is";
}

TEST(Autoscaler, ExpectsNothingOfChanceAndHoldsWhatItExpected) {
  Autoscaler scaler(kZeroToEight, 1, 0);
  Load load{.scaler = scaler, .now_ms = 0};
  load.run(30'000, 8, 2'000, 4);
  load.run(2'000, 12, 2'000, 4);  // 24 where 16 are usual: two standard deviations
  EXPECT_EQ(scaler.expected(load.now_ms, 60'000), 0u);
  load.run(2'000, 24, 2'000, 4);
  EXPECT_EQ(scaler.expected(load.now_ms, 60'000), 8u);
  load.run(59'000, 8, 2'000, 8);
  EXPECT_EQ(scaler.expected(load.now_ms, 60'000), 8u);
  load.run(2'000, 8, 2'000, 8);
  EXPECT_EQ(scaler.expected(load.now_ms, 60'000), 0u);
}

TEST(Autoscaler, TellsArrivals) {
  Autoscaler scaler(kZeroToEight, 1, 0);
  Load load{.scaler = scaler, .now_ms = 0};
  load.run(60'000, 40, 10, 1);
  EXPECT_NEAR(static_cast<double>(scaler.arrivals_per_second_milli(load.now_ms)), 40'000, 1'500);
}

struct Step {
  std::int64_t wait_ms = 0;
  LoadSample sample = {};
};

rc::Gen<Step> steps() {
  return rc::gen::apply(
      [](int wait_ms, int waiting, int running, int arrivals, int finished, int busy_us) {
        return Step{.wait_ms = wait_ms,
                    .sample = {.waiting = static_cast<std::uint32_t>(waiting),
                               .running = static_cast<std::uint32_t>(running),
                               .arrivals = static_cast<std::uint64_t>(arrivals),
                               .finished = static_cast<std::uint64_t>(finished),
                               .busy_us = static_cast<std::uint64_t>(busy_us)}};
      },
      rc::gen::inRange(0, 20'000), rc::gen::inRange(0, 3), rc::gen::inRange(0, 50), rc::gen::inRange(0, 500),
      rc::gen::inRange(0, 500), rc::gen::inRange(0, 50'000'000));
}

TEST(Autoscaler, AlwaysHoldsWhatWasNeededAndEndsAtItsLeast) {
  const bool holds = rc::check([] {
    const auto load = *rc::gen::container<std::vector<Step>>(steps());
    const ScalePolicy policy{.min = *rc::gen::inRange(0u, 3u), .max = 8, .target = 4, .down_after_ms = 30'000};
    Autoscaler scaler(policy, policy.min, 0);
    TimeMs now_ms = 0;
    std::uint32_t replicas = policy.min;
    TimeMs risen_ms = 0;
    for (const Step& step : load) {
      now_ms += step.wait_ms;
      scaler.observe(now_ms, step.sample);
      const std::uint32_t before = replicas;
      replicas = scaler.desired(now_ms, replicas);
      RC_ASSERT(replicas >= policy.min);
      RC_ASSERT(replicas <= policy.max);
      if (step.sample.waiting > 0 || step.sample.running > 0) RC_ASSERT(replicas >= 1u);
      // Asked again at the same moment, it says the same.
      RC_ASSERT(scaler.desired(now_ms, replicas) == replicas);
      if (replicas > before) risen_ms = now_ms;
      if (replicas < before) RC_ASSERT(now_ms - risen_ms >= policy.down_after_ms);
    }
    // Silence: following its own alarm clock, it comes to its least.
    scaler.observe(now_ms, {});
    for (int i = 0; i < 100; ++i) {
      const auto next_ms = scaler.next_change_ms();
      if (!next_ms) break;
      now_ms = std::max(now_ms, *next_ms);
      replicas = scaler.desired(now_ms, replicas);
    }
    RC_ASSERT(!scaler.next_change_ms());
    RC_ASSERT(replicas == policy.min);
  });
  EXPECT_TRUE(holds);
}

}  // namespace
}  // namespace busbar::route
