#include "sched/explain/why.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <tuple>

#include "sched/test_cluster.h"

namespace busbar::sched {
namespace {

using testing::cluster;
using testing::Host;
using testing::job;

std::optional<ChangeSet> change(const Why& why, std::string_view kind) {
  const auto at =
      std::find_if(why.changes.begin(), why.changes.end(), [&](const ChangeSet& c) { return c.kind == kind; });
  return at == why.changes.end() ? std::nullopt : std::optional(*at);
}

TEST(Why, SaysWhereARunningJobRunsAndWhyThere) {
  Host host(cluster().cards(8).build());
  host.submit(job(1, 1, 2000));
  const auto why = host.core.why({1});
  EXPECT_EQ(why->constraint, "none");
  EXPECT_EQ(why->text, "attempt 1.1 holds task 0 on n1 (h100 0,1): smallest domain that holds it: node");
}

TEST(Why, NamesCapacityAndTheOneJobWhoseEndWouldDo) {
  Host host(cluster().cards(8).build());
  host.submit(job(1, 1, 2000));
  host.submit(job(2, 1, 6000));
  host.submit(job(3, 1, 4000));
  const auto why = host.core.why({3});
  EXPECT_EQ(why->constraint, "capacity");
  EXPECT_EQ(why->position, 1U);
  EXPECT_NE(why->text.find("0 of 8 h100 cards are free"), std::string::npos) << why->text;
  ASSERT_TRUE(change(*why, "jobs_ending").has_value());
  EXPECT_EQ(change(*why, "jobs_ending")->jobs, (std::vector<model::JobId>{{2}}));
}

TEST(Why, TheReasonAloneIsTheSameWithoutChanges) {
  Host host(cluster().cards(8).build());
  host.submit(job(1, 1, 8000));
  host.submit(job(2, 1, 4000));
  const auto whole = host.core.why({2});
  const auto reason = host.core.why({2}, WhyDepth::kReason);
  EXPECT_EQ(std::tuple(reason->constraint, reason->text, reason->position),
            std::tuple(whole->constraint, whole->text, whole->position));
  EXPECT_FALSE(whole->changes.empty());
  EXPECT_TRUE(reason->changes.empty());
}

TEST(Why, FindsTheFewestJobsThatMustEndTogether) {
  Host host(cluster().nodes(1).cards(4).build());
  for (std::uint64_t id = 1; id <= 4; ++id) {
    host.submit(job(id, 1, 1000));
  }
  host.submit(job(5, 1, 3000));
  const auto why = host.core.why({5});
  ASSERT_TRUE(change(*why, "jobs_ending").has_value());
  EXPECT_EQ(change(*why, "jobs_ending")->jobs.size(), 3U);
}

TEST(Why, OffersFewerNodesAnotherChipAndAnotherLevel) {
  auto nodes = cluster().leaves(2).nodes(2).cards(8).build();
  for (model::Node& node : cluster().nodes(4).cards(8, "a100").first_id(5).build()) {
    nodes.push_back(std::move(node));
  }
  Host host(std::move(nodes));
  host.submit(job(1, 1, 8000));
  JobRequest request = job(2, 3, 8000);
  host.submit(request);
  EXPECT_TRUE(host.holds_cards(2));
  request.id = {3};
  request.min_nodes = request.max_nodes = 4;
  host.submit(request);
  const auto why = host.core.why({3});
  EXPECT_EQ(change(*why, "other_chip")->text, "take a100 instead");
  EXPECT_FALSE(change(*why, "fewer_nodes").has_value()) << "no h100 is free";
}

TEST(Why, OffersTheMostNodesThatWouldStart) {
  Host host(cluster().nodes(4).cards(8).build());
  host.submit(job(1, 1, 8000));
  host.submit(job(2, 4, 8000));
  const auto why = host.core.why({2});
  EXPECT_EQ(change(*why, "fewer_nodes")->text, "ask for 3 nodes instead of 4");
}

TEST(Why, OffersToRelaxARequiredLevel) {
  Host host(cluster().leaves(2).nodes(2).cards(8).build());
  host.submit(job(1, 1, 8000));
  JobRequest other = job(2, 1, 8000);
  host.send(NodeStateChanged{.node = {2}, .state = model::NodeState::kDrained});
  host.submit(other);
  host.send(NodeStateChanged{.node = {2}, .state = model::NodeState::kReady});
  JobRequest request = job(3, 2, 8000);
  request.topology = {.mode = model::TopologyRequest::Mode::kRequired, .level = "leaf"};
  host.submit(request);
  const auto why = host.core.why({3});
  EXPECT_TRUE(change(*why, "other_level").has_value());
}

TEST(Why, NamesTheQuotaAndWhatItWouldTake) {
  Host host(cluster().cards(8).build());
  host.send(QueueChanged{.queue = {.name = "default", .limit = {3000}}});
  host.submit(job(1, 1, 2000));
  host.submit(job(2, 1, 3000));
  const auto why = host.core.why({2});
  EXPECT_EQ(why->constraint, "quota");
  EXPECT_EQ(change(*why, "more_quota")->text, "raise the limit of queue \"default\" from 3 to 5 cards");
}

TEST(Why, OffersTheNodeWhoseReturnWouldDo) {
  Host host(cluster().nodes(2).cards(8).build());
  host.send(NodeStateChanged{.node = {2}, .state = model::NodeState::kDrained});
  host.submit(job(1, 2, 8000));
  const auto why = host.core.why({1});
  EXPECT_NE(why->text.find("1 node is out of service"), std::string::npos) << why->text;
  EXPECT_EQ(change(*why, "node_returned")->text, "node n2 returning to service");
}

TEST(Why, NamesTheBackoff) {
  Host host(cluster().cards(8).build());
  JobRequest request = job(1, 1, 1000);
  request.restart.max = 1;
  host.submit(request);
  host.exit_task(1, 0, 1);
  host.gone(1);
  EXPECT_EQ(host.core.why({1})->constraint, "backoff");
}

TEST(Why, CountsThePositionInItsQueue) {
  Host host(cluster().cards(1).build());
  host.send(QueueChanged{.queue = {.name = "urgent", .priority = 10}});
  host.submit(job(1, 1, 1000));
  host.submit(job(2, 1, 1000));
  host.submit(job(3, 1, 1000));
  JobRequest urgent = job(4, 1, 1000);
  urgent.queue = "urgent";
  host.submit(urgent);
  EXPECT_EQ(host.core.why({4})->position, 1U);
  EXPECT_EQ(host.core.why({2})->position, 1U);
  EXPECT_EQ(host.core.why({3})->position, 2U);
}

TEST(Why, ChangesNothing) {
  Host host(cluster().cards(2).build());
  host.submit(job(1, 1, 2000));
  host.submit(job(2, 1, 2000));
  const std::uint64_t before = host.core.state_hash();
  ASSERT_TRUE(host.core.why({2}).has_value());
  EXPECT_EQ(host.core.state_hash(), before);
  EXPECT_EQ(host.core.why({9}).error().code, ErrorCode::kNotFound);
}

}  // namespace
}  // namespace busbar::sched
