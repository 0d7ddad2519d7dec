#include "model/rate.h"

#include <gtest/gtest.h>

namespace busbar::model {
namespace {

TEST(Rate, IsReadAsItIsWritten) {
  for (const char* text : {"10/s", "600/m", "1000/h", "1000000000/d", "none"}) {
    SCOPED_TRACE(text);
    const auto rate = parse_rate(text);
    ASSERT_TRUE(rate);
    EXPECT_EQ(format_rate(*rate), text);
  }
  EXPECT_EQ(parse_rate(" 5 / m ")->period_ms, 60'000);
}

TEST(Rate, RefusesWhatIsNone) {
  for (const char* text : {"", "10", "10/", "/s", "0/s", "-1/s", "1.5/s", "10/w", "10/s/s", "1000000001/s"}) {
    SCOPED_TRACE(text);
    const auto rate = parse_rate(text);
    ASSERT_FALSE(rate);
    EXPECT_NE(rate.error().message.find("10/s"), std::string::npos);
  }
}

}  // namespace
}  // namespace busbar::model
