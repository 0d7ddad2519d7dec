#include "base/json.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace busbar {
namespace {

TEST(Json, KeepsMembersInOrderAndReplacesInPlace) {
  Json json = Json::object({{"name", "a"}, {"nodes", 2}});
  json.set("run", Json::array({1, true, nullptr})).set("nodes", 3);
  EXPECT_EQ(json.dump(), R"({"name":"a","nodes":3,"run":[1,true,null]})");
}

TEST(Json, PrettyTextIndentsByTwo) {
  const Json json = Json::object({{"a", Json::array({1})}, {"b", Json::object()}, {"c", Json::array()}});
  EXPECT_EQ(json.dump_pretty(), "{\n  \"a\": [\n    1\n  ],\n  \"b\": {},\n  \"c\": []\n}");
}

TEST(Json, ReadersFallBackOnOtherTypes) {
  const Json json = Json::object({{"a", Json::object({{"b", 1}})}});
  EXPECT_EQ(json["a"]["b"].as_int(), 1);
  EXPECT_EQ(json["x"]["y"]["z"].as_int(7), 7);
  EXPECT_EQ(json["a"].as_string(), "");
  EXPECT_TRUE(json["a"].items().empty());
  EXPECT_EQ(Json(2.9).as_int(), 2);
  EXPECT_EQ(Json(1e300).as_int(-1), -1);
  EXPECT_EQ(Json(std::nan("")).as_int(-1), -1);
  EXPECT_EQ(json.find("x"), nullptr);
}

TEST(Json, IntegersStayExact) {
  for (const std::string_view text : {"9223372036854775807", "-9223372036854775808", "0", "-1", "9007199254740993"}) {
    SCOPED_TRACE(text);
    const auto json = parse_json(text);
    ASSERT_TRUE(json.has_value());
    EXPECT_TRUE(json->is_int());
    EXPECT_EQ(json->dump(), text);
  }
  EXPECT_FALSE(parse_json("9223372036854775808")->is_int());
  EXPECT_EQ(parse_json("18446744073709551616")->as_double(), 18446744073709551616.0);
  EXPECT_FALSE(Json(std::numeric_limits<std::uint64_t>::max()).is_int());
}

TEST(Json, DoublesAreReadBackBitForBit) {
  for (const double value : {0.1, 1.0, -0.0, 1e22, 1.7976931348623157e308, 5e-324, 123456.789, 3.0000000000000004}) {
    SCOPED_TRACE(value);
    const Json json(value);
    const auto parsed = parse_json(json.dump());
    ASSERT_TRUE(parsed.has_value()) << json.dump();
    EXPECT_FALSE(parsed->is_int());
    EXPECT_EQ(parsed->as_double(), value);
  }
  EXPECT_EQ(parse_json("1e-400")->as_double(), 0);
  EXPECT_FALSE(parse_json("1e400").has_value());
  EXPECT_EQ(Json(std::numeric_limits<double>::infinity()).dump(), "null");
}

TEST(Json, StringsAreEscapedAndReadBack) {
  const std::string text("a\"\\\n\t\x01\x7f é😀\0z", 16);
  const auto parsed = parse_json(Json(text).dump());
  ASSERT_TRUE(parsed.has_value());
  EXPECT_EQ(parsed->as_string(), text);
  EXPECT_EQ(parse_json(R"("\u00e9\ud83d\ude00")")->as_string(), "é😀");
}

TEST(Json, BytesThatAreNotUtf8AreReplacedOnTheWayOut) {
  EXPECT_EQ(Json("a\xff"
                 "b")
                .dump(),
            "\"a\xef\xbf\xbd"
            "b\"");
  EXPECT_FALSE(parse_json("\"a\xff\"").has_value());
}

TEST(Json, LastOfDuplicateKeysWins) {
  EXPECT_EQ(parse_json(R"({"a":1,"b":2,"a":3,"a":4})")->dump(), R"({"a":4,"b":2})");
}

TEST(Json, NestedValuesArriveWhole) {
  const std::string text = R"([{"a":[1,{"b":[]}],"c":{}},[[]],"x",-1.5])";
  EXPECT_EQ(parse_json(text)->dump(), text);
}

TEST(Json, DepthIsLimited) {
  const auto nested = [](int depth) { return std::string(depth, '[') + std::string(depth, ']'); };
  EXPECT_TRUE(parse_json(nested(64)).has_value());
  EXPECT_NE(parse_json(nested(65)).error().message.find("nested deeper than 64"), std::string::npos);
  EXPECT_FALSE(parse_json(std::string(1'000'000, '[')).has_value());
}

TEST(Json, ErrorsNameLineAndColumn) {
  const auto failure = parse_json("{\n  \"a\": 1,\n  \"b\": x\n}");
  ASSERT_FALSE(failure.has_value());
  EXPECT_EQ(failure.error().code, ErrorCode::kInvalidArgument);
  EXPECT_NE(failure.error().message.find("line 3, column 8"), std::string::npos) << failure.error().message;
}

TEST(Json, RefusesWhatIsNotJson) {
  for (const std::string_view bad : {"", " ", "{", "[1,]", "{\"a\":1,}", "{a:1}", "'a'", "01", "+1", "1.", ".5", "nul",
                                     "NaN", "1 2", "[1]]", "// x\n1", "\"\n\"", "\"\\x\"", "\"\\ud800\""}) {
    SCOPED_TRACE(bad);
    EXPECT_FALSE(parse_json(bad).has_value());
  }
}

}  // namespace
}  // namespace busbar
