#include "sim/fgd.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "sim/fgd_moves.h"
#include "sim/fgd_policies.h"

namespace busbar::sim {
namespace {

using sched::place::kPackCard;
using sched::place::PackNode;
using sched::place::PackShape;

/// Sixteen nodes of two kinds, and pods of every sort.
constexpr std::string_view kNodes = "sn,cpu_milli,memory_mib,gpu,model\na,64000,262144,2,P100\nb,96000,393216,8,G2\n";
constexpr std::string_view kPods =
    "name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec\n"
    "a,3000,4000,1,810,\nb,11000,16000,1,1000,\nc,8000,8000,1,470,G2|P100\nd,12500,50000,0,0,\n"
    "e,64000,262144,8,1000,\nf,4000,4000,1,190,P100\ng,16000,30000,2,1000,G2\n";

struct Small {
  FgdCluster cluster = *read_fgd_nodes("nodes", kNodes);
  FgdPods pods = *read_fgd_pods("pods", kPods, cluster);
  Small() {
    const auto once = cluster.nodes;
    while (cluster.nodes.size() < 16) {
      cluster.nodes.insert(cluster.nodes.end(), once.begin(), once.end());
    }
    cluster.card_milli *= 8;
  }
};

void give_back(PackNode& node, const PackShape& shape, std::span<const std::uint16_t> cards) {
  node.cpus += shape.cpus;
  node.memory += shape.memory;
  for (const std::uint16_t card : cards) {
    node.cards[card] = static_cast<std::uint16_t>(node.cards[card] + shape.milli);
  }
}

std::string error_of(std::string_view nodes, std::string_view pods) {
  const auto cluster = read_fgd_nodes("nodes.csv", nodes);
  if (!cluster.has_value()) {
    return cluster.error().to_string();
  }
  const auto load = read_fgd_pods("pods.csv", pods, *cluster);
  return load.has_value() ? "" : load.error().to_string();
}

TEST(FgdLoad, AModelConstraintBecomesKinds) {
  const auto cluster = read_fgd_nodes("nodes.csv", kNodes);
  const auto load = read_fgd_pods("pods.csv",
                                  "name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec\n"
                                  "p,1000,1,1,500,G2|T4\nq,1000,1,1,500,\nr,1000,1,0,0,G2\n",
                                  *cluster);
  ASSERT_TRUE(load.has_value());
  EXPECT_EQ(load->shapes[0].shape.kinds, 2U);
  EXPECT_EQ(load->shapes[1].shape.kinds, ~std::uint64_t{0});
  EXPECT_EQ(load->shapes[2].shape.kinds, ~std::uint64_t{0}) << "CPU tasks run anywhere";
}

TEST(FgdLoad, MalformedListsAreRefusedWithFileAndLine) {
  constexpr std::string_view kHead = "name,cpu_milli,memory_mib,num_gpu,gpu_milli\n";
  const auto pods = [&](std::string_view row) {
    return std::string(kHead) + "ok,1,1,1,1000\n" + std::string(row) + "\n";
  };
  const std::vector<std::pair<std::string, std::string>> cases = {
      {error_of("", ""), "nodes.csv:1"},
      {error_of("sn,cpu_milli,gpu,model\n", ""), "nodes.csv:1"},
      {error_of("sn,cpu_milli,memory_mib,gpu,model\na,x,1,1,G\n", ""), "nodes.csv:2"},
      {error_of("sn,cpu_milli,memory_mib,gpu,model\na,1,1,65,G\n", ""), "nodes.csv:2"},
      {error_of("sn,cpu_milli,memory_mib,gpu,model\na,1,1,0,G\n", ""), "nodes.csv:2"},
      {error_of(kNodes, pods("p,1,1,1")), "pods.csv:3"},
      {error_of(kNodes, pods("p,-1,1,1,1000")), "pods.csv:3"},
      {error_of(kNodes, pods("p,1,1,1,1001")), "pods.csv:3"},
      {error_of(kNodes, pods("p,1,1,1,0")), "pods.csv:3"},
      {error_of(kNodes, pods("p,1,1,2,500")), "pods.csv:3"},
      {error_of(kNodes, pods("p,1,99999999999999999999,1,500")), "pods.csv:3"},
      {error_of(kNodes, std::string(kHead) + "p,1,1,0,0\n"), "pods.csv:2"},
  };
  for (const auto& [error, place] : cases) {
    SCOPED_TRACE(error);
    EXPECT_NE(error.find(place), std::string::npos);
  }
}

TEST(FgdProtocol, PodsArriveUntilTheyAskForThirtyPercentMoreThanThereIs) {
  const Small small;
  for (const std::uint64_t seed : {1U, 2U}) {
    std::int64_t asked = 0;
    for (const std::uint32_t shape : draw_arrivals(small.cluster, small.pods, {}, seed)) {
      asked += small.pods.shapes[shape].shape.card_milli();
    }
    EXPECT_LE(asked, small.cluster.card_milli * 13 / 10);
    EXPECT_GT(asked, small.cluster.card_milli * 13 / 10 - 8000);
  }
  EXPECT_NE(draw_arrivals(small.cluster, small.pods, {}, 1), draw_arrivals(small.cluster, small.pods, {}, 2));
}

TEST(FgdProtocol, AListThatAsksForTooMuchLosesPods) {
  const Small small;
  EXPECT_LT(draw_arrivals(small.cluster, small.pods, {.arrive_percent = 5}, 1).size(), small.pods.pods.size());
}

TEST(FgdPolicies, EveryNamedPolicyIsMadeAndNoOther) {
  const Small small;
  const PackWorld world = {.nodes = small.cluster.nodes, .shapes = small.pods.shapes, .seed = 1};
  for (const std::string_view name : pack_policy_names()) {
    EXPECT_NE(make_pack_policy(name, world), nullptr) << name;
  }
  EXPECT_EQ(make_pack_policy("firstfit", world), nullptr);
}

TEST(FgdPolicies, NoPolicyEverTakesMoreThanIsFree) {
  const Small small;
  const auto arrivals = draw_arrivals(small.cluster, small.pods, {}, 3);
  for (const std::string_view name : pack_policy_names()) {
    SCOPED_TRACE(name);
    std::size_t moves = 0;
    std::vector<sched::place::PackNode> nodes = small.cluster.nodes;
    const auto policy = make_pack_policy(name, {.nodes = nodes, .shapes = small.pods.shapes, .seed = 3});
    for (std::size_t i = 0; i < arrivals.size(); ++i) {
      const sched::place::PackShape& shape = small.pods.shapes[arrivals[i]].shape;
      const auto choice = policy->place(arrivals[i]);
      const bool fits_somewhere = std::ranges::any_of(nodes, [&](const auto& node) { return fits(node, shape); });
      ASSERT_EQ(choice.has_value(), fits_somewhere || !policy->moves().empty());
      for (const PackPolicy::Move& move : policy->moves()) {
        const sched::place::PackShape& moved = small.pods.shapes[move.shape].shape;
        ASSERT_FALSE(fits_somewhere) << "nothing moves where there is room";
        ASSERT_NE(move.from, move.to.node);
        ASSERT_EQ(move.cards.size(), moved.cards);
        give_back(nodes[move.from], moved, move.cards);
        ASSERT_TRUE(std::ranges::all_of(nodes[move.from].cards, [](auto free) { return free <= kPackCard; }));
        ASSERT_TRUE(fits(nodes[move.to.node], moved));
        take(nodes[move.to.node], moved, move.to.card);
        ++moves;
      }
      if (choice.has_value()) {
        ASSERT_TRUE(fits(nodes[choice->node], shape));
        ASSERT_TRUE(!shape.is_fraction() || nodes[choice->node].cards[choice->card] >= shape.milli);
        take(nodes[choice->node], shape, choice->card);
      }
    }
    EXPECT_LE(moves * 100, arrivals.size() * kMovesPerHundredPods);
    EXPECT_EQ(moves > 0, name == "busbar-moves");
  }
}

TEST(FgdPolicies, APodGoesElsewhereWhereThatMakesRoom) {
  const PackShape any = {.cards = 1, .milli = kPackCard};
  const PackShape small = {.cards = 1, .milli = kPackCard, .kinds = 1};
  const PackShape pair = {.cards = 2, .milli = kPackCard, .kinds = 2};
  const PackShape bare = {.cpus = 1};
  const std::vector<PackNode> nodes = {{.cpus = 100, .kind = 0, .cards = {kPackCard}},
                                       {.cpus = 100, .kind = 1, .cards = {kPackCard, kPackCard}}};
  // Mostly the first kind is asked for, so it is kept free.
  const std::vector<sched::place::ExpectedShape> shapes = {{.shape = any, .weight = 1},
                                                           {.shape = small, .weight = 1000},
                                                           {.shape = pair, .weight = 1},
                                                           {.shape = bare, .weight = 1}};
  for (const std::string_view name : {"busbar", "busbar-moves"}) {
    SCOPED_TRACE(name);
    const auto policy = make_pack_policy(name, {.nodes = nodes, .shapes = shapes});
    ASSERT_EQ(policy->place(0), (PackPolicy::Choice{.node = 1}));
    EXPECT_FALSE(policy->place(2).has_value()) << "one move for ten pods";
    for (int i = 0; i < 8; ++i) ASSERT_TRUE(policy->place(3).has_value());
    EXPECT_EQ(policy->place(2).has_value(), name == "busbar-moves");
  }
}

TEST(FgdSummary, ComparesPairsOfSeeds) {
  const FgdSummary ours = {.allocated_percent = {96, 95, 97}};
  const FgdSummary theirs = {.allocated_percent = {95, 94, 95}};
  const FgdDifference difference = paired_difference(ours, theirs);
  EXPECT_NEAR(difference.mean, 4.0 / 3, 1e-9);
  EXPECT_NEAR(difference.standard_error, 1.0 / 3, 1e-9);
}

TEST(FgdSummary, CountsTimeOfDecisionsOnly) {
  std::vector<FgdRun> runs = {{.allocated_percent = 90, .pods = 2, .setup_ns = 9'000'000, .decision_ns = {1000, 3000}}};
  const FgdSummary summary = summarise_fgd("busbar", runs);
  EXPECT_NEAR(summary.pods_per_s, 500'000, 1);
  EXPECT_NEAR(summary.p50_us, 1, 1e-9);
  EXPECT_NEAR(summary.p99_us, 3, 1e-9);
  EXPECT_EQ(fgd_json(summary)["seeds"].as_int(), 1);
}

}  // namespace
}  // namespace busbar::sim
