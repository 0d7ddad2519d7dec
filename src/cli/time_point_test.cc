#include "cli/time_point.h"

#include <gtest/gtest.h>

namespace busbar::cli {
namespace {

constexpr TimeMs kNow = 1'700'000'000'000;

TEST(TimePoint, ReadsNowDurationsAndDates) {
  EXPECT_EQ(parse_time_point("now", kNow), kNow);
  EXPECT_EQ(parse_time_point(" 2h ", kNow), kNow + 7'200'000);
  EXPECT_EQ(parse_time_point("2031-05-17T08:00:30Z", kNow), 1'936'771'230'000);
  EXPECT_EQ(parse_time_point("2031-05-17T08:00Z", kNow), 1'936'771'200'000);
  EXPECT_EQ(parse_time_point("2031-05-17Z", kNow), 1'936'742'400'000);
}

TEST(TimePoint, RefusesWhatIsNoTime) {
  for (const char* text : {"", "tomorrow", "2031-13-01", "2031-05-17T08:00+02", "2031-05-17 08:00x"}) {
    SCOPED_TRACE(text);
    EXPECT_EQ(parse_time_point(text, kNow).error().code, ErrorCode::kInvalidArgument);
  }
}

}  // namespace
}  // namespace busbar::cli
