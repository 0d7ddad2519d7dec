#include "engine/log_line.h"

#include <gtest/gtest.h>

namespace busbar::engine {
namespace {

TEST(LogLine, ReadsTimeStreamAndText) {
  const auto line = parse_log_line("2026-01-02T03:04:05.678901234+00:00 stderr F hello  world");
  ASSERT_TRUE(line.has_value());
  EXPECT_EQ(format_time(line->time_ms), "2026-01-02T03:04:05.678Z");
  EXPECT_EQ(line->stream, 2);
  EXPECT_FALSE(line->is_partial);
  EXPECT_EQ(line->text, "hello  world");
}

TEST(LogLine, HonoursTheZone) {
  EXPECT_EQ(format_time(parse_log_line("2026-01-01T01:00:00.5+02:00 stdout F x")->time_ms), "2025-12-31T23:00:00.500Z");
  EXPECT_EQ(format_time(parse_log_line("2026-01-01T01:00:00-05:30 stdout F x")->time_ms), "2026-01-01T06:30:00.000Z");
  EXPECT_EQ(format_time(parse_log_line("2026-01-01T01:00:00Z stdout F x")->time_ms), "2026-01-01T01:00:00.000Z");
}

TEST(LogLine, MarksPartialLinesAndKeepsEmptyText) {
  EXPECT_TRUE(parse_log_line("2026-01-01T01:00:00Z stdout P abc")->is_partial);
  EXPECT_EQ(parse_log_line("2026-01-01T01:00:00Z stdout F ")->text, "");
}

TEST(LogLine, RefusesWhatIsTornOrForeign) {
  for (const std::string_view text :
       {"", "hello", "2026-01-01T01:00:00Z", "2026-01-01T01:00:00Z stdout", "2026-01-01T01:00:00Z stdout X a",
        "2026-01-01T01:00:00Z stdlog F a", "2026-13-01T01:00:00Z stdout F a", "2026-02-30T01:00:00Z stdout F a",
        "2026-01-01T25:00:00Z stdout F a", "2026-01-01T01:00:00 stdout F a", "20260101T010000Z stdout F a"}) {
    SCOPED_TRACE(text);
    EXPECT_FALSE(parse_log_line(text).has_value());
  }
}

}  // namespace
}  // namespace busbar::engine
