#include "sched/fairshare/history.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <vector>

namespace busbar::sched::fairshare {
namespace {

TEST(Exp2, AgreesWithKnownValues) {
  EXPECT_EQ(exp2_fixed(0, 7), std::uint64_t{1} << 24);
  EXPECT_EQ(exp2_fixed(1, 2), 23726566U) << "2^(1/2) x 2^24 = 23726566.4";
  EXPECT_EQ(exp2_fixed(1, 4), 19951584U) << "2^(1/4) x 2^24 = 19951584.9";
  EXPECT_NEAR(exp2_fixed(1439, 1440), (std::uint64_t{1} << 25) - 16148, 8);
}

TEST(History, AMeanOfASteadyRateIsThatRate) {
  const Decay decay(86'400'000);
  History history;
  settle(history, decay, 5'000, std::int64_t{400} * 86'400'000 + 7 * kEpochMs);
  const Wide mean = history.settled / decay.weight_at(epoch_of(history.since_ms));
  EXPECT_NEAR(static_cast<double>(mean), 5'000.0, 1.0);
}

TEST(History, HalvesInAHalfLife) {
  const Decay decay(10 * kEpochMs);
  History history;
  settle(history, decay, 1'000'000, std::int64_t{1'003} * kEpochMs);
  const auto mean = [&] { return static_cast<double>(history.settled / decay.weight_at(epoch_of(history.since_ms))); };
  const double before = mean();
  settle(history, decay, 0, std::int64_t{1'013} * kEpochMs);
  EXPECT_NEAR(mean(), before / 2, before / 1000);
}

TEST(History, TakesAJumpOfAges) {
  const Decay decay(1);
  History history = {.settled = 1, .since_ms = -(std::int64_t{1} << 52)};
  settle(history, decay, 1'000'000'000, std::int64_t{1} << 52);
  EXPECT_EQ(epoch_of(history.since_ms), epoch_of(std::int64_t{1} << 52));
}

// However often it is looked at in between, the value is the same to the last bit.
RC_GTEST_PROP(History, DoesNotDependOnWhereTheTimeIsCut, (std::vector<std::uint32_t> cuts)) {
  const std::int64_t half_life = *rc::gen::inRange(1, 200);
  const Decay decay(half_life * kEpochMs);
  const std::int64_t rate = *rc::gen::inRange<std::int64_t>(0, 10'000'000);
  const TimeMs begin = *rc::gen::inRange<TimeMs>(-10'000'000, 10'000'000);
  const TimeMs end = begin + *rc::gen::inRange<TimeMs>(0, 2'000'000'000);
  History whole = {.settled = *rc::gen::inRange<std::uint32_t>(0, 1'000'000), .since_ms = begin};
  History parts = whole;
  std::vector<TimeMs> times = {end};
  for (const std::uint32_t cut : cuts) {
    times.push_back(begin + static_cast<TimeMs>(cut) % (end - begin + 1));
  }
  std::sort(times.begin(), times.end());
  for (const TimeMs time : times) {
    settle(parts, decay, rate, time);
    accrue(parts, rate, time);
  }
  settle(whole, decay, rate, end);
  accrue(whole, rate, end);
  RC_ASSERT(parts == whole);
}

}  // namespace
}  // namespace busbar::sched::fairshare
