#include <atomic>
#include <latch>
#include <map>
#include <set>

#include "gateway/policy_testing.h"
#include "route/latency_sketch.h"

// Which replica a request is given to, and what else becomes of it: through real sockets.
namespace busbar::gateway {
namespace {

using namespace testing;
using GatewayRouting = GatewayTraffic;

/// Replicas that answer with their own number.
struct Replicas {
  explicit Replicas(std::size_t count) {
    for (std::size_t number = 0; number < count; ++number) {
      backends.push_back(std::make_unique<Backend>(says(with_length(std::to_string(number)))));
    }
  }
  std::vector<route::Endpoint> endpoints() const {
    std::vector<route::Endpoint> result;
    for (const auto& backend : backends) {
      result.push_back(
          {.replica = "s-" + std::to_string(result.size()), .address = "127.0.0.1", .port = backend->port()});
    }
    return result;
  }
  std::vector<std::unique_ptr<Backend>> backends = {};
};

std::string body_in(std::string_view answer) {
  return std::string(answer.substr(answer.find("\r\n\r\n") + 4));
}

/// A service "s" whose requests are copied to "shadow".
route::Table mirrored(const Backend& backend, const Backend& shadow) {
  route::Service service{.name = "s",
                         .endpoints = {{.replica = "s-1", .address = "127.0.0.1", .port = backend.port()}}};
  service.traffic.mirror = {.to = "shadow"};
  return {.services = {service,
                       {.name = "shadow",
                        .endpoints = {{.replica = "shadow-1", .address = "127.0.0.1", .port = shadow.port()}}}}};
}

TEST_F(GatewayRouting, ASessionStaysWithItsReplica) {
  const Replicas replicas(4);
  for (const auto kind : {model::AffinityKind::kCookie, model::AffinityKind::kHeader}) {
    route::Service service{.name = "s", .endpoints = replicas.endpoints()};
    service.traffic.affinity = {.kind = kind, .name = kind == model::AffinityKind::kCookie ? "sid" : "X-Session"};
    start({.services = {service}});
    std::set<std::string> seen;
    for (int session = 0; session < 40; ++session) {
      const std::string value = std::to_string(session);
      const std::string field =
          kind == model::AffinityKind::kCookie ? "Cookie: a=b; sid=" + value + "; c=d" : "x-session: " + value;
      const std::string home = body_in(get(field));
      for (int round = 0; round < 5; ++round) EXPECT_EQ(body_in(get(field)), home);
      seen.insert(home);
    }
    EXPECT_EQ(seen.size(), 4U);
  }
}

TEST_F(GatewayRouting, PromptsWithTheSameBeginningGoToTheSameReplica) {
  const Replicas replicas(4);
  route::Service service = guarded(1);
  service.endpoints = replicas.endpoints();
  service.traffic.affinity = {.kind = model::AffinityKind::kPrefix};
  start({.services = {service}, .keys = {key("one", "a")}});
  std::set<std::string> seen;
  for (int talk = 0; talk < 24; ++talk) {
    std::string text = std::string(600, static_cast<char>('a' + talk)) + std::to_string(talk);
    const auto send_turn = [&] {
      return body_in(chat("x-api-key: one", R"({"model":"m","messages":[")" + text + R"("],"max_tokens":5})"));
    };
    const std::string home = send_turn();
    seen.insert(home);
    for (int turn = 0; turn < 3; ++turn) {
      text += std::string(300, 'z');
      EXPECT_EQ(send_turn(), home) << talk << " " << turn;
    }
  }
  EXPECT_GT(seen.size(), 1U);
}

TEST_F(GatewayRouting, WhatOtherGatewaysHaveCountsForAChoice) {
  const Replicas replicas(2);
  auto other = Gateway::start({.threads = 1, .name = "other"});
  ASSERT_TRUE(other);
  auto gateway = Gateway::start({.threads = 1, .name = "own"});
  ASSERT_TRUE(gateway);
  gateway_ = *std::move(gateway);
  const route::Service service{.name = "s", .endpoints = replicas.endpoints()};
  update({.services = {service}});
  ASSERT_TRUE((*other)->update({.version = 1, .services = {service}}));
  const route::Loads loads{.running = {{"s-0", {{"other", 7}}}, {"s-1", {{"own", 9}}}}};
  gateway_->update_loads(loads);
  (*other)->update_loads(loads);
  // Each knows its own by itself: what counts is what the other has.
  std::set<std::string> seen;
  for (int round = 0; round < 20; ++round) seen.insert(body_in(get("")));
  EXPECT_EQ(seen, std::set<std::string>{"1"});
  std::swap(gateway_, *other);
  seen.clear();
  for (int round = 0; round < 20; ++round) seen.insert(body_in(get("")));
  EXPECT_EQ(seen, std::set<std::string>{"0"});
  gateway_->update_loads({});
  for (int round = 0; round < 40; ++round) seen.insert(body_in(get("")));
  EXPECT_EQ(seen.size(), 2U);
}

TEST_F(GatewayRouting, AnAdapterIsAskedOfReplicasThatHaveIt) {
  const Backend plain(echoes());
  const Backend tuned(echoes());
  route::Service service{.name = "s", .models = {"base"}};
  service.endpoints = {{.replica = "s-0", .address = "127.0.0.1", .port = plain.port()},
                       {.replica = "s-1", .address = "127.0.0.1", .port = tuned.port(), .adapters = {"fr"}}};
  start({.services = {service}});
  for (const std::string model : {"fr", "base:fr", "s:fr"}) {
    SCOPED_TRACE(model);
    for (int round = 0; round < 6; ++round) {
      const std::string answer = chat("", R"({"stream":false,"model":")" + model + R"(","messages":[]})");
      // It is known there by its own name.
      EXPECT_TRUE(holds(answer, R"({"stream":false,"model":"fr","messages":[]})")) << answer;
    }
  }
  EXPECT_EQ(plain.connections(), 0U);
  EXPECT_EQ(status_in(chat("", R"({"model":"base:de"})")), 404);
  EXPECT_EQ(status_in(chat("", R"({"model":"base"})")), 200);
}

TEST_F(GatewayRouting, ARuleSendsRequestsWithItsHeaderToItsRevision) {
  const Replicas replicas(3);
  route::Service service{.name = "s", .endpoints = replicas.endpoints()};
  service.endpoints[2].revision = 2;
  service.endpoints[2].weight = 1;
  service.endpoints[0].weight = service.endpoints[1].weight = 1'000'000;
  service.rules = {{.header = "x-canary", .value = "yes", .revision = 2}};
  start({.services = {service}});
  for (int round = 0; round < 20; ++round) {
    EXPECT_EQ(body_in(get("X-Canary: yes")), "2");
    EXPECT_NE(body_in(get("X-Canary: no")), "2");
  }
}

TEST_F(GatewayRouting, CopiesOfRequestsGoToTheMirrorAndTheirAnswersNowhere) {
  std::latch has_copy(1);
  std::string copy;
  const Backend shadow([&](Peer& peer) {
    copy = peer.read_message();
    has_copy.count_down();
    peer.send("HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n");
  });
  const Backend backend(echoes());
  start(mirrored(backend, shadow));
  const std::string answer = send("PUT /services/s/x HTTP/1.1\r\nHost: a\r\nX-A: b\r\nContent-Length: 5\r\n\r\nhello");
  EXPECT_EQ(status_in(answer), 200);
  has_copy.wait();
  EXPECT_TRUE(holds(copy, "PUT /x HTTP/1.1\r\n")) << copy;
  EXPECT_TRUE(holds(copy, "X-A: b\r\n")) << copy;
  EXPECT_TRUE(holds(copy, "X-Busbar-Mirror: s\r\nConnection: close\r\n\r\nhello")) << copy;
  until("busbar_gateway_mirrors_total{service=\"s\"} 1\n");
  EXPECT_TRUE(counts("busbar_gateway_requests_total{service=\"shadow\"} 0\n"));
}

TEST_F(GatewayRouting, ARequestThatComesInPiecesIsCopiedWhenAllOfItIsThere) {
  std::latch has_copy(1);
  std::string copy;
  const Backend shadow([&](Peer& peer) {
    copy = peer.read_message();
    has_copy.count_down();
  });
  std::latch has_first_half(1);
  const Backend backend([&](Peer& peer) {
    std::string message = peer.read_some();
    has_first_half.count_down();
    while (message.find("the end") == std::string::npos) message += peer.read_some();
    peer.send(with_length("ok"));
  });
  start(mirrored(backend, shadow));
  const std::string half(100 << 10, 'x');
  Peer client = Peer::connect(gateway_->port());
  client.send("POST /services/s/ HTTP/1.1\r\nHost: a\r\nContent-Length: " + std::to_string(2 * half.size() + 7) +
              "\r\n\r\n" + half);
  // The replica has some of it before the client sends the rest.
  has_first_half.wait();
  client.send(half + "the end");
  EXPECT_EQ(status_in(client.read_message()), 200);
  has_copy.wait();
  EXPECT_EQ(body_in(copy), half + half + "the end");
  EXPECT_TRUE(counts("busbar_gateway_mirrors_dropped_total{service=\"s\"} 0\n"));
}

TEST_F(GatewayRouting, AMirrorThatIsStuckSlowsNobody) {
  std::latch may_end(1);
  const Backend shadow([&](Peer& peer) {
    peer.read_message();
    may_end.wait();
  });
  const Backend backend(echoes());
  start(mirrored(backend, shadow));
  for (int count = 0; count < 100; ++count) ASSERT_EQ(status_in(get("")), 200);
  until("busbar_gateway_mirrors_total{service=\"s\"} 64\n");
  until("busbar_gateway_mirrors_dropped_total{service=\"s\"} 36\n");
  may_end.count_down();
}

TEST_F(GatewayRouting, ASecondReplicaIsAskedWhereTheFirstIsSlow) {
  std::latch may_end(1);
  const Backend stuck([&](Peer& peer) {
    peer.read_message();
    may_end.wait();
  });
  const Backend quick(says(with_length("quick")));
  route::Service service{.name = "s"};
  service.endpoints = {{.replica = "s-1", .address = "127.0.0.1", .port = stuck.port()},
                       {.replica = "s-2", .address = "127.0.0.1", .port = quick.port()}};
  service.traffic.hedge = {.after_ms = 1, .percent = 100};
  start({.services = {service}});
  for (int count = 0; count < 20; ++count) ASSERT_EQ(body_in(get("")), "quick") << count;
  may_end.count_down();
  EXPECT_FALSE(counts("busbar_gateway_hedges_won_total{service=\"s\"} 0\n"));
  until("busbar_gateway_running{service=\"s\"} 0\n");
}

TEST_F(GatewayRouting, HedgesHaveABudgetAndNeverRepeatWhatMayNotBe) {
  std::latch may_end(1);
  const auto slow = [&](Peer& peer) {
    peer.read_message();
    may_end.wait();
    peer.send(with_length("slow"));
    peer.read_some();
  };
  const Backend one(slow);
  const Backend two(slow);
  route::Service service{.name = "s"};
  service.endpoints = {{.replica = "s-1", .address = "127.0.0.1", .port = one.port()},
                       {.replica = "s-2", .address = "127.0.0.1", .port = two.port()}};
  service.traffic.hedge = {.after_ms = 500, .percent = 50};
  start({.services = {service}});
  Peer post = Peer::connect(gateway_->port());
  post.send("POST /services/s/ HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx");
  for (int count = 0; count < 5; ++count) {
    clients_.emplace_back(Peer::connect(gateway_->port())).send("GET /services/s/ HTTP/1.1\r\nHost: a\r\n\r\n");
  }
  // Six requests earn three; the POST is not among those that may be sent twice.
  until("busbar_gateway_hedges_total{service=\"s\"} 3\n");
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (one.connections() + two.connections() != 9U) ASSERT_LT(std::chrono::steady_clock::now(), end);
  may_end.count_down();
  EXPECT_EQ(statuses(), std::vector<int>(5, 200));
  EXPECT_EQ(status_in(post.read_message()), 200);
}

TEST_F(GatewayRouting, ConnectionsThatAreAllClosedAreNoAttempts) {
  // Each connection serves one request and is then closed when all of them are pooled.
  std::latch are_pooled(8);
  std::atomic<int> served = 0;
  std::latch may_close(1);
  const Backend dying([&](Peer& peer) {
    peer.read_message();
    if (served.fetch_add(1) >= 8) {
      peer.send(with_length("again"));
      peer.read_some();
      return;
    }
    are_pooled.arrive_and_wait();
    peer.send(with_length("once"));
    may_close.wait();
    peer.reset();
  });
  const route::Service service{.name = "s",
                               .endpoints = {{.replica = "s-1", .address = "127.0.0.1", .port = dying.port()}}};
  start({.services = {service}});
  for (int count = 0; count < 8; ++count) {
    clients_.emplace_back(Peer::connect(gateway_->port())).send("GET /services/s/ HTTP/1.1\r\nHost: a\r\n\r\n");
  }
  EXPECT_EQ(statuses(), std::vector<int>(8, 200));
  may_close.count_down();
  // However many of the eight are found closed only when they are used: the request is answered.
  for (int round = 0; round < 20; ++round) EXPECT_EQ(body_in(get("")), "again");
}

TEST_F(GatewayRouting, AReplicaThatFailsItsHealthChecksIsLeftOut) {
  std::atomic<bool> is_ill = false;
  const auto replica = [&is_ill](const std::string& name, bool can_be_ill) {
    return [&is_ill, name, can_be_ill](Peer& peer) {
      for (std::string head = peer.read_message(); !head.empty(); head = peer.read_message()) {
        const bool is_check = holds(head, "GET /healthz ");
        peer.send(is_check && can_be_ill && is_ill ? "HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n"
                                                   : with_length(name));
      }
    };
  };
  const Backend one(replica("one", true));
  const Backend two(replica("two", false));
  route::Service service{.name = "s", .health = {.path = "/healthz", .every_ms = 10, .timeout_ms = 1'000}};
  service.endpoints = {{.replica = "s-1", .address = "127.0.0.1", .port = one.port()},
                       {.replica = "s-2", .address = "127.0.0.1", .port = two.port()}};
  start({.services = {service}});
  const auto twenty = [this] {
    std::set<std::string> seen;
    for (int round = 0; round < 20; ++round) seen.insert(body_in(get("")));
    return seen;
  };
  const auto until_seen = [&](const std::set<std::string>& wanted) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (twenty() != wanted) ASSERT_LT(std::chrono::steady_clock::now(), end);
  };
  until_seen({"one", "two"});
  is_ill = true;
  until_seen({"two"});
  is_ill = false;
  until_seen({"one", "two"});
}

TEST_F(GatewayRouting, TellsHowLongAnswersOfEachRevisionTook) {
  const Replicas replicas(2);
  route::Service service{.name = "s", .endpoints = replicas.endpoints()};
  start({.services = {service}});
  for (int count = 0; count < 10; ++count) ASSERT_EQ(status_in(get("")), 200);
  service.endpoints[1].revision = 2;
  update({.services = {service}});
  std::map<std::uint32_t, std::uint64_t> finished;
  std::map<std::uint32_t, std::uint64_t> timed;
  const auto take = [&] {
    for (const route::ServiceDemand& demand : gateway_->take_demand().services) {
      for (const auto& revision : demand.revisions) {
        finished[revision.revision] += revision.finished;
        for (const auto& [bucket, count] : revision.latency) {
          EXPECT_LT(bucket, route::LatencySketch::kBuckets);
          timed[revision.revision] += count;
        }
      }
    }
  };
  for (int count = 0; count < 40; ++count) ASSERT_EQ(status_in(get("")), 200);
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (finished[1] + finished[2] < 50 && std::chrono::steady_clock::now() < end) take();
  EXPECT_EQ(finished[1] + finished[2], 50U);
  // The ten before there were two revisions have nothing to be compared with.
  EXPECT_EQ(timed[1] + timed[2], 40U);
  EXPECT_GT(timed[2], 0U);
}

TEST_F(GatewayRouting, WorkIsCountedInTokensUntilTheStreamEnds) {
  std::latch may_end(1);
  const auto streams = [&may_end](Peer& peer) {
    while (!peer.read_message().empty()) {
      peer.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n");
      peer.send(chunk("data: 1\n\n"));
      may_end.wait();
      peer.send("0\r\n\r\n");
    }
  };
  const Backend one(streams);
  const Backend two(streams);
  route::Service service{.name = "s", .models = {"m"}};
  service.endpoints = {{.replica = "s-1", .address = "127.0.0.1", .port = one.port()},
                       {.replica = "s-2", .address = "127.0.0.1", .port = two.port()}};
  start({.services = {service}});
  const auto ask_for = [this](int tokens) {
    const std::string body = R"({"model":"m","messages":[],"max_tokens":)" + std::to_string(tokens) + "}";
    Peer& client = clients_.emplace_back(Peer::connect(gateway_->port()));
    client.send("POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Length: " + std::to_string(body.size()) +
                "\r\n\r\n" + body);
    client.read_until("data: 1\n\n");
  };
  ask_for(100'000);
  // Fifty small ones are less work than the large one: they all go to the other.
  for (int count = 0; count < 50; ++count) ask_for(10);
  EXPECT_EQ(one.connections() * two.connections(), 50U);
  may_end.count_down();
  for (Peer& client : clients_) client.read_until("0\r\n\r\n");
}

}  // namespace
}  // namespace busbar::gateway
