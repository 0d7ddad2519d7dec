#include "base/units.h"

#include <gtest/gtest.h>

#include <limits>

namespace busbar {
namespace {

TEST(Units, ReadsSizesAsSlurmAndDockerDo) {
  const std::pair<std::string_view, std::int64_t> cases[] = {
      {"0", 0},
      {"4096", 4096},
      {"17B", 17},
      {"512M", 512LL << 20},
      {"64GiB", 64LL << 30},
      {"64Gi", 64LL << 30},
      {"64G", 64LL << 30},
      {"64gb", 64LL << 30},
      {"1.5T", 3LL << 39},
      {"2P", 2LL << 50},
      {" 1 KiB ", 1024},
      {"0.5K", 512},
      {"9223372036854775807", std::numeric_limits<std::int64_t>::max()}};
  for (const auto& [text, bytes] : cases) {
    SCOPED_TRACE(text);
    ASSERT_TRUE(parse_bytes(text).has_value());
    EXPECT_EQ(parse_bytes(text)->value, bytes);
  }
}

TEST(Units, RefusesOddSizes) {
  for (const std::string_view bad : {"", "G", "-1", "1X", "1GG", "1iB", "1.G", ".5G", "1.2.3G", "1e3", "8192P",
                                     "9223372036854775808", "99999999999999999999"}) {
    SCOPED_TRACE(bad);
    ASSERT_FALSE(parse_bytes(bad).has_value());
    EXPECT_EQ(parse_bytes(bad).error().code, ErrorCode::kInvalidArgument);
  }
}

TEST(Units, FormatsSizesInTheLargestUnit) {
  EXPECT_EQ(format_bytes({0}), "0B");
  EXPECT_EQ(format_bytes({17}), "17B");
  EXPECT_EQ(format_bytes({512 << 10}), "512KiB");
  EXPECT_EQ(format_bytes({3LL << 29}), "1.5GiB");
  EXPECT_EQ(format_bytes({(1LL << 30) - 1}), "1023.9MiB");
  EXPECT_EQ(format_bytes({std::numeric_limits<std::int64_t>::max()}), "7.9EiB");
  EXPECT_EQ(format_bytes({-2048}), "-2KiB");
}

TEST(Units, ReadsDurations) {
  const std::pair<std::string_view, std::int64_t> cases[] = {
      {"90", 90'000},       {"90s", 90'000},         {"15m", 900'000},
      {"4h", 14'400'000},   {"2d", 172'800'000},     {"1h30m", 5'400'000},
      {"250ms", 250},       {"1.5h", 5'400'000},     {"0", 0},
      {"05:30", 330'000},   {"01:00:00", 3'600'000}, {"90:00", 5'400'000},
      {"0-04", 14'400'000}, {"1-02:30", 95'400'000}, {"0-04:00:00", 14'400'000},
      {"0.5", 500}};
  for (const auto& [text, ms] : cases) {
    SCOPED_TRACE(text);
    ASSERT_TRUE(parse_duration_ms(text).has_value());
    EXPECT_EQ(*parse_duration_ms(text), ms);
  }
}

TEST(Units, SlurmReadsABareNumberAsMinutes) {
  EXPECT_EQ(*parse_slurm_duration_ms("90"), 5'400'000);
  EXPECT_EQ(*parse_slurm_duration_ms("05:30"), 330'000);
  EXPECT_EQ(*parse_slurm_duration_ms("1-0"), 86'400'000);
}

TEST(Units, RefusesOddDurations) {
  for (const std::string_view bad : {"", "h", "-5", "5x", "30m1h", "1h1h", "1:2:3:4", "1-2:3:4:5", ":", "1:", "-", "1-",
                                     "1h 30m", "1:-2", "1.5:00", "99999999999999d", "9223372036854775807"}) {
    SCOPED_TRACE(bad);
    EXPECT_FALSE(parse_duration_ms(bad).has_value());
  }
}

TEST(Units, FormatsDurations) {
  EXPECT_EQ(format_duration_ms(340), "340ms");
  EXPECT_EQ(format_duration_ms(12'345), "12.3s");
  EXPECT_EQ(format_duration_ms(245'000), "4m05s");
  EXPECT_EQ(format_duration_ms(7'380'000), "2h03m");
  EXPECT_EQ(format_duration_ms(273'600'000), "3d04h");
  EXPECT_EQ(format_duration_ms(-340), "-340ms");
  EXPECT_EQ(format_duration_ms(std::numeric_limits<std::int64_t>::min()).front(), '-');
}

TEST(Units, MilliAreExact) {
  EXPECT_EQ(*parse_milli("1"), 1000);
  EXPECT_EQ(*parse_milli("0.5"), 500);
  EXPECT_EQ(*parse_milli("2.25"), 2250);
  EXPECT_EQ(*parse_milli("0.001"), 1);
  for (const std::string_view bad : {"", "0.0001", "1x", "-1", "1.", "99999999999999999"}) {
    SCOPED_TRACE(bad);
    EXPECT_FALSE(parse_milli(bad).has_value());
  }
  EXPECT_EQ(format_milli(1000), "1");
  EXPECT_EQ(format_milli(500), "0.5");
  EXPECT_EQ(format_milli(2001), "2.001");
  EXPECT_EQ(format_milli(-250), "-0.25");
}

TEST(Units, TimesAreRfc3339InUtc) {
  EXPECT_EQ(format_time(0), "1970-01-01T00:00:00.000Z");
  EXPECT_EQ(format_time(1'767'323'045'678), "2026-01-02T03:04:05.678Z");
  EXPECT_EQ(format_time(-1), "1969-12-31T23:59:59.999Z");
  EXPECT_EQ(format_time(std::numeric_limits<std::int64_t>::max()), "9999-12-31T23:59:59.999Z");
  EXPECT_EQ(format_time(std::numeric_limits<std::int64_t>::min()), "0000-01-01T00:00:00.000Z");
}

}  // namespace
}  // namespace busbar
