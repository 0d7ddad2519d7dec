#include "sched/backfill/pass.h"

#include <gtest/gtest.h>

#include "sched/test_cluster.h"

namespace busbar::sched {
namespace {

using testing::cluster;
using testing::find;
using testing::Host;
using testing::job;
using testing::kMinute;
using testing::limited;

TEST(Backfill, LetsAShortJobPassThatEndsBeforeTheHeadCanStart) {
  Host host(cluster().cards(2).build());
  host.submit(limited(job(1, 1, 1000), 60 * kMinute));
  host.start(1);
  host.submit(job(2, 1, 2000));
  host.submit(limited(job(3, 1, 1000), 90 * kMinute));
  const auto why = host.core.why({3});
  EXPECT_EQ(why->constraint, "priority");
  EXPECT_NE(why->text.find("job 2"), std::string::npos) << why->text;
  host.submit(limited(job(4, 1, 1000), 30 * kMinute));
  EXPECT_FALSE(host.holds_cards(2));
  EXPECT_FALSE(host.holds_cards(3)) << "it would hold the card when job 2 can start";
  EXPECT_TRUE(host.holds_cards(4));
}

TEST(Backfill, LetsALongJobPassThatTakesNothingTheHeadNeeds) {
  Host host(cluster().nodes(2).cards(2).build());
  host.submit(limited(job(1, 1, 1000), 60 * kMinute));
  host.submit(limited(job(2, 1, 2000), 60 * kMinute));
  host.start(1);
  host.submit(job(3, 1, 2000));
  EXPECT_FALSE(host.holds_cards(3));
  host.submit(job(4, 1, 1000));
  EXPECT_TRUE(host.holds_cards(4)) << "job 3 still fits on the other node when job 2 ends";
}

TEST(Backfill, StopsTrustingTimeLimitsWhenTheHeadHasWaitedLong) {
  Host host(cluster().cards(2).build(), {.backfill_patience_ms = 10 * kMinute});
  host.submit(limited(job(1, 1, 1000), 60 * kMinute));
  host.start(1);
  host.submit(job(2, 1, 2000));
  host.submit(limited(job(3, 1, 1000), kMinute));
  EXPECT_TRUE(host.holds_cards(3));
  host.now_ms += 11 * kMinute;
  host.succeed(3);
  host.submit(limited(job(4, 1, 1000), kMinute));
  EXPECT_FALSE(host.holds_cards(4));
}

TEST(Backfill, KeepsJobsWithoutLimitFromTakingTheNextFreeCard) {
  Host host(cluster().cards(2).build());
  host.submit(job(1, 1, 1000));
  host.submit(job(2, 1, 2000));
  host.submit(job(3, 1, 1000));
  EXPECT_FALSE(host.holds_cards(3));
  host.succeed(1);
  EXPECT_TRUE(host.holds_cards(2));
}

TEST(Backfill, LetsLimitedJobsPassWhileTheHeadsStartIsUnknown) {
  Host host(cluster().cards(2).build());
  host.submit(job(1, 1, 1000));
  host.submit(job(2, 1, 2000));
  host.submit(limited(job(3, 1, 1000), kMinute));
  EXPECT_TRUE(host.holds_cards(3));
  host.succeed(1);
  host.submit(limited(job(4, 1, 1000), 2 * kMinute));
  EXPECT_FALSE(host.holds_cards(4)) << "job 3 ends within a minute and then job 2 starts";
}

TEST(Backfill, AnEndlessStreamOfSmallJobsDoesNotStarveALargeOne) {
  Host host(cluster().nodes(2).cards(4).build());
  std::uint64_t next = 1;
  std::vector<std::uint64_t> running;
  const auto submit_small = [&] {
    JobRequest small = job(next, 1, 1000);
    small.time_limit_ms = next % 3 == 0 ? 20 * kMinute : (next % 3) * 5 * kMinute;
    for (const Decision& decision : host.submit(small)) {
      if (const Place* place = std::get_if<Place>(&decision)) running.push_back(place->attempt.job.value);
    }
    ++next;
  };
  for (int i = 0; i < 8; ++i) {
    submit_small();
  }
  constexpr std::uint64_t kLarge = 1'000'000;
  host.submit(job(kLarge, 2, 4000));
  int rounds = 0;
  for (; !host.holds_cards(kLarge) && rounds < 200; ++rounds) {
    submit_small();
    host.now_ms += kMinute;
    ASSERT_FALSE(running.empty());
    const std::uint64_t ending = running.front();
    running.erase(running.begin());
    if (host.core.find_job({ending})->state == model::JobState::kStarting) host.start(ending);
    for (const Decision& decision : host.succeed(ending)) {
      if (const Place* place = std::get_if<Place>(&decision)) running.push_back(place->attempt.job.value);
    }
  }
  EXPECT_LT(rounds, 60) << "it waits for the jobs before it, and for few that came later";
}

TEST(Backfill, HoldsNothingForAJobThatWaitsForANode) {
  Host host(cluster().nodes(2).cards(2).build());
  host.send(NodeStateChanged{.node = {2}, .state = model::NodeState::kUnreachable});
  host.submit(job(1, 2, 2000));
  host.submit(job(2, 1, 2000));
  EXPECT_FALSE(host.holds_cards(1));
  EXPECT_TRUE(host.holds_cards(2)) << "keeping node 1 empty would not help job 1";
}

TEST(Backfill, LeavesOtherChipsToOthers) {
  auto nodes = cluster().nodes(1).cards(2, "h100").build();
  nodes.push_back(cluster().nodes(1).cards(2, "a100").first_id(2).build()[0]);
  Host host(std::move(nodes));
  host.submit(job(1, 1, 1000, "h100"));
  host.submit(job(2, 1, 2000, "h100"));
  host.submit(job(3, 1, 2000, "a100"));
  EXPECT_TRUE(host.holds_cards(3));
}

TEST(Backfill, SaysInThePlacementThatItBackfilled) {
  Host host(cluster().cards(2).build());
  host.submit(job(1, 1, 1000));
  host.submit(job(2, 1, 2000));
  const auto place = find<Place>(host.submit(limited(job(3, 1, 1000), kMinute)));
  EXPECT_NE(place->reason.find("job 2 is not delayed"), std::string::npos) << place->reason;
}

}  // namespace
}  // namespace busbar::sched
