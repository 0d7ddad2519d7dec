#include "sched/place/placer.h"

#include <gtest/gtest.h>

#include <set>

#include "sched/test_cluster.h"

namespace busbar::sched {
namespace {

using testing::cluster;
using testing::Host;
using testing::job;
using Ids = std::vector<std::uint64_t>;
using Cards = model::CardList;

JobRequest with_level(JobRequest request, model::TopologyRequest::Mode mode, std::string level) {
  request.topology = {.mode = mode, .level = std::move(level)};
  return request;
}

TEST(Placer, PrefersOneNodeOverTwo) {
  Host host(cluster().nodes(2).cards(8).build());
  host.submit(job(1, 2, 4000));
  EXPECT_EQ(host.nodes_of(1), (Ids{1, 1}));
}

TEST(Placer, PrefersOneLeafOverTwo) {
  Host host(cluster().leaves(2).nodes(2).cards(8).build());
  host.submit(job(1, 1, 8000));
  host.submit(job(2, 2, 8000));
  EXPECT_EQ(host.nodes_of(1), (Ids{1}));
  EXPECT_EQ(host.nodes_of(2), (Ids{3, 4}));
}

TEST(Placer, TakesTheLeafThatIsLeastRoomy) {
  Host host(cluster().leaves(2).nodes(3).cards(8).build());
  host.submit(job(1, 1, 8000));
  host.submit(job(2, 2, 8000));
  EXPECT_EQ(host.nodes_of(2), (Ids{2, 3})) << "leaf-1 has exactly two free nodes left";
}

TEST(Placer, SpreadsOverDistinctNodesOfALeafWhereThereAreEnough) {
  Host host(cluster().nodes(4).cards(2).build());
  host.submit(job(1, 4, 1000));
  EXPECT_EQ(host.nodes_of(1), (Ids{1, 2, 3, 4}));
}

TEST(Placer, FillsNodesWhereDistinctOnesAreTooFew) {
  Host host(cluster().nodes(2).cards(3).build());
  host.submit(job(1, 5, 1000));
  EXPECT_EQ(host.nodes_of(1), (Ids{1, 1, 1, 2, 2}));
}

TEST(Placer, LeavesLargeFreeNodesWhole) {
  Host host(cluster().nodes(2).cards(8).build());
  host.submit(job(1, 1, 5000));
  host.submit(job(2, 1, 2000));
  host.submit(job(3, 1, 8000));
  EXPECT_EQ(host.nodes_of(2), host.nodes_of(1));
  EXPECT_EQ(host.nodes_of(3), (Ids{2}));
}

TEST(Placer, KeepsCardsOfOneLinkGroupTogether) {
  Host host(cluster().cards(8).link_groups(4).build());
  host.submit(job(1, 1, 1000));
  host.submit(job(2, 1, 4000));
  EXPECT_EQ(host.cards_of(1), (Cards{0}));
  EXPECT_EQ(host.cards_of(2), (Cards{4, 5, 6, 7}));
  host.submit(job(3, 1, 2000));
  EXPECT_EQ(host.cards_of(3), (Cards{1, 2}));
}

TEST(Placer, PrefersANodeWhoseLinkGroupHoldsTheTask) {
  Host host(cluster().nodes(2).cards(8).link_groups(4).build());
  host.submit(job(1, 1, 3000));
  host.submit(job(2, 1, 3000));
  host.submit(job(3, 1, 2000));
  EXPECT_EQ(host.nodes_of(2), (Ids{1})) << "its second link group holds three";
  EXPECT_EQ(host.nodes_of(3), (Ids{2})) << "node 1 has one card left in each group";
}

TEST(Placer, PacksFractionsOnCardsThatAreSharedAlready) {
  Host host(cluster().nodes(2).cards(2).build());
  host.submit(job(1, 1, 300));
  host.submit(job(2, 1, 600));
  host.submit(job(3, 1, 700));
  host.submit(job(4, 1, 300));
  EXPECT_EQ(host.nodes_of(2), host.nodes_of(1));
  EXPECT_EQ(host.cards_of(2), host.cards_of(1));
  EXPECT_EQ(host.nodes_of(3), host.nodes_of(1));
  EXPECT_NE(host.cards_of(3), host.cards_of(1));
  EXPECT_EQ(host.cards_of(4), host.cards_of(3)) << "best fit: 300 of 300 left";
}

TEST(Placer, GivesNoWholeCardThatIsShared) {
  Host host(cluster().cards(1).build());
  host.submit(job(1, 1, 100));
  host.submit(job(2, 1, 1000));
  EXPECT_FALSE(host.holds_cards(2));
}

TEST(Placer, PlacesAGangWholeOrNotAtAll) {
  Host host(cluster().nodes(2).cards(8).build());
  host.submit(job(1, 1, 8000));
  host.submit(job(2, 2, 8000));
  EXPECT_FALSE(host.holds_cards(2));
  EXPECT_EQ(host.core.used_on({2}), std::vector<MilliCards>(8, MilliCards{0}));
}

TEST(Placer, StartsAnElasticGangWithTheMostNodesThatFit) {
  Host host(cluster().nodes(4).cards(8).build());
  host.submit(job(1, 1, 8000));
  JobRequest elastic = job(2, 2, 8000);
  elastic.max_nodes = 8;
  host.submit(elastic);
  EXPECT_EQ(host.nodes_of(2), (Ids{2, 3, 4}));
}

TEST(Placer, HoldsARequiredLevel) {
  Host host(cluster().leaves(2).nodes(2).cards(8).build());
  host.submit(job(1, 1, 8000));
  host.submit(job(2, 1, 8000));
  host.succeed(1);
  host.submit(job(3, 1, 8000));
  ASSERT_EQ(host.nodes_of(3), (Ids{1}));
  host.submit(job(4, 1, 8000));
  ASSERT_EQ(host.nodes_of(4), (Ids{3}));
  host.cancel(2);
  host.gone(2);
  // Node 2 in leaf 1 and node 4 in leaf 2 are free: room for two, but not in one leaf.
  host.submit(with_level(job(5, 2, 8000), model::TopologyRequest::Mode::kRequired, "leaf"));
  EXPECT_FALSE(host.holds_cards(5));
  host.submit(with_level(job(6, 2, 8000), model::TopologyRequest::Mode::kRequired, "spine"));
  EXPECT_FALSE(host.holds_cards(6)) << "it would take what job 5 waits for";
  host.cancel(5);
  EXPECT_EQ(host.nodes_of(6), (Ids{2, 4}));
}

TEST(Placer, PrefersFewerNodesWithinThePreferredLevel) {
  Host host(cluster().leaves(2).nodes(2).cards(8).build());
  JobRequest elastic = with_level(job(1, 1, 8000), model::TopologyRequest::Mode::kPreferred, "leaf");
  elastic.max_nodes = 4;
  host.submit(elastic);
  EXPECT_EQ(host.nodes_of(1).size(), 2U);
}

TEST(Placer, OrdersRanksAlongTheFabricWhateverTheIds) {
  auto nodes = cluster().leaves(2).nodes(2).cards(1).build();
  std::swap(nodes[1].fabric, nodes[2].fabric);  // Leaf 1 has nodes 1 and 3, leaf 2 has 2 and 4.
  Host host(std::move(nodes));
  host.submit(job(1, 4, 1000));
  EXPECT_EQ(host.nodes_of(1), (Ids{1, 3, 2, 4}));
}

TEST(Placer, TakesTheFirstAlternativeThatFitsAndSaysWhichChip) {
  auto nodes = cluster().nodes(1).cards(2, "h100").build();
  nodes.push_back(cluster().nodes(1).cards(2, "a100").first_id(2).build()[0]);
  Host host(std::move(nodes));
  JobRequest request = job(1, 1, 2000, "h100");
  request.accelerators.push_back({.chip = "a100", .per_node = {2000}});
  const auto first = testing::find<Place>(host.submit(request));
  EXPECT_EQ(first->placement.chip, "h100");
  request.id = {2};
  const auto second = testing::find<Place>(host.submit(request));
  ASSERT_TRUE(second.has_value());
  EXPECT_EQ(second->placement.chip, "a100");
}

TEST(Placer, TakesAnyAcceleratorButNoCpuCardForAnEmptyChip) {
  auto nodes = cluster().nodes(1).cards(4, "cpu").build();
  nodes.push_back(cluster().nodes(1).cards(1, "mi300x").first_id(2).build()[0]);
  Host host(std::move(nodes));
  host.submit(job(1, 1, 1000, ""));
  EXPECT_EQ(host.nodes_of(1), (Ids{2}));
  host.submit(job(2, 1, 1000, ""));
  EXPECT_FALSE(host.holds_cards(2));
}

TEST(Placer, CountsCpusAndMemoryOfEveryTask) {
  Host host(cluster().cards(4).cpus(8).memory(100).build());
  JobRequest request = job(1, 1, 1000);
  request.cpus = {3000};
  request.memory = {40};
  for (std::uint64_t id = 1; id <= 3; ++id) {
    request.id = {id};
    host.submit(request);
  }
  EXPECT_TRUE(host.holds_cards(2));
  EXPECT_FALSE(host.holds_cards(3)) << "6 of 8 CPUs are taken";
}

TEST(Placer, TakesOneCpuForEachCpuCardAndOneForATaskThatNamesNone) {
  Host host(cluster().cards(4, "cpu").cpus(4).build());
  host.submit(job(1, 1, 2000, "cpu"));
  EXPECT_EQ(host.core.find_job({1})->placement->tasks[0].cpus.value, 2000);
  host.submit(job(2, 1, 0));
  host.submit(job(3, 1, 0));
  EXPECT_TRUE(host.holds_cards(3));
  host.submit(job(4, 1, 1000, "cpu"));
  EXPECT_FALSE(host.holds_cards(4)) << "tasks without cards took its CPU";
}

TEST(Placer, LetsAnOperatorOfferMoreCpuCardsThanCores) {
  Host host(cluster().cards(2, "cpu").cpus(1).build());
  host.submit(job(1, 2, 1000, "cpu"));
  EXPECT_TRUE(host.holds_cards(1));
}

TEST(Placer, SendsTasksWithoutCardsToNodesWithoutAccelerators) {
  auto nodes = cluster().nodes(1).cards(8).cpus(8).build();
  nodes.push_back(cluster().nodes(1).cards(0).cpus(64).first_id(2).build()[0]);
  Host host(std::move(nodes));
  host.submit(job(1, 1, 0));
  EXPECT_EQ(host.nodes_of(1), (Ids{2}));
}

TEST(Placer, KeepsWhatIsInUseWhenANodeIsDeclaredAgainWithMoreCards) {
  Host host(cluster().cards(1).build());
  host.submit(job(1, 1, 1000));
  host.send(NodeJoined{.node = cluster().cards(2).build()[0]});
  EXPECT_EQ(host.core.used_on({1}), (std::vector<MilliCards>{{1000}, {0}}));
  host.submit(job(2, 1, 1000));
  EXPECT_EQ(host.cards_of(2), (Cards{1}));
  EXPECT_FALSE(host.try_send(NodeJoined{.node = cluster().cards(1).build()[0]}).has_value())
      << "card 1 is in use and cannot vanish";
}

}  // namespace
}  // namespace busbar::sched
