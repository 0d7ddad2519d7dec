#include "sched/learn/habits.h"

#include <gtest/gtest.h>

namespace busbar::sched::learn {
namespace {

constexpr std::int64_t kMinute = 60'000;
constexpr std::int64_t kHour = 60 * kMinute;

TEST(Habits, StepsAreHalfOctaves) {
  EXPECT_EQ(Habits::step_of(0), 0U);
  EXPECT_EQ(Habits::step_of(1'413), 0U);
  EXPECT_EQ(Habits::step_of(1'414), 1U);
  EXPECT_EQ(Habits::step_of(2'000), 2U);
  EXPECT_EQ(Habits::next_step_ms(2'000), 2'828);
  for (std::int64_t served = 0; served < (INT64_C(1) << 40); served = served * 3 / 2 + 1) {
    EXPECT_GT(Habits::next_step_ms(served), served);
    EXPECT_EQ(Habits::step_of(Habits::next_step_ms(served) - 1), Habits::step_of(served));
  }
}

TEST(Habits, KnowNothingAtFirst) {
  EXPECT_EQ(Habits().urgency("a", 1000, 0), 0U);
}

TEST(Habits, ServeFirstWhoEndsSoonInItsQueue) {
  Habits habits;
  for (int i = 0; i < 40; ++i) {
    habits.learn("short", 1000, kMinute);
    habits.learn("long", 1000, 10 * kHour);
  }
  EXPECT_GT(habits.urgency("short", 1000, 0), 100 * habits.urgency("long", 1000, 0));
  EXPECT_GT(habits.urgency("short", 1000, 0), 7 * habits.urgency("short", 8000, 0)) << "eight cards for as long";
  const std::uint64_t new_queue = habits.urgency("new", 1000, 0);
  EXPECT_GT(new_queue, habits.urgency("long", 1000, 0));
  EXPECT_LT(new_queue, habits.urgency("short", 1000, 0)) << "as all jobs of its size";
}

TEST(Habits, WhoDoesNotEndSoonGivesWay) {
  Habits habits;
  for (int i = 0; i < 100; ++i) habits.learn("a", 1000, i % 2 == 0 ? kMinute : 20 * kHour);
  EXPECT_GT(habits.urgency("a", 1000, 0), 10 * habits.urgency("a", 1000, 5 * kMinute));
  EXPECT_GT(habits.urgency("a", 1000, 18 * kHour), habits.urgency("a", 1000, 5 * kMinute)) << "its end is near again";
  EXPECT_LT(habits.urgency("a", 1000, 40 * kHour), habits.urgency("a", 1000, 0)) << "longer than any before";
}

TEST(Habits, FadeAndKeepTheirHash) {
  Habits habits;
  for (std::uint32_t i = 0; i < 3 * Habits::kMostEnds; ++i) habits.learn("a", 1000, kHour);
  for (std::uint32_t i = 0; i < 3 * Habits::kMostEnds; ++i) habits.learn("a", 1000, kMinute);
  EXPECT_EQ(habits.hash(), habits.recompute_hash());
  Habits fresh;
  for (int i = 0; i < 1000; ++i) fresh.learn("a", 1000, kMinute);
  EXPECT_GT(habits.urgency("a", 1000, 0) * 10, fresh.urgency("a", 1000, 0) * 8) << "hours are almost forgotten";
  Habits copy;
  for (const auto& [key, kind] : habits.kinds()) EXPECT_TRUE(copy.restore(key, *kind));
  EXPECT_EQ(copy.hash(), habits.hash());
  EXPECT_EQ(copy.urgency("a", 1000, 0), habits.urgency("a", 1000, 0));
}

TEST(Habits, RefuseWhatTheyCannotHaveLearnt) {
  Kind kind;
  kind.ends[3] = Habits::kMostEnds;
  EXPECT_FALSE(Habits().restore({}, kind));
  kind.ends[3] = 1;
  kind.sum_ms[3] = UINT64_MAX;
  EXPECT_FALSE(Habits().restore({}, kind));
}

}  // namespace
}  // namespace busbar::sched::learn
