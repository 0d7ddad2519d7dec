#include "chip/probe/internal/topology_file.h"

#include <gtest/gtest.h>

namespace busbar::chip::probe {
namespace {

TEST(TopologyFile, SaysWhatACardIsAndWhichAreLinked) {
  const TopologyFile file = parse_topology_file("t.yaml", R"(cards:
  "0000:3b:00.0": {chip: ascend-910b3, values: {phyid: 3}}
  "0000:5e:00.0": {ignore: true}
links:
  - ["0000:3b:00.0", "0000:5e:00.0"]
)");
  EXPECT_TRUE(file.problems.empty());
  EXPECT_EQ(file.find("0000:3b:00.0")->chip, "ascend-910b3");
  EXPECT_EQ(file.find("0000:3b:00.0")->values.at("phyid"), "3");
  EXPECT_TRUE(file.find("0000:5e:00.0")->is_ignored);
  EXPECT_EQ(file.find("0000:00:00.0"), nullptr);
  EXPECT_EQ(file.links.size(), 1U);
}

TEST(TopologyFile, AnEmptyOneSaysNothing) {
  EXPECT_TRUE(parse_topology_file("t.yaml", "").problems.empty());
  EXPECT_TRUE(parse_topology_file("t.yaml", "# nothing\n").cards.empty());
}

TEST(TopologyFile, EachMistakeIsNamedWithItsLine) {
  const std::pair<std::string_view, std::string_view> cases[] = {
      {"cards: [1]", "line 1: \"cards\""},
      {"[1, 2]", "line 1: expected a map"},
      {"cards:\n  x: {chip: a}", "line 2: \"x\" must be a PCI address"},
      {"cards:\n  \"0000:3b:00.0\": {ignore: maybe}", "line 2: \"ignore\""},
      {"cards:\n  \"0000:3b:00.0\": {chip: [a]}", "line 2: \"chip\""},
      {"links:\n  - [a]", "line 2: \"a\" is no PCI address"},
      {"links:\n  - a", "line 2: a group of linked cards"},
      {"a: {", "line "}};
  for (const auto& [text, message] : cases) {
    SCOPED_TRACE(text);
    const TopologyFile file = parse_topology_file("t.yaml", text);
    ASSERT_FALSE(file.problems.empty());
    EXPECT_EQ(file.problems[0].path, "t.yaml");
    EXPECT_NE(file.problems[0].message.find(message), std::string::npos) << file.problems[0].message;
  }
}

}  // namespace
}  // namespace busbar::chip::probe
