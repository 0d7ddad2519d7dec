#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "model/cluster.h"

namespace busbar::model {
namespace {

Node good_node() {
  return {.id = {1},
          .name = "node-a",
          .cards = {Card{.index = 0, .chip = "cpu"}, Card{.index = 1, .chip = "cpu"}},
          .cpus = {2000},
          .memory = {1 << 30},
          .fabric = {"leaf-1"}};
}

TEST(Validate, AcceptsANodeWithDenseCards) {
  EXPECT_TRUE(validate(good_node()));
}

TEST(Validate, RefusesEachBrokenField) {
  struct Case {
    const char* phrase;
    std::function<void(Node&)> breaks;
  };
  for (const Case& c : std::vector<Case>{
           {"id is 0", [](Node& node) { node.id = {}; }},
           {"63 characters", [](Node& node) { node.name = "Node A"; }},
           {"indices", [](Node& node) { node.cards[1].index = 5; }},
           {"no chip", [](Node& node) { node.cards[0].chip = ""; }},
           {"negative memory", [](Node& node) { node.cards[0].memory = {-1}; }},
           {"peak", [](Node& node) { node.cards[0].peak_gflops = {{"", 5}}; }},
           {"negative cpus", [](Node& node) { node.cpus = {-1}; }},
           {"without a name", [](Node& node) { node.fabric = {""}; }},
       }) {
    SCOPED_TRACE(c.phrase);
    Node node = good_node();
    c.breaks(node);
    const auto result = validate(node);
    ASSERT_FALSE(result);
    EXPECT_NE(result.error().message.find(c.phrase), std::string::npos) << result.error().message;
  }
}

TEST(Validate, NamesAreShortLowerCaseWords) {
  for (const char* name :
       {"a", "0", "train-1", "a_b.c", "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz12345678901"}) {
    EXPECT_TRUE(is_valid_name(name)) << name;
  }
  for (const char* name : {"", "-a", ".a", "A", "a b", "a/b", "\xC3\xA9"}) {
    EXPECT_FALSE(is_valid_name(name)) << name;
  }
  EXPECT_FALSE(is_valid_name(std::string(64, 'a')));
}

}  // namespace
}  // namespace busbar::model
