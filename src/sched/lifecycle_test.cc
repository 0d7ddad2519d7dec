#include <gtest/gtest.h>

#include "sched/test_cluster.h"

namespace busbar::sched {
namespace {

using model::ExitClass;
using model::JobState;
using testing::cluster;
using testing::find;
using testing::Host;
using testing::job;

Host one_machine(int cpu_cards = 2) {
  return Host(cluster().cards(cpu_cards, "cpu").cpus(cpu_cards).build());
}

TEST(Lifecycle, RunsAGangOfTwoOnOneMachineToSuccess) {
  Host host = one_machine();
  const auto place = find<Place>(host.submit(job(1, 2, 1000, "cpu")));
  ASSERT_TRUE(place.has_value());
  EXPECT_EQ(place->placement.chip, "cpu");
  EXPECT_EQ(host.nodes_of(1), (std::vector<std::uint64_t>{1, 1}));
  EXPECT_EQ(host.cards_of(1, 0), (model::CardList{0}));
  EXPECT_EQ(host.cards_of(1, 1), (model::CardList{1}));
  EXPECT_EQ(host.state(1), JobState::kStarting);
  host.start(1);
  EXPECT_EQ(host.state(1), JobState::kRunning);
  EXPECT_TRUE(host.exit_task(1, 0, 0).empty());
  EXPECT_TRUE(host.exit_task(1, 1, 0).empty());
  const auto finish = find<Finish>(host.gone(1));
  ASSERT_TRUE(finish.has_value());
  EXPECT_EQ(finish->state, JobState::kSucceeded);
  EXPECT_FALSE(host.state(1).has_value());
  EXPECT_EQ(host.core.used_on({1}), (std::vector<MilliCards>{{0}, {0}}));
}

TEST(Lifecycle, KeepsCardsUntilTheGangIsGone) {
  Host host = one_machine(1);
  host.submit(job(1, 1, 1000, "cpu"));
  host.submit(job(2, 1, 1000, "cpu"));
  host.start(1);
  host.exit_task(1, 0, 0);
  EXPECT_FALSE(host.holds_cards(2));
  host.gone(1);
  EXPECT_TRUE(host.holds_cards(2));
}

TEST(Lifecycle, StopsTheRestWhenATaskFailsAndReportsTheFirstFailure) {
  Host host = one_machine();
  host.submit(job(1, 2, 1000, "cpu"));
  host.start(1);
  const auto stop = find<Stop>(host.exit_task(1, 1, 3));
  ASSERT_TRUE(stop.has_value());
  EXPECT_EQ(stop->reason, StopReason::kTaskFailed);
  host.exit_task(1, 0, 143);
  const auto finish = find<Finish>(host.gone(1));
  ASSERT_TRUE(finish.has_value());
  EXPECT_EQ(finish->state, JobState::kFailed);
  EXPECT_EQ(finish->exit_class, ExitClass::kUser);
  EXPECT_EQ(finish->exit_code, 3);
}

TEST(Lifecycle, EndsTheHostsWhenTheLeaderIsDone) {
  Host host = one_machine();
  host.submit(job(1, 2, 1000, "cpu"));
  host.start(1);
  const auto stop = find<Stop>(host.exit_task(1, 0, 0, ExitClass::kSuccess, true));
  ASSERT_TRUE(stop.has_value());
  EXPECT_EQ(stop->reason, StopReason::kLeaderDone);
  host.exit_task(1, 1, 137);
  EXPECT_EQ(find<Finish>(host.gone(1))->state, JobState::kSucceeded);
}

TEST(Lifecycle, StopsAtTheTimeLimitCountedFromTheStart) {
  Host host = one_machine();
  JobRequest request = job(1, 1, 1000, "cpu");
  request.time_limit_ms = 60'000;
  host.submit(request);
  host.now_ms += 5'000;
  host.start(1);
  ASSERT_EQ(host.core.next_wakeup(), host.now_ms + 60'000);
  const TimeMs limit = *host.core.next_wakeup();
  EXPECT_TRUE(host.tick_at(limit - 1).empty());
  const auto stop = find<Stop>(host.tick_at(limit));
  ASSERT_TRUE(stop.has_value());
  EXPECT_EQ(stop->reason, StopReason::kTimeLimit);
  host.exit_task(1, 0, 143);
  const auto finish = find<Finish>(host.gone(1));
  EXPECT_EQ(finish->state, JobState::kFailed);
  EXPECT_EQ(finish->exit_class, ExitClass::kTimeLimit);
  EXPECT_EQ(finish->exit_code, 143);
}

TEST(Lifecycle, GivesUpAStartThatMissesItsDeadlineAndTriesAgain) {
  Host host(cluster().cards(1).build(), {.start_deadline_ms = 30'000});
  host.submit(job(1, 1, 1000));
  const auto stop = find<Stop>(host.tick_at(host.now_ms + 30'000));
  ASSERT_TRUE(stop.has_value());
  EXPECT_EQ(stop->reason, StopReason::kStartDeadline);
  const auto requeue = find<Requeue>(host.gone(1));
  ASSERT_TRUE(requeue.has_value());
  EXPECT_EQ(requeue->because, ExitClass::kInfrastructure);
}

TEST(Lifecycle, CancelsAQueuedJobAtOnceAndARunningOneByStop) {
  Host host = one_machine(1);
  host.submit(job(1, 1, 1000, "cpu"));
  host.submit(job(2, 1, 1000, "cpu"));
  EXPECT_EQ(find<Finish>(host.cancel(2))->state, JobState::kCancelled);
  EXPECT_EQ(find<Stop>(host.cancel(1))->reason, StopReason::kCancelled);
  EXPECT_TRUE(host.cancel(1).empty()) << "a second cancel changes nothing";
  host.exit_task(1, 0, 143);
  EXPECT_EQ(find<Finish>(host.gone(1))->state, JobState::kCancelled);
}

TEST(Lifecycle, SuccessBeatsALateCancel) {
  Host host = one_machine(1);
  host.submit(job(1, 1, 1000, "cpu"));
  host.start(1);
  host.exit_task(1, 0, 0);
  EXPECT_TRUE(host.cancel(1).empty());
  EXPECT_EQ(find<Finish>(host.gone(1))->state, JobState::kSucceeded);
}

TEST(Lifecycle, RestartsWithGrowingWaitUntilTheRestartsAreUsed) {
  Host host = one_machine(1);
  JobRequest request = job(1, 1, 1000, "cpu");
  request.restart.max = 2;
  host.submit(request);
  for (const std::int64_t wait_ms : {1'000, 2'000}) {
    host.exit_task(1, 0, 1);
    const auto requeue = find<Requeue>(host.gone(1));
    ASSERT_TRUE(requeue.has_value());
    EXPECT_EQ(requeue->not_before_ms, host.now_ms + wait_ms);
    EXPECT_FALSE(host.holds_cards(1));
    host.tick_at(*host.core.next_wakeup());
    EXPECT_TRUE(host.holds_cards(1));
  }
  EXPECT_EQ(host.attempt(1).number, 3U);
  host.exit_task(1, 0, 7);
  EXPECT_EQ(find<Finish>(host.gone(1))->exit_code, 7);
}

TEST(Lifecycle, DoesNotChargeThePlatformsFailuresButEndsAfterSomeInARow) {
  Host host(cluster().cards(1).build(), {.max_infrastructure_retries = 2});
  host.submit(job(1, 1, 1000));
  for (int i = 0; i < 2; ++i) {
    host.exit_task(1, 0, 125, ExitClass::kInfrastructure);
    ASSERT_TRUE(find<Requeue>(host.gone(1)).has_value());
    EXPECT_EQ(host.core.find_job({1})->counted_restarts, 0U);
    host.tick_at(*host.core.next_wakeup());
  }
  host.exit_task(1, 0, 125, ExitClass::kInfrastructure);
  EXPECT_EQ(find<Finish>(host.gone(1))->exit_class, ExitClass::kInfrastructure);
}

TEST(Lifecycle, ACheckpointEndsTheRowOfPlatformFailures) {
  Host host(cluster().cards(1).build(), {.max_infrastructure_retries = 1});
  host.submit(job(1, 1, 1000));
  for (int i = 0; i < 4; ++i) {
    host.start(1);
    host.send(CheckpointReached{.attempt = host.attempt(1)});
    host.exit_task(1, 0, 125, ExitClass::kInfrastructure);
    ASSERT_TRUE(find<Requeue>(host.gone(1)).has_value());
    host.tick_at(*host.core.next_wakeup());
  }
}

TEST(Lifecycle, StopsAttemptsOfAFailedNodeAndStartsThemElsewhere) {
  Host host(cluster().nodes(3).cards(1).build());
  host.submit(job(1, 2, 1000));
  const auto nodes = host.nodes_of(1);
  host.start(1);
  const auto stop = find<Stop>(host.send(NodeStateChanged{.node = {nodes[0]}, .state = model::NodeState::kFailed}));
  ASSERT_TRUE(stop.has_value());
  EXPECT_EQ(stop->reason, StopReason::kNodeLost);
  host.exit_task(1, 1, 143);
  ASSERT_TRUE(find<Requeue>(host.gone(1)).has_value());
  host.tick_at(*host.core.next_wakeup());
  for (const std::uint64_t node : host.nodes_of(1)) {
    EXPECT_NE(node, nodes[0]);
  }
}

TEST(Lifecycle, KeepsTasksOnADrainedOrUnreachableNodeButStartsNothingThere) {
  for (const model::NodeState away : {model::NodeState::kDrained, model::NodeState::kUnreachable}) {
    SCOPED_TRACE(static_cast<int>(away));
    Host host(cluster().nodes(1).cards(2).build());
    host.submit(job(1, 1, 1000));
    EXPECT_TRUE(host.send(NodeStateChanged{.node = {1}, .state = away}).empty());
    host.submit(job(2, 1, 1000));
    EXPECT_TRUE(host.holds_cards(1));
    EXPECT_FALSE(host.holds_cards(2));
    host.send(NodeStateChanged{.node = {1}, .state = model::NodeState::kReady});
    EXPECT_TRUE(host.holds_cards(2));
  }
}

TEST(Lifecycle, StartsNothingOnAnUnhealthyCard) {
  Host host(cluster().cards(2).build());
  host.send(CardHealthChanged{.card = {.node = {1}, .index = 0}, .health = model::CardHealth::kUnhealthy});
  host.submit(job(1, 1, 1000));
  host.submit(job(2, 1, 1000));
  EXPECT_EQ(host.cards_of(1), (model::CardList{1}));
  EXPECT_FALSE(host.holds_cards(2));
  host.send(CardHealthChanged{.card = {.node = {1}, .index = 0}, .health = model::CardHealth::kHealthy});
  EXPECT_TRUE(host.holds_cards(2));
}

TEST(Lifecycle, RefusesReportsThatDoNotFitAndKeepsTheState) {
  Host host = one_machine(1);
  host.submit(job(1, 1, 1000, "cpu"));
  const model::AttemptId current = host.attempt(1);
  const std::uint64_t before = host.core.state_hash();
  const std::vector<EventBody> wrong = {
      GangReady{.attempt = {.job = {9}, .number = 1}},
      GangStarted{.attempt = {.job = {1}, .number = 2}},
      TaskExited{.task = {.attempt = current, .rank = 5}},
      JobCancelled{.job = {9}},
      NodeStateChanged{.node = {9}},
      CardHealthChanged{.card = {.node = {1}, .index = 9}},
      JobSubmitted{.job = job(1, 1, 1000, "cpu")},
      QueueChanged{},
  };
  for (std::size_t i = 0; i < wrong.size(); ++i) {
    SCOPED_TRACE(i);
    host.now_ms += 1;
    EXPECT_FALSE(host.try_send(wrong[i]).has_value());
    EXPECT_EQ(host.core.state_hash(), before);
  }
}

TEST(Lifecycle, TakesAnEarlierEventAtTheLastOnesTime) {
  Host host = one_machine(1);
  host.submit(job(1, 1, 1000, "cpu"));
  const TimeMs last = host.core.now_ms();
  host.now_ms -= 500;
  host.submit(job(2, 1, 1000, "cpu"));
  EXPECT_EQ(host.core.now_ms(), last);
  EXPECT_EQ(host.core.find_job({2})->submitted_ms, last);
}

}  // namespace
}  // namespace busbar::sched
