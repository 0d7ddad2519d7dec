#include "cli/table.h"

#include <gtest/gtest.h>

#include "base/text.h"

namespace busbar::cli {
namespace {

Table sample() {
  Table table({{.title = "ID", .align = Column::Align::kRight},
               {.title = "NAME", .rank = 1},
               {.title = "STATE"},
               {.title = "REMARK", .rank = 2}});
  table.add({"7", "digits", Cell("running", Style::kGreen), "step 120/600, loss 0.41"});
  table.add({"123", "a-rather-long-name", "queued", "waits for 8 cards of chip H100"});
  return table;
}

TEST(Table, ShowsEverythingWithoutALimit) {
  EXPECT_EQ(sample().render({}),
            " ID  NAME                STATE    REMARK\n"
            "  7  digits              running  step 120/600, loss 0.41\n"
            "123  a-rather-long-name  queued   waits for 8 cards of chip H100\n");
}

TEST(Table, ShortensTheLeastImportantColumnFirst) {
  EXPECT_EQ(sample().render({.width = 50}),
            " ID  NAME                STATE    REMARK\n"
            "  7  digits              running  step 120/600, l\u2026\n"
            "123  a-rather-long-name  queued   waits for 8 car\u2026\n");
}

TEST(Table, LeavesColumnsOutWhenShorteningIsNotEnough) {
  EXPECT_EQ(sample().render({.width = 22}),
            " ID  NAME      STATE\n"
            "  7  digits    running\n"
            "123  a-rathe\u2026  queued\n");
}

TEST(Table, KeepsEveryLineWithinTheWidthWhileImportantColumnsFit) {
  for (int width = 14; width < 90; ++width) {
    SCOPED_TRACE(width);
    const std::string text = sample().render({.width = width});
    for (const std::string_view line : split(text, '\n')) {
      EXPECT_LE(display_width(line), width) << line;
    }
  }
}

TEST(Table, ColoursOnlyWhenAsked) {
  EXPECT_EQ(sample().render({}).find('\x1b'), std::string::npos);
  const std::string coloured = sample().render({.has_colour = true});
  EXPECT_NE(coloured.find("\x1b[32mrunning\x1b[0m"), std::string::npos);
}

TEST(Table, MakesCellsPrintable) {
  Table table({{.title = "NAME"}});
  table.add({"evil\x1b[2Jname\nnext"});
  EXPECT_EQ(table.render({}), "NAME\nevil?[2Jname next\n");
}

TEST(Text, WideAndCombiningCharactersHaveTheirColumns) {
  EXPECT_EQ(display_width("abc"), 3);
  EXPECT_EQ(display_width("\u00e9\u00e9"), 2);
  EXPECT_EQ(display_width("e\u0301"), 1);
  EXPECT_EQ(display_width("\u8a13\u7df4"), 4);
  EXPECT_EQ(display_width("\xff\xfe"), 2);
}

TEST(Text, EllipsisNeverSplitsACharacter) {
  EXPECT_EQ(ellipsis("training", 8), "training");
  EXPECT_EQ(ellipsis("training", 5), "trai\u2026");
  EXPECT_EQ(ellipsis("\u8a13\u7df4\u8a13", 4), "\u8a13\u2026");
  EXPECT_EQ(ellipsis("abc", 1), "\u2026");
  EXPECT_EQ(ellipsis("abc", 0), "");
}

TEST(Text, TimesAndNumbersReadWell) {
  constexpr TimeMs kNow = 1'767'323'045'000;
  EXPECT_EQ(time_ago(0, kNow), "-");
  EXPECT_EQ(time_ago(kNow + 5, kNow), "just now");
  EXPECT_EQ(time_ago(kNow - 59'000, kNow), "59s ago");
  EXPECT_EQ(time_ago(kNow - 180'000, kNow), "3m ago");
  EXPECT_EQ(time_ago(kNow - 7'200'000, kNow), "2h ago");
  EXPECT_EQ(time_ago(kNow - 200'000'000, kNow), "2d ago");
  EXPECT_EQ(short_time(kNow), "2026-01-02 03:04:05Z");
  EXPECT_EQ(human_number(0.41189), "0.4119");
  EXPECT_EQ(human_number(12.34), "12.3");
  EXPECT_EQ(human_number(1234.5), "1,235");
  EXPECT_EQ(human_number(-1234567), "-1,234,567");
  EXPECT_EQ(human_count(999), "999");
  EXPECT_EQ(human_count(-1000), "-1,000");
}

}  // namespace
}  // namespace busbar::cli
