#include "sched/order/run_time_model.h"

#include <gtest/gtest.h>

namespace busbar::sched::order {
namespace {

constexpr std::int64_t kSecond = 1000;
constexpr std::int64_t kHour = 3'600'000;

JobKind kind(const char* queue, std::uint32_t size_class = 0) {
  return {.queue = queue, .size_class = size_class};
}

TEST(RunTimeModel, BucketsAreHalfOctavesWithoutGaps) {
  for (std::size_t i = 1; i < RunTimeModel::kBuckets; ++i) {
    EXPECT_EQ(RunTimeModel::bucket_of(RunTimeModel::begin_of(i)), i);
    EXPECT_EQ(RunTimeModel::bucket_of(RunTimeModel::begin_of(i) - 1), i - 1);
  }
  EXPECT_EQ(RunTimeModel::bucket_of(0), 0U);
  EXPECT_EQ(RunTimeModel::bucket_of(INT64_MAX / 2), RunTimeModel::kBuckets - 1);
}

TEST(RunTimeModel, SizesAreLogarithmsOfCards) {
  EXPECT_EQ(size_class_of(500), 0U);
  EXPECT_EQ(size_class_of(1000), 0U);
  EXPECT_EQ(size_class_of(2000), 1U);
  EXPECT_EQ(size_class_of(5000), 3U);
  EXPECT_EQ(size_class_of(8000), 3U);
}

TEST(RunTimeModel, BeforeAnythingEndsYoungerJobsComeFirst) {
  RunTimeModel model({});
  std::uint64_t last = UINT64_MAX;
  for (std::int64_t age = kSecond; age < 1000 * kHour; age *= 4) {
    const std::uint64_t rate = model.rate(kind("a"), age);
    EXPECT_LT(rate, last);
    EXPECT_GT(rate, 0U);
    last = rate;
  }
}

TEST(RunTimeModel, LearnsWhichQueueSendsShortJobs) {
  RunTimeModel model({});
  for (int i = 0; i < 50; ++i) {
    model.ended(kind("short"), 60 * kSecond);
    model.ended(kind("long"), 10 * kHour);
  }
  EXPECT_GT(model.rate(kind("short"), 0), 10 * model.rate(kind("long"), 0));
}

TEST(RunTimeModel, AJobNearTheEndOfItsKindIsWorthMoreThanANewOne) {
  RunTimeModel model({});
  for (int i = 0; i < 50; ++i) {
    model.ended(kind("a"), 10 * kHour);
  }
  EXPECT_GT(model.rate(kind("a"), 9 * kHour), 2 * model.rate(kind("a"), 0));
}

TEST(RunTimeModel, ForgetsWhatIsLongAgo) {
  RunTimeModel model({});
  for (int i = 0; i < 500; ++i) {
    model.ended(kind("a"), 10 * kHour);
  }
  const std::uint64_t before = model.rate(kind("a"), 0);
  for (int i = 0; i < 200; ++i) {
    model.ended(kind("a"), 60 * kSecond);
  }
  EXPECT_GT(model.rate(kind("a"), 0), 20 * before);
}

TEST(RunTimeModel, AQueueWithoutHistoryIsLikeOthersOfItsSize) {
  RunTimeModel model({});
  for (int i = 0; i < 200; ++i) {
    model.ended(kind("a", 0), 60 * kSecond);
    model.ended(kind("a", 3), 20 * kHour);
  }
  EXPECT_GT(model.rate(kind("new", 0), 0), 5 * model.rate(kind("new", 3), 0));
}

TEST(RunTimeModel, TheSameEndsGiveTheSameRates) {
  RunTimeModel first({});
  RunTimeModel second({});
  for (std::int64_t i = 1; i < 2000; ++i) {
    const JobKind what = kind(i % 3 == 0 ? "a" : "b", static_cast<std::uint32_t>(i % 4));
    first.ended(what, i * i * kSecond);
    second.ended(what, i * i * kSecond);
    ASSERT_EQ(first.rate(what, i * kSecond), second.rate(what, i * kSecond));
  }
}

}  // namespace
}  // namespace busbar::sched::order
