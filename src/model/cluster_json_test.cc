#include <gtest/gtest.h>

#include "model/job_json.h"

namespace busbar::model {
namespace {

TEST(ClusterJson, NodeRoundTripsThroughText) {
  const Node node{.id = {7},
                  .name = "n7",
                  .cards = {Card{.index = 0,
                                 .chip = "H100",
                                 .device = "pci:0000:3b:00.0",
                                 .memory = {80LL << 30},
                                 .numa_node = 1,
                                 .link_group = 2,
                                 .health = CardHealth::kUnhealthy,
                                 .peak_gflops = {{"bf16", 989'000}, {"fp32", 67'000}}},
                            Card{.index = 1, .chip = "cpu", .device = "cpu:1"}},
                  .cpus = {1500},
                  .memory = {123'456'789},
                  .fabric = {"leaf-3", "spine-1"},
                  .labels = {{"zone", "b"}, {"pool", "train"}},
                  .state = NodeState::kDrained};
  const auto text = parse_json(to_json(node).dump());
  ASSERT_TRUE(text);
  const auto read = node_from_json(*text);
  ASSERT_TRUE(read) << read.error().to_string();
  EXPECT_EQ(*read, node);
}

TEST(ClusterJson, PlacementRoundTripsThroughText) {
  const Placement placement{
      .tasks = {TaskPlacement{.rank = 0, .node = {1}, .cards = {0, 3}, .cpus = {2500}, .memory = {1 << 20}},
                TaskPlacement{.rank = 1, .node = {2}, .cards = {5}, .per_card = {250}}},
      .chip = "H100"};
  const auto text = parse_json(to_json(placement).dump());
  ASSERT_TRUE(text);
  EXPECT_EQ(placement_from_json(*text), placement);
}

TEST(ClusterJson, RefusesWrongTypesAndUnknownKeys) {
  for (const char* text : {R"({"name": 7})", R"({"cards": [{"index": -1}]})", R"({"cards": {}})",
                           R"({"colour": "red"})", R"({"state": "sleeping"})", R"({"labels": {"a": 1}})",
                           R"({"cpus": "many"})", R"([])", R"({"id": 1.5})", R"({"cpus": -1})", R"({"cpus": 1e300})"}) {
    SCOPED_TRACE(text);
    const auto json = parse_json(text);
    ASSERT_TRUE(json);
    EXPECT_FALSE(node_from_json(*json));
  }
}

}  // namespace
}  // namespace busbar::model
