#include "route/latency_sketch.h"

#include <gtest/gtest.h>

namespace busbar::route {
namespace {

TEST(LatencySketch, KnowsAValueToWithinAnEighth) {
  for (std::uint64_t us = 1; us < (std::uint64_t{1} << 30); us += us / 3 + 1) {
    const std::size_t bucket = LatencySketch::bucket_of(us);
    EXPECT_GT(LatencySketch::bucket_end_us(bucket), us);
    EXPECT_LE(LatencySketch::bucket_end_us(bucket), us + us / 8 + 1);
  }
  EXPECT_EQ(LatencySketch::bucket_of(~std::uint64_t{0}), LatencySketch::kBuckets - 1);
}

TEST(LatencySketch, FindsPercentiles) {
  LatencySketch sketch;
  EXPECT_EQ(sketch.percentile_us(990), 0U);
  sketch.add(LatencySketch::bucket_of(1'000), 98);
  sketch.add(LatencySketch::bucket_of(50'000), 2);
  EXPECT_EQ(sketch.total(), 100U);
  EXPECT_NEAR(static_cast<double>(sketch.percentile_us(500)), 1'000, 130);
  EXPECT_NEAR(static_cast<double>(sketch.percentile_us(980)), 1'000, 130);
  EXPECT_NEAR(static_cast<double>(sketch.percentile_us(990)), 50'000, 6'500);
}

}  // namespace
}  // namespace busbar::route
