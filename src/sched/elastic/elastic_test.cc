#include <gtest/gtest.h>

#include "sched/test_cluster.h"

namespace busbar::sched {
namespace {

using model::JobState;
using testing::cluster;
using testing::find;
using testing::Host;
using testing::in_queue;
using testing::job;
using testing::kHour;
using testing::kMinute;
using testing::limited;

JobRequest elastic(std::uint64_t id, std::uint32_t min, std::uint32_t max, std::int64_t milli = 8000) {
  JobRequest request = job(id, min, milli);
  request.max_nodes = max;
  return request;
}

std::size_t size_of(const Host& host, std::uint64_t id) {
  return host.nodes_of(id).size();
}

std::vector<Decision> save(Host& host, std::uint64_t id) {
  return host.send(CheckpointReached{.attempt = host.attempt(id)});
}

TEST(Elastic, TakesAllThatItMayWhenNobodyElseWaits) {
  Host host(cluster().nodes(4).build());
  host.submit(elastic(1, 1, 3));
  EXPECT_EQ(size_of(host, 1), 3U);
}

TEST(Elastic, StartsAtTheMinimumSoThatOthersStartToo) {
  Host host(cluster().nodes(4).build());
  host.run(job(9, 4, 8000));
  host.submit(elastic(1, 1, 4));
  host.submit(job(2, 2, 8000));
  const auto decisions = host.succeed(9);
  EXPECT_EQ(size_of(host, 2), 2U);
  EXPECT_EQ(size_of(host, 1), 2U) << "what is left when all have had their turn";
  std::size_t places = 0;
  for (const Decision& decision : decisions) {
    const Place* place = std::get_if<Place>(&decision);
    if (place == nullptr || place->attempt.job != model::JobId{1}) continue;
    ++places;
    EXPECT_EQ(place->placement.tasks.size(), 2U);
    EXPECT_NE(place->reason.find("grown to 2 tasks"), std::string::npos) << place->reason;
  }
  EXPECT_EQ(places, 1U) << "it is placed once";
}

/// Job 1 takes 1 to 4 of four nodes and runs on one for three hours beside job 9.
Host beside_a_big_one(JobRequest request, Policy policy = {}) {
  Host host(cluster().nodes(4).build(), std::move(policy));
  host.run(job(9, 3, 8000));
  host.run(request);
  EXPECT_EQ(size_of(host, 1), 1U);
  host.now_ms += 3 * kHour;
  return host;
}

TEST(Elastic, GrowsAfterACheckpointWhenCardsAreFree) {
  Host host = beside_a_big_one(elastic(1, 1, 4));
  EXPECT_FALSE(find<Stop>(host.succeed(9)).has_value()) << "it has not saved: it would begin again";
  const auto decisions = save(host, 1);
  const auto claim = find<Claim>(decisions);
  const auto stop = find<Stop>(decisions);
  ASSERT_TRUE(claim.has_value() && stop.has_value());
  EXPECT_EQ(stop->reason, StopReason::kResized);
  EXPECT_EQ(stop->detail,
            "4 tasks instead of 1 save about 2h15m of the 3h00m that it may run still, a restart costs 1m00s");
  EXPECT_EQ(claim->placement.tasks.size(), 4U);
  EXPECT_EQ(host.state(1), JobState::kStopping);
  // Nobody takes what it goes on with.
  host.submit(job(2, 1, 8000));
  EXPECT_FALSE(host.holds_cards(2));
  const auto place = find<Place>(host.gone(1));
  ASSERT_TRUE(place.has_value());
  EXPECT_EQ(place->attempt.job, model::JobId{1});
  EXPECT_EQ(size_of(host, 1), 4U);
  EXPECT_EQ(host.core.find_job({1})->counted_restarts, 0U);
}

TEST(Elastic, DoesNotGrowForTooLittle) {
  Host host = beside_a_big_one(limited(elastic(1, 1, 4), 3 * kHour + kMinute));
  host.succeed(9);
  EXPECT_FALSE(find<Stop>(save(host, 1)).has_value()) << "a minute is left, a restart costs one";
}

TEST(Elastic, GrowsToASizeThatItAccepts) {
  JobRequest request = elastic(1, 1, 4);
  request.sizes = {1, 2, 4};
  Host host(cluster().nodes(4).build());
  host.run(job(8, 1, 8000));
  host.run(job(9, 2, 8000));
  host.run(request);
  host.now_ms += 3 * kHour;
  host.succeed(9);
  EXPECT_EQ(find<Claim>(save(host, 1))->placement.tasks.size(), 2U)
      << "three nodes are there, but 3 is none of its sizes";
}

TEST(Elastic, GrowsOnceInAWhile) {
  Host host = beside_a_big_one(elastic(1, 1, 4));
  host.succeed(9);
  host.run(job(3, 2, 8000));
  save(host, 1);
  host.gone(1);
  host.start(1);
  EXPECT_EQ(size_of(host, 1), 2U);
  host.now_ms += 30 * kMinute;
  host.succeed(3);
  EXPECT_FALSE(find<Stop>(save(host, 1)).has_value()) << "it was resized half an hour ago";
  host.now_ms += 31 * kMinute;
  EXPECT_TRUE(find<Stop>(save(host, 1)).has_value());
}

TEST(Elastic, LeavesWhatIsPromised) {
  Host host(cluster().nodes(4).build());
  host.run(limited(job(9, 3, 8000), 10 * kHour));
  host.run(elastic(1, 1, 2));
  host.submit(job(2, 3, 8000));
  host.now_ms += 3 * kHour;
  host.send(NodeJoined{.node = cluster().first_id(5).build().front()});
  EXPECT_FALSE(find<Stop>(save(host, 1)).has_value()) << "job 2 is promised a start";
}

TEST(Elastic, StaysWithinItsQuota) {
  Host host = beside_a_big_one(in_queue(elastic(1, 1, 4), "default"));
  host.send(QueueChanged{.queue = {.name = "default", .limit = testing::cards(40)}});
  host.submit(in_queue(job(4, 1, 8000), "default"));
  host.succeed(9);
  EXPECT_TRUE(host.holds_cards(4));
  host.send(QueueChanged{.queue = {.name = "default", .limit = testing::cards(24)}});
  EXPECT_EQ(find<Claim>(save(host, 1))->placement.tasks.size(), 2U) << "24 cards, 8 of them job 4's";
}

TEST(Elastic, GivesUpWhatItNeedsNotBeforeOthersStop) {
  Host host(cluster().nodes(4).build());
  host.run(job(3, 1, 8000));
  host.run(elastic(1, 1, 3));
  EXPECT_EQ(size_of(host, 1), 3U);
  host.now_ms += kMinute;
  JobRequest urgent = job(2, 1, 8000);
  urgent.priority = 5;
  const auto decisions = host.submit(urgent);
  const auto stop = find<Stop>(decisions);
  ASSERT_TRUE(stop.has_value());
  EXPECT_EQ(stop->attempt.job, model::JobId{1}) << "job 3 would lose a third as much, but all of its cards";
  EXPECT_EQ(stop->detail, "for job 2 of higher priority (5 over 0); goes on with 2 of 3 tasks");
  host.gone(1);
  EXPECT_TRUE(host.holds_cards(2));
  EXPECT_EQ(size_of(host, 1), 2U);
  host.start(1);
  EXPECT_EQ(host.state(1), JobState::kRunning);
}

TEST(Elastic, AVictimGoesOnWithWhatIsLeftOfIt) {
  Host host(cluster().nodes(4).build());
  JobRequest request = elastic(1, 2, 4);
  host.run(request);
  EXPECT_EQ(size_of(host, 1), 4U);
  JobRequest urgent = job(2, 3, 8000);
  urgent.priority = 5;
  const auto stop = find<Stop>(host.submit(urgent));
  ASSERT_TRUE(stop.has_value());
  EXPECT_EQ(stop->detail, "for job 2 of higher priority (5 over 0)") << "one node is left, it needs two";
}

TEST(Elastic, AResizeSurvivesASnapshotAndALostNode) {
  Host host = beside_a_big_one(elastic(1, 1, 4));
  host.succeed(9);
  save(host, 1);
  host.core = *Core::restore(host.core.snapshot());
  EXPECT_EQ(host.core.find_job({1})->claim->tasks.size(), 4U);
  host.send(NodeStateChanged{.node = {host.nodes_of(1).front() == 1 ? 2U : 1U}, .state = model::NodeState::kFailed});
  host.gone(1);
  EXPECT_TRUE(host.holds_cards(1)) << "the claim is void, but three nodes are there";
  EXPECT_EQ(size_of(host, 1), 3U);
}

TEST(Elastic, EndsWellIfItEndsWhileItIsStopped) {
  Host host = beside_a_big_one(elastic(1, 1, 4));
  host.succeed(9);
  save(host, 1);
  host.cancel(1);
  const auto finish = find<Finish>(host.gone(1));
  ASSERT_TRUE(finish.has_value());
  EXPECT_EQ(finish->state, JobState::kCancelled);
  host.submit(job(2, 4, 8000));
  EXPECT_TRUE(host.holds_cards(2)) << "nothing is kept for it";
}

}  // namespace
}  // namespace busbar::sched
