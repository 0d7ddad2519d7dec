#include <gtest/gtest.h>

#include "sched/test_cluster.h"

namespace busbar::sched {
namespace {

using testing::cluster;
using testing::find;
using testing::Host;
using testing::job;
using testing::kHour;
using testing::kMinute;
using testing::limited;

const Policy kYielding = {.may_backfill_yield = true};

/// Two nodes: job 1 runs on one for an hour, job 2 waits for both, and the other node is free.
Host half_free(Policy policy = kYielding) {
  Host host(cluster().nodes(2).cards(8).build(), std::move(policy));
  host.submit(limited(job(1, 1, 8000), 60 * kMinute));
  host.start(1);
  host.submit(job(2, 2, 8000));
  return host;
}

TEST(Yield, WhatWouldDelayAPromiseStartsOnConditionThatItMakesRoom) {
  Host host = half_free();
  const auto place = find<Place>(host.submit(job(3, 1, 8000)));
  ASSERT_TRUE(place.has_value());
  EXPECT_TRUE(place->yields);
  EXPECT_TRUE(host.core.find_job({3})->yields);
  EXPECT_NE(place->reason.find("makes room when job 2 can start"), std::string::npos) << place->reason;
  host.start(3);
  const auto decisions = host.succeed(1);
  const auto stop = find<Stop>(decisions);
  ASSERT_TRUE(stop.has_value());
  EXPECT_EQ(stop->attempt.job, model::JobId{3});
  EXPECT_EQ(stop->reason, StopReason::kPreempted);
  EXPECT_NE(stop->detail.find("job 2, which was promised a start"), std::string::npos) << stop->detail;
  ASSERT_TRUE(find<Claim>(decisions).has_value());
  host.gone(3);
  EXPECT_TRUE(host.holds_cards(2));
  EXPECT_FALSE(host.core.find_job({2})->yields);
  EXPECT_EQ(host.state(3), model::JobState::kQueued);
}

TEST(Yield, WhatDelaysNobodyDoesNotYield) {
  Host host = half_free();
  const auto place = find<Place>(host.submit(limited(job(3, 1, 8000), 30 * kMinute)));
  ASSERT_TRUE(place.has_value());
  EXPECT_FALSE(place->yields) << "its limit ends it before job 1's";
}

TEST(Yield, NobodyStopsBeforeThePromisedJobWouldStart) {
  Host host(cluster().nodes(3).cards(8).build(), kYielding);
  for (const std::uint64_t id : {1, 2}) {
    host.submit(limited(job(id, 1, 8000), 60 * kMinute));
    host.start(id);
  }
  host.submit(job(3, 3, 8000));
  host.submit(job(4, 1, 8000));
  ASSERT_TRUE(host.core.find_job({4})->yields);
  host.start(4);
  EXPECT_FALSE(find<Stop>(host.succeed(1)).has_value()) << "job 2 is in the way still";
  EXPECT_TRUE(find<Stop>(host.succeed(2)).has_value());
}

TEST(Yield, OnlyAsManyStopAsAreNeeded) {
  Host host(cluster().nodes(2).cards(8).build(), kYielding);
  host.submit(limited(job(1, 1, 8000), 60 * kMinute));
  host.start(1);
  host.submit(job(2, 3, 4000));
  for (const std::uint64_t id : {3, 4}) {
    host.submit(job(id, 1, 4000));
    host.start(id);
  }
  ASSERT_TRUE(host.core.find_job({4})->yields);
  const auto decisions = host.succeed(1);
  std::size_t stops = 0;
  for (const Decision& decision : decisions) stops += std::holds_alternative<Stop>(decision) ? 1 : 0;
  EXPECT_EQ(stops, 1U) << "node 1 holds two of its tasks, so it lacks one half of node 2";
}

TEST(Yield, IsNotForJobsThatMustNotBeStopped) {
  Host host = half_free();
  JobRequest fixed = job(3, 1, 8000);
  fixed.is_preemptible = false;
  host.submit(fixed);
  EXPECT_FALSE(host.holds_cards(3));
  JobRequest slow = job(4, 1, 8000);
  slow.min_run_time_ms = kMinute;
  host.submit(slow);
  EXPECT_FALSE(host.holds_cards(4));
}

TEST(Yield, IsTheOperatorsChoice) {
  Host host = half_free({.may_backfill_yield = false});
  host.submit(job(3, 1, 8000));
  EXPECT_FALSE(host.holds_cards(3));
}

TEST(Yield, OneThatWasStoppedWaitsUntilItMayBeStoppedAgain) {
  Host host(cluster().nodes(3).cards(8).build(), kYielding);
  host.submit(limited(job(1, 1, 8000), 60 * kMinute));
  host.start(1);
  host.submit(limited(job(6, 1, 8000), 3 * kHour));
  host.start(6);
  host.submit(job(2, 2, 8000));
  host.submit(job(3, 3, 8000));
  host.submit(job(4, 1, 8000));
  ASSERT_TRUE(host.core.find_job({4})->yields);
  host.start(4);
  const TimeMs evicted_ms = host.now_ms;
  host.succeed(1);
  host.gone(4);
  ASSERT_TRUE(host.holds_cards(2));
  host.start(2);
  host.now_ms += 10 * kMinute;
  host.succeed(2);
  EXPECT_FALSE(host.holds_cards(4)) << "it would delay job 3, and may not be stopped so soon again";
  ASSERT_EQ(host.core.next_wakeup(), evicted_ms + kHour);
  host.tick_at(evicted_ms + kHour);
  EXPECT_TRUE(host.holds_cards(4));
  EXPECT_TRUE(host.core.find_job({4})->yields);
}

TEST(Yield, SurvivesASnapshot) {
  Host host = half_free();
  host.submit(job(3, 1, 8000));
  host.start(3);
  auto restored = Core::restore(host.core.snapshot());
  ASSERT_TRUE(restored.has_value()) << restored.error().to_string();
  EXPECT_TRUE(restored->find_job({3})->yields);
  EXPECT_EQ(restored->recompute_hash(), host.core.state_hash());
}

}  // namespace
}  // namespace busbar::sched
