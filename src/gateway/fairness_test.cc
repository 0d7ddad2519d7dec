#include <algorithm>
#include <latch>
#include <mutex>

#include "gateway/policy_testing.h"

// Who of those that wait is served, and who may wait: through real sockets.
namespace busbar::gateway {
namespace {

using namespace testing;
using GatewayFairness = GatewayTraffic;

/// A replica that serves one request at a time, the first of them only when it is told to, and keeps whose they were.
class OneAtATime {
 public:
  OneAtATime()
      : backend_([this](Peer& peer) {
          for (std::string head = peer.read_message(); !head.empty(); head = peer.read_message()) {
            const std::size_t at = head.find("X-Busbar-Tenant: ");
            {
              const std::lock_guard lock(mutex_);
              order_ += at == std::string::npos ? '-' : head[at + 17];
            }
            may_begin_.wait();
            peer.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
          }
        }) {}
  void begin() { may_begin_.count_down(); }
  std::uint16_t port() const { return backend_.port(); }
  /// First letters of tenants.
  std::string order() const {
    const std::lock_guard lock(mutex_);
    return order_;
  }

 private:
  mutable std::mutex mutex_ = {};
  std::string order_ = {};
  std::latch may_begin_{1};
  Backend backend_;
};

TEST_F(GatewayFairness, AFloodOfOneTenantDoesNotStarveAnother) {
  OneAtATime replica;
  route::Service service = guarded(replica.port());
  service.limits.concurrency = 1;
  start({.services = {service}, .keys = {key("one", "flood"), key("two", "quiet")}});
  for (int count = 0; count < 51; ++count) ask("one");
  until_waiting(50);
  for (int count = 0; count < 5; ++count) ask("two");
  until_waiting(55);
  replica.begin();
  EXPECT_EQ(statuses(), std::vector<int>(56, 200));
  const std::string order = replica.order();
  ASSERT_EQ(order.size(), 56U);
  // In turns: all five of the quiet one are served among the first dozen, though fifty came before them.
  EXPECT_LE(order.rfind('q'), 11U) << order;
}

TEST_F(GatewayFairness, SharesByWeight) {
  OneAtATime replica;
  route::Service service = guarded(replica.port());
  service.limits.concurrency = 1;
  start({.services = {service},
         .keys = {key("one", "heavy"), key("two", "light")},
         .tenants = {{.name = "heavy", .weight = 3}}});
  for (int count = 0; count < 41; ++count) ask("one");
  until_waiting(40);
  for (int count = 0; count < 40; ++count) ask("two");
  until_waiting(80);
  replica.begin();
  EXPECT_EQ(statuses(), std::vector<int>(81, 200));
  const std::string first = replica.order().substr(1, 40);
  EXPECT_NEAR(static_cast<double>(std::count(first.begin(), first.end(), 'h')), 30, 1) << first;
}

TEST_F(GatewayFairness, BoundsWhatOneTenantMayHaveWaiting) {
  OneAtATime replica;
  route::Service service = guarded(replica.port());
  service.limits = {.concurrency = 1, .waiting = 8, .waiting_each = 6};
  start({.services = {service}, .keys = {key("one", "flood"), key("two", "other"), key("three", "quiet")}});
  for (int count = 0; count < 7; ++count) ask("one");
  until_waiting(6);
  EXPECT_EQ(status_in(get("x-api-key: one")), 429);
  for (int count = 0; count < 4; ++count) ask("two");
  until_waiting(10);  // beyond the bound of all: a few of each are always let wait
  EXPECT_EQ(status_in(get("x-api-key: two")), 503);
  ask("three");
  until_waiting(11);
  // Who goes away makes room.
  clients_.erase(clients_.begin() + 6);
  until_waiting(10);
  ask("three");
  replica.begin();
  EXPECT_EQ(statuses(), std::vector<int>(12, 200));
}

TEST_F(GatewayFairness, WorkersGetFreePlacesInTurns) {
  OneAtATime replica;
  route::Service service = guarded(replica.port());
  service.limits.concurrency = 1;
  auto gateway = Gateway::start({.threads = 2});
  ASSERT_TRUE(gateway);
  gateway_ = *std::move(gateway);
  update({.services = {service}, .keys = {key("one", "flood"), key("two", "quiet")}});
  // Connections are spread by the kernel: with so many of each, both workers have both.
  for (int count = 0; count < 65; ++count) ask("one");
  until_waiting(64);
  for (int count = 0; count < 16; ++count) ask("two");
  until_waiting(80);
  replica.begin();
  EXPECT_EQ(statuses(), std::vector<int>(81, 200));
  EXPECT_LE(replica.order().rfind('q'), 65U) << replica.order();
}

}  // namespace
}  // namespace busbar::gateway
