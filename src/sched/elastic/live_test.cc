#include <gtest/gtest.h>

#include "sched/test_cluster.h"

// Gangs that take tasks in and let them go while they run.
namespace busbar::sched {
namespace {

using model::JobState;
using testing::cluster;
using testing::find;
using testing::Host;
using testing::job;
using testing::kHour;
using testing::kMinute;
using testing::limited;

JobRequest live(std::uint64_t id, std::uint32_t min, std::uint32_t max, std::int64_t milli = 8000) {
  JobRequest request = job(id, min, milli);
  request.max_nodes = max;
  request.is_live = true;
  return request;
}

JobRequest urgent(JobRequest request) {
  request.priority = 5;
  return request;
}

std::size_t size_of(const Host& host, std::uint64_t id) {
  return host.nodes_of(id).size();
}

std::vector<Decision> tasks_gone(Host& host, std::uint64_t id) {
  return host.send(TasksGone{.attempt = host.attempt(id), .kept = host.core.find_job({id})->staying});
}

/// Job 1 takes 1 to 4 of four nodes and has run on one for an hour beside job 9.
Host beside_a_big_one(JobRequest request, Policy policy = {}) {
  Host host(cluster().nodes(4).build(), std::move(policy));
  host.run(job(9, 3, 8000));
  host.run(std::move(request));
  EXPECT_EQ(size_of(host, 1), 1U);
  host.now_ms += kHour;
  return host;
}

TEST(Live, GrowsAtOnceWithoutAStopAndWithoutACheckpoint) {
  Host host = beside_a_big_one(live(1, 1, 4));
  const model::Placement before = *host.core.find_job({1})->placement;
  const auto decisions = host.succeed(9);
  const auto extend = find<Extend>(decisions);
  ASSERT_TRUE(extend.has_value());
  EXPECT_FALSE(find<Stop>(decisions).has_value());
  EXPECT_EQ(extend->added.tasks.size(), 3U);
  EXPECT_EQ(extend->added.tasks.front().rank, 1U);
  EXPECT_EQ(extend->reason,
            "4 tasks instead of 1 save about 45m00s of the 1h00m that it may run still, meeting anew costs 5.0s");
  const JobView after = *host.core.find_job({1});
  EXPECT_EQ(after.state, JobState::kRunning);
  EXPECT_EQ(after.attempt.number, 1U);
  EXPECT_EQ(after.placement->tasks.size(), 4U);
  EXPECT_EQ(after.placement->tasks.front(), before.tasks.front()) << "it keeps rank, node and cards";
  EXPECT_EQ(host.core.state_hash(), host.core.recompute_hash());
}

TEST(Live, GrowsWhenItStartsOnWhatCameFreeMeanwhile) {
  Host host(cluster().nodes(4).build());
  host.run(limited(job(9, 3, 8000), kHour));
  host.submit(limited(live(1, 1, 4), kHour));
  host.succeed(9);
  EXPECT_EQ(size_of(host, 1), 1U) << "it does not run yet";
  EXPECT_TRUE(find<Extend>(host.send(GangStarted{.attempt = host.attempt(1)})).has_value());
  EXPECT_EQ(size_of(host, 1), 4U);
}

TEST(Live, DoesNotGrowForTooLittle) {
  Host host = beside_a_big_one(limited(live(1, 1, 4), kHour + 6'000));
  EXPECT_FALSE(find<Extend>(host.succeed(9)).has_value()) << "4.5 of 6 seconds, and meeting anew costs five";
}

TEST(Live, GrowsAgainOnlyAfterAWhileAndWakesForIt) {
  Host host(cluster().nodes(4).build());
  host.run(job(9, 2, 8000));
  host.run(job(3, 1, 8000));
  host.run(live(1, 1, 4));
  host.now_ms += kHour;
  host.succeed(9);
  EXPECT_EQ(size_of(host, 1), 3U);
  host.now_ms += 20'000;
  host.succeed(3);
  EXPECT_EQ(size_of(host, 1), 3U) << "20 s ago it grew";
  ASSERT_TRUE(host.core.next_wakeup().has_value());
  const auto decisions = host.tick_at(host.now_ms + 40'000);
  EXPECT_TRUE(find<Extend>(decisions).has_value());
  EXPECT_EQ(size_of(host, 1), 4U);
}

TEST(Live, GrowsOnceItHasRunLongEnoughThoughNothingHappens) {
  Host host(cluster().nodes(2).build());
  host.run(job(9, 1, 8000));
  host.run(live(1, 1, 2));
  host.succeed(9);
  EXPECT_EQ(size_of(host, 1), 1U) << "it has not run at all, so nothing is known of how long it will";
  for (int i = 0; i < 20 && size_of(host, 1) == 1; ++i) {
    ASSERT_TRUE(host.core.next_wakeup().has_value());
    host.tick_at(*host.core.next_wakeup());
  }
  EXPECT_EQ(size_of(host, 1), 2U);
}

TEST(Live, ShrinksForWhoIsEntitledWhileTheOthersGoOn) {
  Host host(cluster().nodes(4).build());
  host.run(job(3, 1, 8000));
  host.run(live(1, 1, 3));
  host.now_ms += kMinute;
  const auto decisions = host.submit(urgent(job(2, 1, 8000)));
  const auto shrink = find<Shrink>(decisions);
  ASSERT_TRUE(shrink.has_value());
  EXPECT_FALSE(find<Stop>(decisions).has_value());
  EXPECT_EQ(shrink->kept, 2U);
  EXPECT_EQ(shrink->reason, "for job 2 of higher priority (5 over 0)");
  EXPECT_EQ(find<Claim>(decisions)->job, model::JobId{2});
  EXPECT_EQ(host.state(1), JobState::kRunning);
  EXPECT_EQ(size_of(host, 1), 3U) << "the cards are in use until the task is gone";
  EXPECT_FALSE(host.holds_cards(2));
  host.exit_task(1, 2, 143);
  EXPECT_EQ(host.state(1), JobState::kRunning) << "it was told to go";
  const auto place = find<Place>(tasks_gone(host, 1));
  ASSERT_TRUE(place.has_value());
  EXPECT_EQ(place->attempt.job, model::JobId{2});
  EXPECT_EQ(size_of(host, 1), 2U);
  EXPECT_EQ(host.attempt(1).number, 1U);
  EXPECT_EQ(host.core.state_hash(), host.core.recompute_hash());
}

TEST(Live, IsPreferredToWhoeverWouldLoseSomething) {
  Host host(cluster().nodes(4).build());
  JobRequest stopped = live(3, 1, 2);
  stopped.is_live = false;
  host.run(stopped);
  host.run(live(1, 1, 2));
  host.now_ms += kMinute;
  const auto decisions = host.submit(urgent(job(2, 1, 8000)));
  ASSERT_TRUE(find<Shrink>(decisions).has_value());
  EXPECT_EQ(find<Shrink>(decisions)->attempt.job, model::JobId{1});
  EXPECT_FALSE(find<Stop>(decisions).has_value());
}

TEST(Live, IsStoppedWholeWhereItsSmallestSizeIsInTheWay) {
  Host host(cluster().nodes(4).build());
  host.run(live(1, 2, 4));
  const auto decisions = host.submit(urgent(job(2, 3, 8000)));
  EXPECT_TRUE(find<Stop>(decisions).has_value());
  EXPECT_FALSE(find<Shrink>(decisions).has_value());
}

TEST(Live, GivesUpWhatItCanBesideARigidOneThatStops) {
  Host host(cluster().nodes(5).build());
  host.run(job(3, 1, 8000));
  host.run(live(1, 2, 4));
  EXPECT_EQ(size_of(host, 1), 4U);
  host.now_ms += kMinute;
  const auto decisions = host.submit(urgent(job(2, 3, 8000)));
  ASSERT_TRUE(find<Shrink>(decisions).has_value());
  EXPECT_EQ(find<Shrink>(decisions)->kept, 2U);
  ASSERT_TRUE(find<Stop>(decisions).has_value());
  EXPECT_EQ(find<Stop>(decisions)->attempt.job, model::JobId{3});
  tasks_gone(host, 1);
  EXPECT_FALSE(host.holds_cards(2));
  host.gone(3);
  EXPECT_TRUE(host.holds_cards(2));
}

TEST(Live, IsNotAskedAgainWhileItShrinks) {
  Host host(cluster().nodes(4).build());
  host.run(live(1, 1, 4));
  host.submit(urgent(job(2, 1, 8000)));
  EXPECT_EQ(host.core.find_job({1})->staying, 3U);
  const auto decisions = host.submit(urgent(job(3, 1, 8000)));
  EXPECT_FALSE(find<Shrink>(decisions).has_value());
  EXPECT_FALSE(find<Stop>(decisions).has_value());
  const auto next = tasks_gone(host, 1);
  EXPECT_TRUE(host.holds_cards(2));
  ASSERT_TRUE(find<Shrink>(next).has_value());
  EXPECT_EQ(find<Shrink>(next)->kept, 2U);
}

TEST(Live, EndsWithItsLeaderWhoeverElseIsThere) {
  Host host = beside_a_big_one(live(1, 1, 4));
  host.succeed(9);
  EXPECT_EQ(find<Stop>(host.exit_task(1, 0, 0, model::ExitClass::kSuccess, true))->reason, StopReason::kLeaderDone);
  EXPECT_EQ(find<Finish>(host.gone(1))->state, JobState::kSucceeded);
}

TEST(Live, AnAddedTaskThatFailsIsAFailureOfTheGang) {
  Host host = beside_a_big_one(live(1, 1, 4));
  host.succeed(9);
  EXPECT_EQ(find<Stop>(host.exit_task(1, 3, 7))->reason, StopReason::kTaskFailed);
  EXPECT_EQ(find<Finish>(host.gone(1))->state, JobState::kFailed);
}

TEST(Live, LosesNothingIfALeavingTasksNodeFails) {
  Host host(cluster().nodes(3).build());
  host.run(live(1, 1, 3));
  host.submit(urgent(job(2, 1, 8000)));
  const std::uint64_t lost = host.nodes_of(1).back();
  EXPECT_FALSE(find<Stop>(host.send(NodeStateChanged{.node = {lost}, .state = model::NodeState::kFailed})).has_value());
  const auto decisions = tasks_gone(host, 1);
  EXPECT_EQ(size_of(host, 1), 2U);
  ASSERT_TRUE(find<Shrink>(decisions).has_value()) << "job 2's claim was void, so another task makes room";
  tasks_gone(host, 1);
  EXPECT_TRUE(host.holds_cards(2));
}

TEST(Live, MayBeCancelledWhileItShrinks) {
  Host host(cluster().nodes(3).build());
  host.run(live(1, 1, 3));
  host.submit(urgent(job(2, 1, 8000)));
  host.cancel(1);
  EXPECT_EQ(host.state(1), JobState::kStopping);
  tasks_gone(host, 1);
  EXPECT_TRUE(host.holds_cards(2)) << "what has left is free, whatever becomes of the rest";
  EXPECT_EQ(find<Finish>(host.gone(1))->state, JobState::kCancelled);
}

TEST(Live, AShrinkSurvivesASnapshot) {
  Host host(cluster().nodes(3).build());
  host.run(live(1, 1, 3));
  host.submit(urgent(job(2, 1, 8000)));
  host.core = *Core::restore(host.core.snapshot());
  EXPECT_EQ(host.core.find_job({1})->staying, 2U);
  tasks_gone(host, 1);
  EXPECT_TRUE(host.holds_cards(2));
}

TEST(Live, RefusesTasksGoneThatNobodyAskedFor) {
  Host host(cluster().nodes(3).build());
  host.run(live(1, 1, 3));
  EXPECT_FALSE(host.try_send(TasksGone{.attempt = host.attempt(1), .kept = 2}).has_value());
  host.submit(urgent(job(2, 1, 8000)));
  EXPECT_FALSE(host.try_send(TasksGone{.attempt = host.attempt(1), .kept = 1}).has_value());
  EXPECT_TRUE(host.try_send(TasksGone{.attempt = host.attempt(1), .kept = 2}).has_value());
}

}  // namespace
}  // namespace busbar::sched
