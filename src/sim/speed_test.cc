#include "sim/speed.h"

#include <gtest/gtest.h>

#include <memory>

namespace busbar::sim {
namespace {

/// Every look at the clock takes a microsecond, so that the report is the same
/// each time.
SpeedProbes steady_probes() {
  auto now_ns = std::make_shared<std::int64_t>(0);
  return {.now_ns = [now_ns] { return *now_ns += 1000; }, .heap_bytes = [] { return std::int64_t{0}; }};
}

TEST(Speed, CountsEveryDecisionOnceAndKeepsTheLoad) {
  const auto report = measure_speed({.cards = 1024, .load_percent = 90, .decisions = 400, .seed = 3}, steady_probes());
  ASSERT_TRUE(report.has_value());
  std::uint64_t count = 0;
  for (const SpeedRow& row : report->rows) {
    count += row.count;
    EXPECT_LE(row.placed, row.count);
    EXPECT_LE(row.cards, 921U) << "no gang is larger than the load";
    EXPECT_DOUBLE_EQ(row.p50_us, 1.0);
  }
  EXPECT_EQ(count, 400U);
  EXPECT_LE(report->load_percent, 90U);
  EXPECT_GT(report->running, 0U);
  EXPECT_EQ(report->nodes, 128U);
  EXPECT_EQ(report->predicted.size(), 3U);
}

TEST(Speed, SaysTheSameForTheSameSeed) {
  const SpeedOptions options = {.cards = 512, .decisions = 100, .seed = 7};
  const auto first = measure_speed(options, steady_probes());
  const auto second = measure_speed(options, steady_probes());
  ASSERT_TRUE(first.has_value() && second.has_value());
  EXPECT_EQ(to_json(*first), to_json(*second));
}

TEST(Speed, RefusesAClusterThatCannotBe) {
  EXPECT_EQ(measure_speed({.cards = 7}, steady_probes()).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(measure_speed({.cards = 80, .load_percent = 0}, steady_probes()).error().code, ErrorCode::kInvalidArgument);
}

}  // namespace
}  // namespace busbar::sim
