#include "sched/gang/swap.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "sched/test_cluster.h"

namespace busbar::sched {
namespace {

using testing::cluster;
using testing::find;
using testing::Host;
using testing::job;

constexpr auto kInfrastructure = model::ExitClass::kInfrastructure;

// The task is lost to the platform, and all of its gang is gone.
std::vector<Decision> lose_task(Host& host, std::uint64_t id, std::uint32_t rank) {
  host.exit_task(id, rank, 1, kInfrastructure);
  return host.gone(id);
}

// The backoff before the next attempt is over.
std::vector<Decision> after_backoff(Host& host, std::uint64_t id) {
  return host.tick_at(std::max(host.now_ms, host.core.find_job({id})->not_before_ms));
}

TEST(Swap, HoldsTheCardsOfTheOtherTasksAndReplacesTheLostOne) {
  Host host(cluster().nodes(4).cards(8).build());
  host.submit(job(1, 3, 8000));
  host.start(1);
  const auto before = host.nodes_of(1);
  const auto requeue = find<Requeue>(lose_task(host, 1, 1));
  ASSERT_TRUE(requeue.has_value());
  EXPECT_EQ(requeue->held.tasks.size(), 2U);
  EXPECT_EQ(requeue->excluded, (std::vector<model::NodeId>{{before[1]}}));
  const auto place = find<Place>(after_backoff(host, 1));
  ASSERT_TRUE(place.has_value());
  const auto after = host.nodes_of(1);
  EXPECT_EQ(after[0], before[0]);
  EXPECT_EQ(after[2], before[2]);
  EXPECT_EQ(after[1], 4U) << "the only other node";
  EXPECT_EQ(place->reason, "keeps the cards of 2 tasks; replacement: n4 for task 1");
  EXPECT_EQ(host.core.find_job({1})->counted_restarts, 0U) << "the fault of the platform is not charged";
}

TEST(Swap, GivesHeldCardsToNobodyElse) {
  Host host(cluster().nodes(3).cards(8).build());
  host.submit(job(1, 3, 8000));
  host.start(1);
  lose_task(host, 1, 0);
  JobRequest other = job(2, 1, 8000);
  other.priority = 100;
  host.submit(other);
  EXPECT_EQ(host.nodes_of(2), (std::vector<std::uint64_t>{1})) << "the lost task's node is free, the others are held";
  host.submit(job(3, 1, 1000));
  EXPECT_FALSE(host.holds_cards(3));
  EXPECT_EQ(host.core.why({1})->constraint, "replacement");
}

TEST(Swap, EndsTheHoldInTimeAndThenStartsAnywhere) {
  Host host(cluster().nodes(4).cards(8).build(), {.hold_ms = 10'000});
  host.submit(job(1, 3, 8000));
  host.submit(job(2, 1, 8000));
  host.start(1);
  lose_task(host, 1, 2);
  host.submit(job(3, 1, 8000));
  const TimeMs until = host.core.find_job({1})->hold_until_ms;
  EXPECT_EQ(host.core.next_wakeup(), host.core.find_job({1})->not_before_ms);
  after_backoff(host, 1);
  EXPECT_EQ(host.core.next_wakeup(), until);
  const auto decisions = host.tick_at(until);
  EXPECT_TRUE(find<EndHold>(decisions).has_value());
  EXPECT_FALSE(host.core.find_job({1})->held.has_value());
  host.submit(job(4, 2, 8000));
  EXPECT_TRUE(host.core.find_job({3})->placement.has_value());
  host.succeed(2);
  EXPECT_TRUE(host.holds_cards(1)) << "three nodes are free again, one of them is the one that failed it";
}

TEST(Swap, DoesNotExcludeANodeThatTheJobCannotDoWithout) {
  Host host(cluster().nodes(1).cards(8).build());
  host.submit(job(1, 1, 8000));
  host.start(1);
  const auto requeue = find<Requeue>(lose_task(host, 1, 0));
  EXPECT_TRUE(requeue->excluded.empty());
  EXPECT_EQ(requeue->hold_until_ms, 0) << "no other task has anything to keep";
  after_backoff(host, 1);
  EXPECT_TRUE(host.holds_cards(1));
}

TEST(Swap, KeepsAwayFromTheNodeThatFailedItForGood) {
  Host host(cluster().nodes(2).cards(8).build());
  host.submit(job(1, 1, 8000));
  host.start(1);
  const std::uint64_t bad = host.nodes_of(1)[0];
  lose_task(host, 1, 0);
  after_backoff(host, 1);
  EXPECT_NE(host.nodes_of(1)[0], bad);
  host.submit(job(2, 1, 8000));
  EXPECT_EQ(host.nodes_of(2)[0], bad) << "others may use it";
}

TEST(Swap, FindsTheReplacementInTheSameLeafFirst) {
  Host host(cluster().leaves(2).nodes(3).cards(8).build());
  JobRequest gang = job(1, 2, 8000);
  gang.topology = {.mode = model::TopologyRequest::Mode::kRequired, .level = "leaf"};
  host.submit(gang);
  host.start(1);
  const auto before = host.nodes_of(1);
  lose_task(host, 1, 1);
  after_backoff(host, 1);
  const auto after = host.nodes_of(1);
  EXPECT_EQ(after[0], before[0]);
  EXPECT_EQ((after[1] - 1) / 3, (before[0] - 1) / 3) << "same leaf of three nodes";
}

TEST(Swap, WaitsRatherThanLeaveARequiredLeaf) {
  Host host(cluster().leaves(2).nodes(2).cards(8).build());
  JobRequest gang = job(1, 2, 8000);
  gang.topology = {.mode = model::TopologyRequest::Mode::kRequired, .level = "leaf"};
  host.submit(gang);
  host.start(1);
  const auto before = host.nodes_of(1);
  lose_task(host, 1, 1);
  after_backoff(host, 1);
  EXPECT_FALSE(host.holds_cards(1));
  host.tick_at(host.core.find_job({1})->hold_until_ms);
  ASSERT_TRUE(host.holds_cards(1)) << "the other leaf is whole";
  EXPECT_NE((host.nodes_of(1)[0] - 1) / 2, (before[0] - 1) / 2);
}

TEST(Swap, LosesHeldCardsOnANodeThatFailsMeanwhile) {
  Host host(cluster().nodes(3).cards(8).build());
  host.submit(job(1, 3, 8000));
  host.start(1);
  lose_task(host, 1, 0);
  host.send(NodeStateChanged{.node = {2}, .state = model::NodeState::kFailed});
  ASSERT_TRUE(host.core.find_job({1})->held.has_value());
  EXPECT_EQ(host.core.find_job({1})->held->tasks.size(), 1U);
  host.send(NodeStateChanged{.node = {3}, .state = model::NodeState::kFailed});
  EXPECT_FALSE(host.core.find_job({1})->held.has_value());
}

TEST(Swap, GivesTheCardsBackWhenTheJobIsCancelled) {
  Host host(cluster().nodes(2).cards(8).build());
  host.submit(job(1, 2, 8000));
  host.start(1);
  lose_task(host, 1, 0);
  host.cancel(1);
  host.submit(job(2, 2, 8000));
  EXPECT_TRUE(host.holds_cards(2));
}

TEST(Swap, LeavesAnUnreachableNodesTasksAlone) {
  Host host(cluster().nodes(3).cards(8).build());
  host.submit(job(1, 2, 8000));
  host.start(1);
  const auto decisions = host.send(NodeStateChanged{.node = {1}, .state = model::NodeState::kUnreachable});
  EXPECT_TRUE(decisions.empty()) << "its tasks may well run; starting them elsewhere could run them twice";
  EXPECT_EQ(host.state(1), model::JobState::kRunning);
  host.submit(job(2, 2, 8000));
  EXPECT_FALSE(host.holds_cards(2)) << "nothing new goes there";
  const auto fenced = host.send(NodeStateChanged{.node = {1}, .state = model::NodeState::kFailed});
  EXPECT_EQ(find<Stop>(fenced)->reason, StopReason::kNodeLost) << "fenced: now its tasks are known to be gone";
}

}  // namespace
}  // namespace busbar::sched
