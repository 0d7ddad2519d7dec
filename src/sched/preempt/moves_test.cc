#include <gtest/gtest.h>

#include <map>

#include "sched/random_stream.h"
#include "sched/test_cluster.h"

namespace busbar::sched {
namespace {

using model::JobState;
using testing::cluster;
using testing::find;
using testing::Host;
using testing::job;
using testing::kHour;
using testing::kMinute;

const Policy kMoving = {.max_moves_per_hour = 2};

std::size_t count_stops(const std::vector<Decision>& decisions) {
  std::size_t stops = 0;
  for (const Decision& decision : decisions) stops += std::holds_alternative<Stop>(decision) ? 1 : 0;
  return stops;
}

/// Two nodes of eight cards, half of each in use by a job that runs since an hour and just saved.
Host two_halves(Policy policy = kMoving) {
  Host host(cluster().nodes(2).cards(8).build(), std::move(policy));
  for (const std::uint64_t id : {1, 2, 3}) host.run(job(id, 1, 4000));
  host.succeed(host.nodes_of(3) == host.nodes_of(1) ? 1 : 2);
  host.now_ms += kHour;
  for (const std::uint64_t id : {1, 2, 3}) {
    if (host.holds_cards(id)) host.send(CheckpointReached{.attempt = host.attempt(id)});
  }
  return host;
}

TEST(Moves, OneJobGoesOnElsewhereAndTheLargeOneHasItsNode) {
  Host host = two_halves();
  const auto decisions = host.submit(job(9, 1, 8000));
  const auto stop = find<Stop>(decisions);
  ASSERT_TRUE(stop.has_value());
  EXPECT_EQ(stop->reason, StopReason::kMoved);
  EXPECT_EQ(stop->detail, "makes room for job 9 and goes on elsewhere");
  EXPECT_EQ(count_stops(decisions), 1U);
  EXPECT_EQ(host.core.why({9})->constraint, "claim");
  const std::uint64_t moved = stop->attempt.job.value;
  const std::uint64_t old_node = host.nodes_of(moved).front();
  host.gone(moved);
  EXPECT_TRUE(host.holds_cards(9));
  EXPECT_TRUE(host.holds_cards(moved)) << "it had its place before it was stopped";
  EXPECT_NE(host.nodes_of(moved).front(), old_node);
  EXPECT_EQ(host.core.find_job({moved})->counted_restarts, 0U);
}

TEST(Moves, AreTheOperatorsChoice) {
  Host host = two_halves({});
  EXPECT_EQ(count_stops(host.submit(job(9, 1, 8000))), 0U);
}

TEST(Moves, NotWhereItCostsMoreThanWaiting) {
  Host host = two_halves();
  host.now_ms += 3 * kHour;
  EXPECT_EQ(count_stops(host.submit(job(9, 1, 8000))), 0U) << "4 cards x 3 h unsaved for 8 cards x 1 h";
}

TEST(Moves, NotForMoreThanThereIs) {
  Host host = two_halves();
  EXPECT_EQ(count_stops(host.submit(job(9, 2, 8000))), 0U);
}

TEST(Moves, NotOfJobsThatMustNotBeStoppedOrAreMoreUrgent) {
  for (const bool is_urgent : {false, true}) {
    Host host(cluster().nodes(2).cards(8).build(), kMoving);
    for (const std::uint64_t id : {1, 2, 3}) {
      JobRequest request = job(id, 1, 4000);
      request.is_preemptible = is_urgent;
      request.priority = is_urgent ? 5 : 0;
      host.run(request);
    }
    host.succeed(host.nodes_of(3) == host.nodes_of(1) ? 1 : 2);
    EXPECT_EQ(count_stops(host.submit(job(9, 1, 8000))), 0U);
  }
}

TEST(Moves, KeepToTheHourlyBudget) {
  Host host(cluster().nodes(4).cards(8).build(), {.eviction_interval_ms = kMinute, .max_moves_per_hour = 1});
  for (std::uint64_t id = 1; id <= 8; ++id) host.run(job(id, 1, 4000));
  std::vector<std::uint64_t> last(5, 0);
  for (std::uint64_t id = 1; id <= 8; ++id) last[host.nodes_of(id).front()] = id;
  for (std::size_t node = 1; node <= 4; ++node) host.succeed(last[node]);
  host.now_ms = kHour + kMinute;
  for (std::uint64_t id = 1; id <= 8; ++id) {
    if (host.holds_cards(id)) host.send(CheckpointReached{.attempt = host.attempt(id)});
  }
  const auto first = host.submit(job(11, 1, 8000));
  ASSERT_EQ(count_stops(first), 1U);
  host.gone(find<Stop>(first)->attempt.job.value);
  EXPECT_TRUE(host.holds_cards(11));
  host.start(11);
  host.start(find<Stop>(first)->attempt.job.value);
  EXPECT_EQ(count_stops(host.submit(job(12, 1, 8000))), 0U) << "one an hour";
  host.core = *Core::restore(host.core.snapshot());
  host.now_ms += 10 * kMinute;
  EXPECT_EQ(count_stops(host.send(QueueChanged{.queue = {.name = "default"}})), 0U);
  host.now_ms = 2 * kHour;
  for (std::uint64_t id = 1; id <= 8; ++id) {
    if (host.holds_cards(id) && host.state(id) == JobState::kRunning) {
      host.send(CheckpointReached{.attempt = host.attempt(id)});
    }
  }
  EXPECT_EQ(count_stops(host.send(QueueChanged{.queue = {.name = "default"}})), 1U) << "another hour";
}

TEST(Moves, ClearNodesWhereOneMoveIsNotEnough) {
  Host host(cluster().nodes(3).cards(4).build(), {.max_moves_per_hour = 9});
  for (std::uint64_t id = 1; id <= 12; ++id) host.run(job(id, 1, 1000));
  std::map<std::uint64_t, int> kept;
  for (std::uint64_t id = 1; id <= 12; ++id) {
    if (++kept[host.nodes_of(id).front()] > 2) host.succeed(id);
  }
  host.now_ms += kHour;
  for (std::uint64_t id = 1; id <= 12; ++id) {
    if (host.holds_cards(id)) host.send(CheckpointReached{.attempt = host.attempt(id)});
  }
  const auto decisions = host.submit(job(20, 1, 4000));
  EXPECT_EQ(count_stops(decisions), 2U);
  for (const Decision& decision : decisions) {
    if (const Stop* stop = std::get_if<Stop>(&decision)) host.gone(stop->attempt.job.value);
  }
  EXPECT_TRUE(host.holds_cards(20));
}

}  // namespace
}  // namespace busbar::sched
