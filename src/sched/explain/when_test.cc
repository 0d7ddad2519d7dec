#include "sched/explain/when.h"

#include <gtest/gtest.h>

#include "sched/test_cluster.h"

namespace busbar::sched {
namespace {

using testing::cluster;
using testing::Host;
using testing::job;
using testing::kMinute;
using testing::limited;

TEST(When, ExpectsRunningJobsToEndAtTheirLimit) {
  Host host(cluster().cards(8).build());
  host.submit(limited(job(1, 1, 8000), 30 * kMinute));
  host.start(1);
  host.submit(job(2, 1, 4000));
  const auto when = host.core.when({2});
  EXPECT_EQ(when->p50_ms, host.now_ms + 30 * kMinute);
  EXPECT_EQ(when->p90_ms, host.now_ms + 30 * kMinute);
  EXPECT_EQ(when->starts, when->trials);
}

TEST(When, LearnsThatJobsOfTheQueueEndEarlier) {
  Host host(cluster().cards(8).build());
  for (std::uint64_t id = 1; id <= 4; ++id) {
    host.submit(limited(job(id, 1, 8000), 100 * kMinute));
    host.start(id);
    host.now_ms += 10 * kMinute;
    host.succeed(id);
  }
  host.submit(limited(job(9, 1, 8000), 60 * kMinute));
  host.start(9);
  host.submit(job(10, 1, 8000));
  EXPECT_EQ(host.core.when({10})->p50_ms, host.now_ms + 6 * kMinute) << "a tenth of the limit, as those before";
}

TEST(When, CountsTheJobsAhead) {
  Host host(cluster().cards(8).build());
  host.submit(limited(job(1, 1, 8000), 10 * kMinute));
  host.start(1);
  host.submit(limited(job(2, 1, 8000), 20 * kMinute));
  host.submit(limited(job(3, 1, 8000), 20 * kMinute));
  EXPECT_EQ(host.core.when({3})->p50_ms, host.now_ms + 30 * kMinute);
}

TEST(When, DoesNotInventAnEndForJobsOfWhichNothingIsKnown) {
  Host host(cluster().cards(8).build());
  host.submit(job(1, 1, 8000));
  host.start(1);
  host.submit(job(2, 1, 8000));
  const auto when = host.core.when({2});
  EXPECT_FALSE(when->p50_ms.has_value());
  EXPECT_EQ(when->starts, 0U);
}

TEST(When, WaitsForTheEndOfAReservation) {
  Host host(cluster().nodes(1).cards(8).build());
  host.send(ReservationMade{
      .reservation = {.name = "x", .nodes = {{1}}, .from_ms = host.now_ms, .until_ms = host.now_ms + 45 * kMinute}});
  host.submit(job(1, 1, 8000));
  EXPECT_EQ(host.core.when({1})->p50_ms, host.now_ms + 45 * kMinute);
}

TEST(When, ChangesNothing) {
  Host host(cluster().cards(8).build());
  host.submit(limited(job(1, 1, 8000), kMinute));
  host.submit(job(2, 1, 8000));
  const std::uint64_t before = host.core.state_hash();
  ASSERT_TRUE(host.core.when({2}).has_value());
  EXPECT_EQ(host.core.state_hash(), before);
  EXPECT_EQ(host.core.when({7}).error().code, ErrorCode::kNotFound);
}

}  // namespace
}  // namespace busbar::sched
