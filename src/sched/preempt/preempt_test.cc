#include <gtest/gtest.h>

#include "sched/test_cluster.h"

namespace busbar::sched {
namespace {

using model::CardAmounts;
using model::JobState;
using testing::cards;
using testing::cluster;
using testing::find;
using testing::Host;
using testing::job;
using testing::kHour;
using testing::kMinute;

JobRequest with(JobRequest request, std::string queue, std::int32_t priority = 0) {
  request.queue = std::move(queue);
  request.priority = priority;
  return request;
}

std::vector<std::uint64_t> stopped_by(const std::vector<Decision>& decisions) {
  std::vector<std::uint64_t> jobs;
  for (const Decision& decision : decisions) {
    if (const Stop* stop = std::get_if<Stop>(&decision)) {
      EXPECT_EQ(stop->reason, StopReason::kPreempted);
      jobs.push_back(stop->attempt.job.value);
    }
  }
  return jobs;
}

using Jobs = std::vector<std::uint64_t>;

TEST(Preemption, StopsAJobOfLowerPriorityInTheSameQueueAndStartsInItsPlace) {
  Host host(cluster().cards(4).build());
  host.run(job(1, 1, 4000));
  const auto decisions = host.submit(with(job(2, 1, 2000), "default", 5));
  EXPECT_EQ(stopped_by(decisions), Jobs{1});
  EXPECT_EQ(find<Stop>(decisions)->detail, "for job 2 of higher priority (5 over 0)");
  EXPECT_EQ(host.core.why({2})->constraint, "claim");
  EXPECT_FALSE(host.holds_cards(2)) << "the victim is still stopping";
  host.exit_task(1, 0, 143);
  const auto after = host.gone(1);
  EXPECT_EQ(find<Place>(after)->attempt.job.value, 2U);
  EXPECT_EQ(host.state(1), JobState::kQueued);
  EXPECT_EQ(host.core.find_job({1})->counted_restarts, 0U) << "not charged";
}

TEST(Preemption, LeavesEqualPriorityAndOtherQueuesAlone) {
  Host host(cluster().cards(4).build());
  host.send(QueueChanged{.queue = {.name = "other"}});
  host.run(job(1, 1, 4000));
  EXPECT_TRUE(stopped_by(host.submit(job(2, 1, 2000))).empty());
  EXPECT_TRUE(stopped_by(host.submit(with(job(3, 1, 2000), "other", 100))).empty());
}

TEST(Preemption, LosesTheLeastWorkThenTheFewestJobs) {
  Host host(cluster().cards(4).build());
  host.run(job(1, 1, 2000));
  host.now_ms += 10 * kMinute;
  host.run(job(2, 1, 1000));
  host.run(job(3, 1, 1000));
  host.now_ms += kMinute;
  EXPECT_EQ(stopped_by(host.submit(with(job(4, 1, 2000), "default", 1))), (Jobs{2, 3})) << "2 x 1 minute, not 2 x 11";
  Host saved(cluster().cards(4).build());
  saved.run(job(1, 1, 2000));
  saved.now_ms += 10 * kMinute;
  saved.run(job(2, 1, 1000));
  saved.run(job(3, 1, 1000));
  saved.now_ms += kMinute;
  saved.send(CheckpointReached{.attempt = saved.attempt(1)});
  EXPECT_EQ(stopped_by(saved.submit(with(job(4, 1, 2000), "default", 1))), Jobs{1}) << "it just saved";
}

TEST(Preemption, NeverSavingDoesNotMakeAJobUntouchable) {
  Host host(cluster().cards(2).build());
  host.run(job(1, 1, 1000));
  host.now_ms += 100 * kHour;
  JobRequest saves = job(2, 1, 1000);
  saves.checkpoint_every_ms = 40 * kMinute;
  host.run(saves);
  host.now_ms += 35 * kMinute;
  EXPECT_EQ(stopped_by(host.submit(with(job(3, 1, 1000), "default", 1))), Jobs{1})
      << "counts 30 minutes, the other one 35";
}

TEST(Preemption, RespectsTheMinimumRunTimeAndWakesWhenItIsOver) {
  Host host(cluster().cards(1).build());
  JobRequest first = job(1, 1, 1000);
  first.min_run_time_ms = 10 * kMinute;
  host.run(first);
  host.now_ms += kMinute;
  EXPECT_TRUE(stopped_by(host.submit(with(job(2, 1, 1000), "default", 1))).empty());
  ASSERT_TRUE(host.core.next_wakeup().has_value());
  EXPECT_EQ(stopped_by(host.tick_at(*host.core.next_wakeup())), Jobs{1});
  EXPECT_EQ(host.now_ms, 1'000'000 + 10 * kMinute);
}

TEST(Preemption, EvictsAJobAtMostOnceAnHour) {
  Host host(cluster().cards(1).build());
  host.run(job(1, 1, 1000));
  EXPECT_EQ(stopped_by(host.submit(with(job(2, 1, 1000), "default", 1))), Jobs{1});
  host.exit_task(1, 0, 143);
  host.gone(1);
  host.succeed(2);
  ASSERT_TRUE(host.holds_cards(1));
  host.start(1);
  host.now_ms += 30 * kMinute;
  EXPECT_TRUE(stopped_by(host.submit(with(job(3, 1, 1000), "default", 1))).empty());
  EXPECT_EQ(stopped_by(host.tick_at(1'000'000 + kHour)), Jobs{1});
}

TEST(Preemption, StopsNobodyIfItWouldNotHelp) {
  Host host(cluster().nodes(2).cards(4).build());
  host.run(job(1, 1, 1000));
  JobRequest fixed = job(2, 1, 4000);
  fixed.is_preemptible = false;
  host.run(fixed);
  host.run(with(job(3, 1, 2000), "default", 9));
  EXPECT_TRUE(stopped_by(host.submit(with(job(4, 1, 4000), "default", 5))).empty()) << "job 3 stays in its way";
}

TEST(Preemption, WaitsForJobsThatAreEndingInsteadOfStoppingOthers) {
  Host host(cluster().cards(4).build());
  host.run(job(1, 1, 2000));
  host.run(job(2, 1, 2000));
  host.cancel(1);
  EXPECT_TRUE(stopped_by(host.submit(with(job(3, 1, 2000), "default", 1))).empty());
  host.exit_task(1, 0, 143);
  EXPECT_EQ(find<Place>(host.gone(1))->attempt.job.value, 3U);
}

TEST(Preemption, NobodyElseGetsTheCardsThatAreBeingFreed) {
  Host host(cluster().nodes(2).cards(2).build());
  host.run(job(1, 1, 2000));
  host.run(job(2, 1, 2000));
  JobRequest gang = with(job(3, 2, 2000), "default", 1);
  EXPECT_EQ(stopped_by(host.submit(gang)), (Jobs{1, 2}));
  host.exit_task(1, 0, 143);
  host.gone(1);
  EXPECT_FALSE(find<Place>(host.submit(with(job(4, 1, 1000), "default", 0))).has_value());
  const Why why = *host.core.why({4});
  EXPECT_EQ(why.constraint, "claimed");
  EXPECT_NE(why.text.find("claimed for job 3"), std::string::npos) << why.text;
  host.exit_task(2, 0, 143);
  EXPECT_EQ(find<Place>(host.gone(2))->attempt.job.value, 3U);
}

TEST(Preemption, PlansAgainWhenANodeOfTheClaimFails) {
  Host host(cluster().nodes(3).cards(2).build());
  host.run(job(1, 1, 2000));
  host.run(with(job(2, 1, 2000), "default", 0));
  host.run(with(job(3, 1, 2000), "default", 0));
  host.now_ms += kMinute;
  const Jobs first = stopped_by(host.submit(with(job(4, 1, 2000), "default", 1)));
  ASSERT_EQ(first.size(), 1U);
  const model::NodeId node = host.core.find_job({4})->claim->tasks[0].node;
  const auto decisions = host.send(NodeStateChanged{.node = node, .state = model::NodeState::kUnreachable});
  EXPECT_TRUE(find<Claim>(decisions)->placement.tasks.empty());
  EXPECT_EQ(stopped_by(decisions).size(), 1U) << "one more, for the node that is lost";
  const std::uint64_t second = stopped_by(decisions)[0];
  host.exit_task(second, 0, 143);
  EXPECT_EQ(find<Place>(host.gone(second))->attempt.job.value, 4U);
}

TEST(Preemption, GivesUpAClaimThatTakesTooLong) {
  Host host(cluster().cards(1).build());
  host.run(job(1, 1, 1000));
  host.submit(with(job(2, 1, 1000), "default", 1));
  ASSERT_TRUE(host.core.find_job({2})->claim.has_value());
  const auto decisions = host.tick_at(host.now_ms + kHour);
  EXPECT_TRUE(find<Claim>(decisions)->placement.tasks.empty());
}

TEST(Preemption, ClaimsOutliveASnapshot) {
  Host host(cluster().nodes(2).cards(2).build());
  host.run(job(1, 1, 2000));
  host.submit(with(job(2, 2, 2000), "default", 1));
  ASSERT_TRUE(host.core.find_job({2})->claim.has_value());
  auto restored = Core::restore(host.core.snapshot());
  ASSERT_TRUE(restored.has_value()) << restored.error().to_string();
  EXPECT_EQ(restored->state_hash(), host.core.state_hash());
  EXPECT_EQ(restored->snapshot(), host.core.snapshot());
  EXPECT_EQ(restored->used_on({2}), host.core.used_on({2})) << "the free part stays kept";
}

TEST(Preemption, ACancelledClaimantGivesItsCardsBack) {
  Host host(cluster().nodes(2).cards(1).build());
  host.run(job(1, 1, 1000));
  host.submit(with(job(2, 2, 1000), "default", 1));
  ASSERT_TRUE(host.core.find_job({2})->claim.has_value());
  host.submit(job(3, 1, 1000));
  EXPECT_FALSE(host.holds_cards(3));
  EXPECT_EQ(find<Place>(host.cancel(2))->attempt.job.value, 3U);
}

TEST(Reclaim, GivesAQueueBackWhatItIsGuaranteed) {
  Host host(cluster().cards(8).build());
  host.send(QueueChanged{.queue = {.name = "a", .guarantee = cards(4)}});
  host.send(QueueChanged{.queue = {.name = "b", .guarantee = cards(4)}});
  host.run(with(job(1, 1, 4000), "b"));
  host.now_ms += kMinute;
  host.run(with(job(2, 1, 4000), "b"));
  const auto decisions = host.submit(with(job(3, 1, 4000), "a"));
  EXPECT_EQ(stopped_by(decisions), Jobs{2}) << "job 1 is in quota";
  EXPECT_EQ(find<Stop>(decisions)->detail,
            "for job 3: queue \"a\" gets back what it is guaranteed and queue \"b\" had borrowed");
  EXPECT_TRUE(stopped_by(host.submit(with(job(4, 1, 1000), "a"))).empty()) << "that would be borrowed";
}

TEST(Reclaim, DoesNotHappenForAJobThatWouldBorrow) {
  Host host(cluster().cards(8).build());
  host.send(QueueChanged{.queue = {.name = "a", .guarantee = cards(4)}});
  host.run(job(1, 1, 8000));
  EXPECT_TRUE(stopped_by(host.submit(with(job(2, 1, 5000), "a"))).empty()) << "the whole gang is not in quota";
}

TEST(Preemption, KeepsTheFreeHalfOfAClaimedCardFromOthers) {
  Host host(cluster().cards(1).build());
  host.run(job(1, 1, 500));
  host.run(job(2, 1, 500));
  EXPECT_EQ(stopped_by(host.submit(with(job(3, 1, 1000), "default", 5))), (Jobs{1, 2}));
  host.exit_task(1, 0, 143);
  EXPECT_FALSE(find<Place>(host.gone(1)).has_value()) << "job 1 would fit, on what job 3 waits for";
  EXPECT_EQ(host.core.used_on({1})[0].value, 500) << "kept is not used";
  host.exit_task(2, 0, 143);
  EXPECT_EQ(find<Place>(host.gone(2))->attempt.job.value, 3U);
}

TEST(Preemption, CountsOnAJobThatIsEndingThoughItCouldNotBeStopped) {
  std::vector<model::Node> nodes = cluster().cards(2).build();
  nodes.push_back(cluster().cards(1).first_id(2).build()[0]);
  Host host(nodes);
  JobRequest fixed = job(1, 1, 2000);
  fixed.is_preemptible = false;
  host.run(fixed);
  host.run(job(2, 1, 1000));
  const auto decisions = host.submit(with(job(3, 1, 2000), "default", 5));
  EXPECT_TRUE(decisions.empty()) << "job 2 has too little, and job 1 may not be stopped";
  EXPECT_EQ(find<Claim>(host.cancel(1))->job.value, 3U);
}

TEST(Reclaim, StopsAtTheGuaranteeOfTheQueueAbove) {
  Host host(cluster().cards(8).build());
  host.send(QueueChanged{.queue = {.name = "dep", .guarantee = cards(6)}});
  host.send(QueueChanged{.queue = {.name = "t1", .parent = "dep", .guarantee = cards(2)}});
  host.send(QueueChanged{.queue = {.name = "t2", .parent = "dep"}});
  host.send(QueueChanged{.queue = {.name = "other", .guarantee = cards(2)}});
  host.run(with(job(1, 1, 4000), "t2"));
  host.now_ms += kMinute;
  host.run(with(job(2, 1, 4000), "t2"));
  EXPECT_EQ(stopped_by(host.submit(with(job(3, 1, 2000), "other"))), Jobs{2}) << "job 1 is protected by dep";
  host.exit_task(2, 0, 143);
  host.gone(2);
  EXPECT_TRUE(host.holds_cards(3));
  host.run(with(job(4, 1, 2000), "t2"));
  EXPECT_EQ(stopped_by(host.submit(with(job(5, 1, 2000), "t1"))).size(), 1U) << "within dep, t1 gets its part";
}

TEST(Reclaim, ALowerLimitEvictsNobodyUnlessItIsEnforcedNow) {
  Host host(cluster().cards(8).build());
  host.send(QueueChanged{.queue = {.name = "q"}});
  for (std::uint64_t id = 1; id <= 4; ++id) {
    host.run(with(job(id, 1, id == 4 ? 3000 : 1000), "q", id == 1 ? 0 : 1));
    host.now_ms += kMinute;
  }
  EXPECT_TRUE(host.send(QueueChanged{.queue = {.name = "q", .limit = cards(3)}}).empty());
  EXPECT_EQ(
      stopped_by(host.send(QueueChanged{.queue = {.name = "q", .limit = cards(3), .enforce = model::Enforce::kNow}})),
      Jobs{4})
      << "six are used; job 4 alone is enough, though job 1 has the lowest priority";
}

TEST(Reclaim, LeavesJobsThatAreNotPreemptibleAlone) {
  Host host(cluster().cards(4).build());
  JobRequest fixed = job(1, 1, 4000);
  fixed.is_preemptible = false;
  host.run(fixed);
  host.send(QueueChanged{.queue = {.name = "a", .guarantee = cards(4)}});
  EXPECT_TRUE(stopped_by(host.submit(with(job(2, 1, 4000), "a"))).empty());
}

}  // namespace
}  // namespace busbar::sched
