#include "model/spec_text.h"

#include <gtest/gtest.h>

#include <array>
#include <string>
#include <vector>

namespace busbar::model {
namespace {

TEST(Accelerators, ReadsEveryForm) {
  struct Case {
    const char* text;
    const char* chip;
    std::int64_t milli;
  };
  for (const Case& c : std::vector<Case>{{"H100:8", "H100", 8000},
                                         {"H100:0.5", "H100", 500},
                                         {"H100", "H100", 1000},
                                         {"8", "", 8000},
                                         {"0.25", "", 250},
                                         {"cpu:2", "cpu", 2000},
                                         {" H100 : 8 ", "H100", 8000},
                                         {"nvidia.com/gpu:2", "nvidia.com/gpu", 2000}}) {
    SCOPED_TRACE(c.text);
    const auto request = parse_accelerators(c.text);
    ASSERT_TRUE(request) << request.error().to_string();
    EXPECT_EQ(request->chip, c.chip);
    EXPECT_EQ(request->per_node.value, c.milli);
    EXPECT_EQ(parse_accelerators(format_accelerators(*request)), request);
  }
}

TEST(Accelerators, RefusesWhatIsNoCount) {
  for (const char* text : {"", ":8", "H100:", "H100:0", "H100:-1", "H100:1.5", "H100:many", "H 100:1", "2000", "0"}) {
    SCOPED_TRACE(text);
    EXPECT_FALSE(parse_accelerators(text));
  }
}

TEST(Accelerators, ReadWhatTheCardsMustComputeIn) {
  for (const auto& [text, chip, precision] : std::vector<std::array<const char*, 3>>{
           {"H100:8@fp8", "H100", "fp8"}, {"8 @ BF16", "", "bf16"}, {"cpu@fp32", "cpu", "fp32"}}) {
    SCOPED_TRACE(text);
    const auto request = parse_accelerators(text);
    ASSERT_TRUE(request) << request.error().to_string();
    EXPECT_EQ(request->chip, chip);
    EXPECT_EQ(request->precision, precision);
    EXPECT_EQ(parse_accelerators(format_accelerators(*request)), request);
  }
  EXPECT_EQ(parse_accelerators("8@bf61").error().message, "\"bf61\" is no precision; did you mean bf16?");
}

TEST(Nodes, ReadsSizesThatAGangMayHave) {
  EXPECT_EQ(*parse_gang_sizes("8, 2,4,2"), (GangSizes{2, 8, {2, 4, 8}}));
  EXPECT_EQ(*parse_gang_sizes("2..8"), (GangSizes{2, 8, {}}));
  EXPECT_EQ(*parse_gang_sizes("4,4"), (GangSizes{4, 4, {}}));
  EXPECT_EQ(format_gang_sizes({2, 8, {2, 4, 8}}), "2,4,8");
  EXPECT_EQ(format_gang_sizes({2, 8, {}}), "2..8");
  EXPECT_FALSE(parse_gang_sizes("2,,8"));
  EXPECT_FALSE(parse_gang_sizes("2,four"));
}

TEST(Nodes, ReadsOneNumberAndARange) {
  EXPECT_EQ(*parse_nodes("4"), (std::pair<std::uint32_t, std::uint32_t>{4, 4}));
  EXPECT_EQ(*parse_nodes("2..8"), (std::pair<std::uint32_t, std::uint32_t>{2, 8}));
  EXPECT_EQ(format_nodes(2, 8), "2..8");
  EXPECT_EQ(format_nodes(3, 3), "3");
}

TEST(Nodes, RefusesZeroBackwardsAndWords) {
  for (const char* text : {"0", "-1", "8..2", "2..", "..8", "two", "10001", "1..2..3"}) {
    SCOPED_TRACE(text);
    EXPECT_FALSE(parse_nodes(text));
  }
}

TEST(Array, ReadsSlurmsForms) {
  struct Case {
    const char* text;
    std::vector<std::uint32_t> indices;
    std::uint32_t parallel;
  };
  for (const Case& c : std::vector<Case>{{"0-3", {0, 1, 2, 3}, 0},
                                         {"1,3,5-9:2", {1, 3, 5, 7, 9}, 0},
                                         {"0-5%2", {0, 1, 2, 3, 4, 5}, 2},
                                         {"4", {0, 1, 2, 3}, 0},
                                         {"4%1", {0, 1, 2, 3}, 1},
                                         {"7-7", {7}, 0},
                                         {"3,1,1", {1, 3}, 0}}) {
    SCOPED_TRACE(c.text);
    const auto range = parse_array(c.text);
    ASSERT_TRUE(range) << range.error().to_string();
    EXPECT_EQ(range->indices, c.indices);
    EXPECT_EQ(range->parallel, c.parallel);
    EXPECT_EQ(parse_array(format_array(*range)), range);
  }
}

TEST(Array, RefusesBadAndHugeOnes) {
  for (const char* text : {"", "0", "-1", "5-1", "0-10000", "1,", "a-b", "0-9%0", "5:2", "0-9:0", "1-4000001"}) {
    SCOPED_TRACE(text);
    EXPECT_FALSE(parse_array(text));
  }
  EXPECT_TRUE(parse_array("0-9999"));
}

TEST(Durations, AreWrittenExactly) {
  for (const std::int64_t ms : {1LL, 1500LL, 1000LL, 5'400'000LL, 3'600'000LL, 172'800'000LL, 3'601'000LL}) {
    SCOPED_TRACE(ms);
    const auto read = parse_duration_ms(format_exact_duration_ms(ms));
    ASSERT_TRUE(read);
    EXPECT_EQ(*read, ms);
  }
  EXPECT_EQ(format_exact_duration_ms(5'400'000), "90m");
}

}  // namespace
}  // namespace busbar::model
