#include <gtest/gtest.h>

#include "sched/test_cluster.h"

namespace busbar::sched {
namespace {

using model::CardAmounts;
using model::JobState;
using model::Queue;
using testing::cards;
using testing::cluster;
using testing::find;
using testing::Host;
using testing::in_queue;
using testing::job;

CardAmounts of_chip(std::string chip, std::int64_t count) {
  return {.chips = {{std::move(chip), {count * 1000}}}};
}

std::int64_t borrowed(const Host& host, const std::string& queue) {
  for (const QueueView& view : host.core.queue_views()) {
    if (view.queue.name == queue) return view.borrowed.value;
  }
  return -1;
}

std::uint64_t next_started(Host& host, std::uint64_t ending) {
  const auto place = find<Place>(host.succeed(ending));
  return place.has_value() ? place->attempt.job.value : 0;
}

TEST(FairShare, ServesTheQueueWithTheSmallerShareFirst) {
  Host host(cluster().cards(4).build());
  host.send(QueueChanged{.queue = {.name = "a"}});
  host.send(QueueChanged{.queue = {.name = "b"}});
  for (std::uint64_t id = 1; id <= 8; ++id) {
    host.submit(in_queue(job(id, 1, 1000), id <= 6 ? "a" : "b"));
  }
  EXPECT_TRUE(host.holds_cards(4));
  EXPECT_EQ(next_started(host, 1), 7U) << "b has nothing, a has three";
  EXPECT_EQ(next_started(host, 2), 8U) << "b has one, a has two";
  EXPECT_EQ(next_started(host, 3), 5U) << "b has two, a has one";
}

TEST(FairShare, DividesAQueuesShareByItsWeight) {
  Host host(cluster().cards(6).build());
  host.send(QueueChanged{.queue = {.name = "a", .weight = {.all = 2}}});
  host.send(QueueChanged{.queue = {.name = "b"}});
  host.submit(job(1, 1, 6000));
  for (std::uint64_t id = 2; id <= 7; ++id) {
    host.submit(in_queue(job(id, 1, 1000), "a"));
    host.submit(in_queue(job(id + 10, 1, 1000), "b"));
  }
  host.succeed(1);
  int of_a = 0;
  for (std::uint64_t id = 2; id <= 7; ++id) {
    of_a += host.holds_cards(id) ? 1 : 0;
  }
  EXPECT_EQ(of_a, 4) << "two cards of a for each of b";
}

TEST(FairShare, CountsTheChipOfWhichAQueueUsesTheLargestPart) {
  std::vector<model::Node> nodes = cluster().cards(8, "a100").build();
  nodes.push_back(cluster().cards(2, "h100").first_id(2).build()[0]);
  nodes.push_back(cluster().cards(1, "b200").first_id(3).build()[0]);
  Host host(nodes);
  host.send(QueueChanged{.queue = {.name = "a"}});
  host.send(QueueChanged{.queue = {.name = "b"}});
  host.submit(in_queue(job(1, 1, 3000, "a100"), "a"));
  host.submit(in_queue(job(2, 1, 1000, "h100"), "b"));
  host.submit(job(3, 1, 1000, "b200"));
  host.submit(in_queue(job(4, 1, 1000, "b200"), "b"));
  host.submit(in_queue(job(5, 1, 1000, "b200"), "a"));
  EXPECT_EQ(next_started(host, 3), 5U) << "3 of 8 is less than 1 of 2";
}

TEST(FairShare, GoesDownTheTreeLevelByLevel) {
  Host host(cluster().cards(4).build());
  for (const char* name : {"left", "right"}) {
    host.send(QueueChanged{.queue = {.name = name}});
  }
  host.send(QueueChanged{.queue = {.name = "l1", .parent = "left"}});
  host.send(QueueChanged{.queue = {.name = "l2", .parent = "left"}});
  host.send(QueueChanged{.queue = {.name = "r1", .parent = "right"}});
  host.submit(in_queue(job(1, 1, 2000), "l1"));
  host.submit(in_queue(job(2, 1, 1000), "r1"));
  host.submit(in_queue(job(3, 1, 1000), "r1"));
  host.submit(in_queue(job(4, 1, 1000), "l2"));
  host.submit(in_queue(job(5, 1, 1000), "r1"));
  EXPECT_EQ(next_started(host, 2), 5U) << "l2 has nothing, but left has more than right";
}

TEST(FairShare, RemembersWhatAQueueUsedAndForgetsItByHalves) {
  Policy policy;
  policy.fair_share_half_life_ms = 3'600'000;
  Host host(cluster().cards(2).build(), policy);
  host.send(QueueChanged{.queue = {.name = "a"}});
  host.send(QueueChanged{.queue = {.name = "b"}});
  host.now_ms = 60'000'000;  // A whole minute, as is the end: no use is settled later than it was.
  host.submit(in_queue(job(1, 1, 2000), "a"));
  host.start(1);
  host.now_ms += 7'200'000;
  host.send(Tick{});
  const auto past = [&] { return host.core.queue_views()[0].past_share_ppm; };
  EXPECT_NEAR(past(), 750'000, 5'000) << "two half-lives of the whole cluster, less the minutes at both ends";
  host.submit(in_queue(job(2, 1, 2000), "a"));
  host.submit(in_queue(job(3, 1, 2000), "b"));
  EXPECT_EQ(next_started(host, 1), 3U);
  Policy shorter = policy;
  shorter.fair_share_half_life_ms = 1'800'000;
  const std::int64_t mean = past();
  host.send(PolicyChanged{.policy = shorter});
  EXPECT_NEAR(past(), mean, 1) << "the mean stays, it only fades faster from here on";
  host.send(PolicyChanged{.policy = policy});
  const std::int64_t before = past();
  host.tick_at(host.now_ms + 3'600'000);
  EXPECT_NEAR(past(), before / 2, 1'000);
}

TEST(FairShare, ServesAQueueBelowItsGuaranteeFirst) {
  Host host(cluster().cards(4).build());
  host.send(QueueChanged{.queue = {.name = "a", .guarantee = cards(3)}});
  host.send(QueueChanged{.queue = {.name = "b", .priority = 100}});
  host.submit(in_queue(job(1, 1, 2000), "a"));
  JobRequest not_yet_evictable = in_queue(job(2, 1, 2000), "b");
  not_yet_evictable.min_run_time_ms = 60'000;
  host.submit(not_yet_evictable);
  host.submit(in_queue(job(3, 1, 1000), "b"));
  host.submit(in_queue(job(4, 1, 1000), "a"));
  EXPECT_EQ(next_started(host, 2), 4U);
  EXPECT_TRUE(host.holds_cards(3)) << "there is room for both";
}

TEST(Quota, ALimitHoldsForAllQueuesBelowAndForEachChip) {
  std::vector<model::Node> nodes = cluster().cards(8, "a100").build();
  nodes.push_back(cluster().cards(8, "h100").first_id(2).build()[0]);
  Host host(nodes);
  host.send(QueueChanged{.queue = {.name = "top", .limit = {.all = {6'000}, .chips = {{"h100", {2'000}}}}}});
  host.send(QueueChanged{.queue = {.name = "x", .parent = "top"}});
  host.send(QueueChanged{.queue = {.name = "y", .parent = "top"}});
  host.submit(in_queue(job(1, 1, 2000, "h100"), "x"));
  host.submit(in_queue(job(2, 1, 1000, "h100"), "y"));
  host.submit(in_queue(job(3, 1, 4000, "a100"), "y"));
  host.submit(in_queue(job(4, 1, 1000, "a100"), "x"));
  EXPECT_TRUE(host.holds_cards(1));
  EXPECT_FALSE(host.holds_cards(2));
  EXPECT_TRUE(host.holds_cards(3));
  EXPECT_FALSE(host.holds_cards(4));
  EXPECT_EQ(host.core.why({2})->constraint, "quota");
  EXPECT_EQ(host.core.why({2})->text, "queue \"top\" uses 6 of 6 cards; this job needs 1 x 1 h100");
  ASSERT_FALSE(host.core.why({4})->changes.empty());
  EXPECT_EQ(host.core.why({4})->changes[0].text, "raise the limit of queue \"top\" from 6 to 7 cards");
}

TEST(Quota, ChargesTheChipThatWasGranted) {
  std::vector<model::Node> nodes = cluster().cards(2, "a100").build();
  nodes.push_back(cluster().cards(2, "h100").first_id(2).build()[0]);
  Host host(nodes);
  host.send(QueueChanged{.queue = {.name = "q", .limit = of_chip("h100", 1)}});
  for (std::uint64_t id = 1; id <= 2; ++id) {
    JobRequest either = in_queue(job(id, 1, 1000, "h100"), "q");
    either.accelerators.push_back({.chip = "a100", .per_node = {1000}});
    host.submit(either);
  }
  EXPECT_EQ(host.core.find_job({1})->placement->chip, "h100");
  EXPECT_EQ(host.core.find_job({2})->placement->chip, "a100");
}

TEST(Quota, AWholeGangIsInQuotaOrBorrowed) {
  Host host(cluster().cards(8).build());
  host.send(QueueChanged{.queue = {.name = "q", .guarantee = cards(4)}});
  host.submit(in_queue(job(1, 1, 3000), "q"));
  EXPECT_EQ(borrowed(host, "q"), 0);
  host.submit(in_queue(job(2, 1, 2000), "q"));
  EXPECT_EQ(borrowed(host, "q"), 2000) << "1 of 2 cards would fit, but a gang is not split";
  host.submit(in_queue(job(3, 1, 1000), "q"));
  EXPECT_EQ(borrowed(host, "q"), 2000) << "this one fits what is left";
  host.submit(job(4, 1, 2000));
  EXPECT_EQ(borrowed(host, "default"), 2000) << "a queue without a guarantee borrows";
}

TEST(Quota, HigherPriorityIsInQuotaFirst) {
  Host host(cluster().cards(8).build());
  host.send(QueueChanged{.queue = {.name = "q", .guarantee = cards(4)}});
  host.submit(in_queue(job(1, 1, 4000), "q"));
  JobRequest urgent = in_queue(job(2, 1, 3000), "q");
  urgent.priority = 1;
  host.submit(urgent);
  EXPECT_EQ(borrowed(host, "q"), 4000) << "job 1 is the borrower now";
}

TEST(Quota, WithoutAnyGuaranteeNobodyBorrows) {
  Host host(cluster().cards(8).build());
  JobRequest fixed = job(1, 1, 8000);
  fixed.is_preemptible = false;
  host.submit(fixed);
  EXPECT_TRUE(host.holds_cards(1));
  EXPECT_EQ(borrowed(host, "default"), 0);
}

TEST(Quota, AQueueAboveProtectsWhatItsQueuesBorrow) {
  Host host(cluster().cards(8).build());
  host.send(QueueChanged{.queue = {.name = "dep", .guarantee = cards(6)}});
  host.send(QueueChanged{.queue = {.name = "t1", .parent = "dep", .guarantee = cards(2)}});
  host.send(QueueChanged{.queue = {.name = "t2", .parent = "dep"}});
  host.submit(in_queue(job(1, 1, 4000), "t2"));
  EXPECT_EQ(borrowed(host, "t2"), 4000) << "t1 could get its part back";
  EXPECT_EQ(borrowed(host, "dep"), 0) << "nobody else could";
  host.submit(in_queue(job(2, 1, 2000), "t1"));
  host.submit(in_queue(job(3, 1, 2000), "t2"));
  EXPECT_EQ(borrowed(host, "dep"), 2000);
}

TEST(Quota, AJobThatIsNotPreemptibleMayNotBorrow) {
  Host host(cluster().cards(8).build());
  host.send(QueueChanged{.queue = {.name = "q", .guarantee = cards(4)}});
  JobRequest fixed = in_queue(job(1, 1, 3000), "q");
  fixed.is_preemptible = false;
  host.submit(in_queue(job(9, 1, 4000), "q"));
  host.submit(fixed);
  EXPECT_TRUE(host.holds_cards(1)) << "the preemptible job becomes the borrower";
  EXPECT_EQ(borrowed(host, "q"), 4000);
  fixed.id = {2};
  fixed.accelerators[0].per_node = {2000};
  host.submit(fixed);
  fixed.accelerators[0].per_node = {1000};
  fixed.id = {3};
  EXPECT_FALSE(host.holds_cards(2));
  const Why why = *host.core.why({2});
  EXPECT_EQ(why.constraint, "quota");
  EXPECT_EQ(why.text,
            "jobs that are not preemptible use 3 of the 4 cards that queue \"q\" is guaranteed, and such a job may not "
            "borrow; this job needs 1 x 2 h100");
}

TEST(Quota, TooLargeForItsQueueIsAReasonOfItsOwn) {
  Host host(cluster().cards(8).build());
  host.send(QueueChanged{.queue = {.name = "q", .limit = cards(4)}});
  const auto block = find<Block>(host.submit(in_queue(job(1, 1, 6000), "q")));
  ASSERT_TRUE(block.has_value());
  EXPECT_EQ(block->reason, "needs 6 h100 cards at once; the limit of queue \"q\" is 4 cards");
  const Why why = *host.core.why({1});
  EXPECT_EQ(why.state, JobState::kBlocked);
  EXPECT_EQ(why.constraint, "infeasible_quota");
  ASSERT_FALSE(why.changes.empty());
  EXPECT_EQ(why.changes[0].text, "raise the limit of queue \"q\" from 4 to 6 cards");
  const auto decisions = host.send(QueueChanged{.queue = {.name = "q", .limit = cards(6)}});
  EXPECT_FALSE(find<Block>(decisions)->is_blocked);
  EXPECT_TRUE(host.holds_cards(1));
}

TEST(QueueTree, TakesOnlyChangesThatLeaveItValid) {
  Host host(cluster().cards(8).build());
  host.send(QueueChanged{.queue = {.name = "top", .guarantee = cards(4)}});
  host.send(QueueChanged{.queue = {.name = "a", .parent = "top", .guarantee = cards(3)}});
  const std::uint64_t before = host.core.state_hash();
  for (const Queue& wrong : {Queue{.name = "b", .parent = "nowhere"}, Queue{.name = "top", .parent = "a"},
                             Queue{.name = "b", .parent = "top", .guarantee = cards(2)}, Queue{.name = ""},
                             Queue{.name = "top", .guarantee = cards(2)}}) {
    const auto refused = host.try_send(QueueChanged{.queue = wrong});
    ASSERT_FALSE(refused.has_value()) << wrong.name;
    EXPECT_EQ(refused.error().code, ErrorCode::kInvalidArgument);
  }
  EXPECT_EQ(host.core.state_hash(), before);
  host.submit(job(1, 1, 1000));
  EXPECT_EQ(host.try_send(QueueChanged{.queue = {.name = "c", .parent = "default"}}).error().code,
            ErrorCode::kFailedPrecondition);
}

TEST(QueueTree, JobsGoToItsLeaves) {
  Host host(cluster().cards(8).build());
  host.send(QueueChanged{.queue = {.name = "top"}});
  host.send(QueueChanged{.queue = {.name = "a", .parent = "top"}});
  const auto refuse = find<Refuse>(host.submit(in_queue(job(1, 1, 1000), "top")));
  ASSERT_TRUE(refuse.has_value());
  EXPECT_EQ(refuse->reason, "queue \"top\" has queues below it; submit to one of those: a");
}

TEST(QueueTree, BoundsTheMinimumRunTimeOfItsJobs) {
  Host host(cluster().cards(8).build());
  JobRequest stubborn = job(1, 1, 1000);
  stubborn.min_run_time_ms = 7'200'000;
  const auto refuse = find<Refuse>(host.submit(stubborn));
  ASSERT_TRUE(refuse.has_value());
  EXPECT_EQ(refuse->reason, "min_run_time of 2h00m is longer than queue \"default\" allows, 1h00m");
}

}  // namespace
}  // namespace busbar::sched
