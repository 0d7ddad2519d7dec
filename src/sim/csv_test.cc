#include "sim/csv.h"

#include <gtest/gtest.h>

namespace busbar::sim {
namespace {

TEST(CsvReader, ReadsQuotedFieldsAndBothKindsOfLineEnd) {
  auto csv = CsvReader::open("a.csv", "name,size\r\n\"x, \"\"y\"\"\",3\r\n\nz,4").value();
  ASSERT_TRUE(csv.next().value());
  EXPECT_EQ(csv.text(0), "x, \"y\"");
  EXPECT_EQ(csv.integer(1, 0, 10).value(), 3);
  ASSERT_TRUE(csv.next().value());
  EXPECT_EQ(csv.text(0), "z");
  EXPECT_FALSE(csv.next().value());
}

TEST(CsvReader, NamesInputLineAndColumnOfWhatIsWrong) {
  struct Case {
    const char* text;
    const char* message;
  };
  for (const Case& c : {Case{"a,b\n1\n", "a.csv:2: 1 fields, the head line names 2 columns"},
                        Case{"a,b\n1,\"2\n", "a.csv:2: a quoted field does not end on its line"},
                        Case{"a,b\n1,\"2\"3\n", "a.csv:2: after a quoted field a comma is due"}}) {
    SCOPED_TRACE(c.text);
    auto csv = CsvReader::open("a.csv", c.text).value();
    const auto row = csv.next();
    ASSERT_FALSE(row.has_value());
    EXPECT_EQ(row.error().message, c.message);
    EXPECT_EQ(row.error().code, ErrorCode::kInvalidArgument);
  }
  EXPECT_EQ(CsvReader::open("a.csv", "").error().message, "a.csv:1: the file is empty; a line of column names is due");
  auto csv = CsvReader::open("a.csv", "a,b\n1,x\n").value();
  ASSERT_TRUE(csv.next().value());
  EXPECT_EQ(csv.integer(1, 0, 5).error().message, "a.csv:2: column b: \"x\" is no whole number from 0 to 5");
  EXPECT_EQ(csv.column("c").error().message, "a.csv:1: no column \"c\"; there are: a, b");
}

TEST(CsvReader, ReadsDecimalsAsThousandthsWithoutRounding) {
  auto csv = CsvReader::open("a.csv", "a,b,c,d,e,f\n66.0,0.0019,-1.5,1e3,.5,9223372036854775807\n").value();
  ASSERT_TRUE(csv.next().value());
  EXPECT_EQ(csv.thousandths(0, 0, 1'000'000).value(), 66'000);
  EXPECT_EQ(csv.thousandths(1, 0, 1'000'000).value(), 1);
  EXPECT_EQ(csv.thousandths(2, -10'000, 0).value(), -1500);
  for (const std::size_t column : {3, 4, 5}) {
    EXPECT_FALSE(csv.thousandths(column, 0, INT64_MAX).has_value()) << csv.text(column);
  }
  EXPECT_EQ(csv.thousandths(0, 0, 1000).error().message, "a.csv:2: column a: \"66.0\" is not between 0 and 1");
}

}  // namespace
}  // namespace busbar::sim
