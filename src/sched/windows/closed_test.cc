#include "sched/windows/closed.h"

#include <gtest/gtest.h>

#include "sched/test_cluster.h"

namespace busbar::sched {
namespace {

using testing::cluster;
using testing::Host;
using testing::job;
using testing::kHour;
using testing::limited;

/// Node 1 of `host` from `from` hours to `until` hours from now.
model::Reservation window(const Host& host, std::int64_t from, std::int64_t until) {
  return {.name = "maintenance",
          .nodes = {{1}},
          .from_ms = host.now_ms + from * kHour,
          .until_ms = host.now_ms + until * kHour};
}

TEST(Windows, KeepNodesFreeForNobodyDuringMaintenance) {
  Host host(cluster().nodes(1).cards(8).build());
  host.send(ReservationMade{.reservation = window(host, 0, 2)});
  host.submit(limited(job(1, 1, 1000), kHour));
  EXPECT_FALSE(host.holds_cards(1));
  EXPECT_EQ(host.core.next_wakeup(), host.now_ms + 2 * kHour);
  host.tick_at(host.now_ms + 2 * kHour);
  EXPECT_TRUE(host.holds_cards(1));
  EXPECT_TRUE(host.core.reservations().empty()) << "it goes by itself";
}

TEST(Windows, TakeNoJobBeforehandThatCouldReachIntoThem) {
  Host host(cluster().nodes(2).cards(8).build());
  host.send(ReservationMade{.reservation = window(host, 4, 6)});
  host.submit(limited(job(1, 1, 8000), 4 * kHour));
  EXPECT_EQ(host.nodes_of(1), (std::vector<std::uint64_t>{2})) << "its start may take a while, then four hours";
  host.submit(job(2, 1, 8000));
  EXPECT_FALSE(host.holds_cards(2)) << "without a limit it could run into the window";
  host.submit(limited(job(3, 1, 8000), 3 * kHour));
  EXPECT_EQ(host.nodes_of(3), (std::vector<std::uint64_t>{1}));
}

TEST(Windows, AdmitTheirUsersAndQueues) {
  Host host(cluster().nodes(1).cards(8).build());
  host.send(QueueChanged{.queue = {.name = "course"}});
  model::Reservation reserved = window(host, 0, 6);
  reserved.users = {"ada"};
  reserved.queues = {"course"};
  host.send(ReservationMade{.reservation = reserved});
  JobRequest request = job(1, 1, 1000);
  request.user = "bob";
  host.submit(request);
  EXPECT_FALSE(host.holds_cards(1));
  request.id = {2};
  request.user = "ada";
  host.submit(request);
  EXPECT_TRUE(host.holds_cards(2)) << "same shape as job 1, but hers";
  request.id = {3};
  request.user = "eve";
  request.queue = "course";
  host.submit(request);
  EXPECT_TRUE(host.holds_cards(3));
}

TEST(Windows, OpenAgainWhenCancelled) {
  Host host(cluster().nodes(1).cards(8).build());
  host.send(ReservationMade{.reservation = window(host, 0, 6)});
  host.submit(job(1, 1, 1000));
  EXPECT_FALSE(host.holds_cards(1));
  const auto why = host.core.why({1});
  EXPECT_NE(why->text.find("1 node is reserved for others"), std::string::npos) << why->text;
  host.send(ReservationCancelled{.name = "maintenance"});
  EXPECT_TRUE(host.holds_cards(1));
  EXPECT_EQ(host.try_send(ReservationCancelled{.name = "maintenance"}).error().code, ErrorCode::kNotFound);
}

TEST(Windows, LeaveWhatRunsAlone) {
  Host host(cluster().nodes(1).cards(8).build());
  host.submit(job(1, 1, 1000));
  host.start(1);
  EXPECT_TRUE(host.send(ReservationMade{.reservation = window(host, 0, 6)}).empty());
  EXPECT_EQ(host.state(1), model::JobState::kRunning);
}

TEST(Windows, MustEndAfterTheyBeginAndNameNodesThatExist) {
  Host host(cluster().nodes(1).cards(8).build());
  model::Reservation wrong = window(host, 2, 1);
  EXPECT_EQ(host.try_send(ReservationMade{.reservation = wrong}).error().code, ErrorCode::kInvalidArgument);
  wrong = window(host, 1, 2);
  wrong.nodes = {{9}};
  EXPECT_EQ(host.try_send(ReservationMade{.reservation = wrong}).error().code, ErrorCode::kNotFound);
  wrong = window(host, -2, -1);
  EXPECT_EQ(host.try_send(ReservationMade{.reservation = wrong}).error().code, ErrorCode::kInvalidArgument);
}

TEST(Windows, SurviveASnapshot) {
  Host host(cluster().nodes(2).cards(8).build());
  model::Reservation reserved = window(host, 1, 2);
  reserved.users = {"ada"};
  host.send(ReservationMade{.reservation = reserved});
  const auto restored = Core::restore(host.core.snapshot());
  ASSERT_TRUE(restored.has_value());
  EXPECT_EQ(restored->reservations(), (std::vector<model::Reservation>{reserved}));
  EXPECT_EQ(restored->state_hash(), host.core.state_hash());
  EXPECT_EQ(restored->next_wakeup(), host.core.next_wakeup());
}

}  // namespace
}  // namespace busbar::sched
