#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <latch>
#include <string>
#include <vector>

#include "gateway/gateway_testing.h"

// Replicas that fail, hang, are full or not there, and clients that go away.
namespace busbar::gateway {
namespace {

using testing::answers;
using testing::ask;
using testing::Backend;
using testing::closed_port;
using testing::echoes;
using testing::has;
using testing::kGet;
using testing::Peer;
using testing::service;
using testing::start;
using testing::status_of;

TEST(GatewayReplicas, TriesAnotherReplicaWhereThatDoesNoHarm) {
  const Backend backend(answers("ok"));
  const auto gateway = start({service({closed_port(), backend.port()})});
  for (int round = 0; round < 20; ++round) {
    EXPECT_EQ(status_of(ask(*gateway, kGet)), 200);
    // Nothing of it had reached the first: so a POST may go to the second.
    EXPECT_EQ(status_of(ask(*gateway, "POST /services/s/ HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx")), 200);
  }
}

TEST(GatewayReplicas, DoesNotRepeatARequestThatMayHaveBeenCarriedOut) {
  std::atomic<int> seen = 0;
  const Backend backend([&seen](Peer& peer) {
    if (!peer.read_message().empty()) ++seen;
    peer.reset();
  });
  const auto gateway = start({service({backend.port()})});
  EXPECT_EQ(status_of(ask(*gateway, "POST /services/s/ HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx")), 502);
  EXPECT_EQ(seen, 1);
  EXPECT_EQ(status_of(ask(*gateway, kGet)), 502);
  EXPECT_EQ(seen, 4);
}

TEST(GatewayReplicas, SurvivesAReplicaThatClosesIdleConnections) {
  const Backend backend([](Peer& peer) {
    peer.read_message();
    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    peer.close();
  });
  const auto gateway = start({service({backend.port()})});
  Peer client = Peer::connect(gateway->port());
  for (int round = 0; round < 50; ++round) {
    client.send(kGet);
    ASSERT_EQ(status_of(client.read_message()), 200);
  }
}

TEST(GatewayReplicas, HoldsRequestsUntilAReplicaIsThere) {
  route::Service asleep = service({});
  asleep.can_start = true;
  const auto gateway = start({asleep}, {.name = "g"});
  Peer client = Peer::connect(gateway->port());
  Peer other = Peer::connect(gateway->port());
  client.send(kGet);
  ASSERT_TRUE(gateway->demand_event().wait(std::chrono::seconds(20)));
  other.send("POST /services/s/ HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello");
  route::Demand demand;
  for (int round = 0; round < 10'000 && (demand.services.empty() || demand.services[0].waiting < 2); ++round) {
    demand = gateway->take_demand();
    std::this_thread::yield();
  }
  ASSERT_EQ(demand.services.size(), 1U);
  EXPECT_EQ(demand.services[0].waiting, 2U);
  EXPECT_EQ(demand.table_version, 1U);
  EXPECT_TRUE(demand.services[0].replicas.empty());
  const Backend backend(echoes());
  ASSERT_TRUE(gateway->update({.version = 2, .services = {service({backend.port()})}}));
  EXPECT_TRUE(has(client.read_message(), "GET /a?b=c"));
  EXPECT_TRUE(has(other.read_message(), "\r\n\r\nhello"));
}

TEST(GatewayReplicas, ShedsWhatCannotBeServed) {
  route::Service asleep = service({});
  asleep.can_start = true;
  asleep.start_ms = 3'000;
  asleep.limits.waiting = 1;
  route::Service off = service({});
  off.name = "off";
  const auto gateway = start({asleep, off});
  EXPECT_EQ(status_of(ask(*gateway, "GET /services/off/ HTTP/1.1\r\nHost: a\r\n\r\n")), 503);
  EXPECT_EQ(status_of(ask(*gateway, "GET /services/s/ HTTP/1.1\r\nHost: a\r\nX-Request-Timeout: 1.5\r\n\r\n")), 503);
  Peer waiting = Peer::connect(gateway->port());
  waiting.send(kGet);
  ASSERT_TRUE(gateway->demand_event().wait(std::chrono::seconds(20)));
  const std::string refused = ask(*gateway, kGet);
  EXPECT_EQ(status_of(refused), 503);
  EXPECT_TRUE(has(refused, "Retry-After: 3\r\n")) << refused;
  // Nobody waits for a service that is gone.
  ASSERT_TRUE(gateway->update({.version = 2}));
  EXPECT_EQ(status_of(waiting.read_message()), 404);
}

TEST(GatewayReplicas, GivesAReplicaNoMoreThanItsConcurrency) {
  std::atomic<int> now = 0;
  std::atomic<int> most = 0;
  const Backend backend([&](Peer& peer) {
    while (!peer.read_message().empty()) {
      most = std::max(most.load(), ++now);
      std::this_thread::yield();
      --now;
      peer.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    }
  });
  route::Service narrow = service({backend.port()});
  narrow.limits.concurrency = 2;
  const auto gateway = start({narrow}, {.threads = 2});
  std::vector<Peer> clients;
  for (int count = 0; count < 32; ++count) clients.push_back(Peer::connect(gateway->port()));
  for (int round = 0; round < 20; ++round) {
    for (Peer& client : clients) client.send(kGet);
    for (Peer& client : clients) ASSERT_EQ(status_of(client.read_message()), 200);
  }
  EXPECT_LE(most, 2);
}

TEST(GatewayReplicas, TellsTheReplicaThatTheClientHasGone) {
  std::latch has_request(1);
  std::latch has_gone(1);
  const Backend backend([&](Peer& peer) {
    peer.read_message();
    has_request.count_down();
    EXPECT_TRUE(peer.is_closed());
    has_gone.count_down();
  });
  const auto gateway = start({service({backend.port()})});
  {
    Peer client = Peer::connect(gateway->port());
    client.send(kGet);
    has_request.wait();
  }
  has_gone.wait();
}

TEST(GatewayReplicas, CutsAnAnswerThatItsReplicaBrokeOff) {
  const Backend backend([](Peer& peer) {
    peer.read_message();
    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
    peer.close();
  });
  const auto gateway = start({service({backend.port()})});
  Peer client = Peer::connect(gateway->port());
  client.send(kGet);
  EXPECT_TRUE(has(client.read_to_end(), "\r\n\r\nhalf"));
}

TEST(GatewayReplicas, AnswersForReplicasThatMakeNoSense) {
  for (const std::string nonsense :
       {"hello\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "HTTP/1.1 101 Switching Protocols\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA : b\r\n\r\n"}) {
    SCOPED_TRACE(nonsense);
    const Backend backend([&nonsense](Peer& peer) {
      peer.read_message();
      peer.send(nonsense);
      peer.read_some();
    });
    const auto gateway = start({service({backend.port()})});
    EXPECT_EQ(status_of(ask(*gateway, kGet)), 502);
  }
}

TEST(GatewayReplicas, GivesUpOnAReplicaThatHangs) {
  const Backend backend([](Peer& peer) { peer.read_to_end(); });
  route::Service slow = service({backend.port()});
  slow.limits.response_ms = 100;
  const auto gateway = start({slow});
  EXPECT_EQ(status_of(ask(*gateway, kGet)), 504);
}

}  // namespace
}  // namespace busbar::gateway
