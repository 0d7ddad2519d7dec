#include <gtest/gtest.h>

#include "sched/test_cluster.h"

namespace busbar::sched {
namespace {

using testing::cluster;
using testing::find;
using testing::Host;
using testing::in_queue;
using testing::job;
using testing::kHour;
using testing::kMinute;

const Policy kLearning = {.order = Order::kLearned};

/// One card. Jobs of queue "short" have taken a minute so far, those of "long" ten hours.
Host practised(Policy policy = kLearning) {
  Host host(cluster().cards(1).build(), std::move(policy));
  for (const char* name : {"short", "long"}) host.send(QueueChanged{.queue = {.name = name}});
  for (std::uint64_t id = 1001; id <= 1060; ++id) {
    const bool is_short = id % 2 == 0;
    host.run(in_queue(job(id, 1, 1000), is_short ? "short" : "long"));
    host.now_ms += is_short ? kMinute : 10 * kHour;
    host.succeed(id);
  }
  return host;
}

TEST(LearnedOrder, ServesWhoEndsSoonBeforeWhoCameFirst) {
  Host host = practised();
  host.run(in_queue(job(1, 1, 1000), "short"));
  host.submit(in_queue(job(2, 1, 1000), "long"));
  host.submit(in_queue(job(3, 1, 1000), "short"));
  host.succeed(1);
  EXPECT_TRUE(host.holds_cards(3));
  EXPECT_FALSE(host.holds_cards(2));
}

TEST(LearnedOrder, StopsWhoTakesLongForWhoEndsSoon) {
  Host host = practised();
  host.run(in_queue(job(1, 1, 1000), "long"));
  host.now_ms += kHour;
  const auto stop = find<Stop>(host.submit(in_queue(job(2, 1, 1000), "short")));
  ASSERT_TRUE(stop.has_value());
  EXPECT_EQ(stop->attempt.job, model::JobId{1});
  EXPECT_EQ(stop->detail, "for job 2, which is expected to end much sooner for its cards");
  host.gone(1);
  EXPECT_TRUE(host.holds_cards(2));
}

TEST(LearnedOrder, WakesWhenAJobHasRunForTooLong) {
  Host host = practised();
  host.run(in_queue(job(1, 1, 1000), "short"));
  host.submit(in_queue(job(2, 1, 1000), "short"));
  EXPECT_FALSE(find<Stop>(host.send(Tick{})).has_value());
  std::optional<Stop> stop;
  for (int i = 0; i < 40 && !stop.has_value(); ++i) {
    ASSERT_TRUE(host.core.next_wakeup().has_value());
    stop = find<Stop>(host.tick_at(*host.core.next_wakeup()));
  }
  ASSERT_TRUE(stop.has_value()) << "it was like those that end after a minute, and did not";
  EXPECT_GT(host.now_ms, 1'000'000 + kMinute);
}

TEST(LearnedOrder, LeavesGuaranteesAndPrioritiesAlone) {
  Host host = practised();
  host.send(QueueChanged{.queue = {.name = "long", .guarantee = testing::cards(1)}});
  host.run(in_queue(job(1, 1, 1000), "long"));
  EXPECT_FALSE(find<Stop>(host.submit(in_queue(job(2, 1, 1000), "short"))).has_value()) << "in quota";
  host.succeed(1);
  host.send(QueueChanged{.queue = {.name = "long"}});
  JobRequest urgent = in_queue(job(3, 1, 1000), "long");
  urgent.priority = 1;
  host.succeed(2);
  host.run(urgent);
  EXPECT_FALSE(find<Stop>(host.submit(in_queue(job(4, 1, 1000), "short"))).has_value());
}

TEST(LearnedOrder, IsNotTheDefault) {
  Host host = practised({});
  host.run(in_queue(job(1, 1, 1000), "long"));
  EXPECT_FALSE(find<Stop>(host.submit(in_queue(job(2, 1, 1000), "short"))).has_value());
  host.send(PolicyChanged{.policy = kLearning});
  EXPECT_EQ(host.core.state_hash(), host.core.recompute_hash());
}

TEST(LearnedOrder, KeepsWhatItHasLearnt) {
  Host host = practised();
  host.run(in_queue(job(1, 1, 1000), "long"));
  host.now_ms += kHour;
  host.core = *Core::restore(host.core.snapshot());
  EXPECT_EQ(host.core.state_hash(), host.core.recompute_hash());
  EXPECT_TRUE(find<Stop>(host.submit(in_queue(job(2, 1, 1000), "short"))).has_value());
}

}  // namespace
}  // namespace busbar::sched
