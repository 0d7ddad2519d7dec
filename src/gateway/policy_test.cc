#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <latch>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "gateway/gateway.h"
#include "gateway/test_peers.h"
#include "os/crypto/crypto.h"

// Who may call, and how much: through real sockets.
namespace busbar::gateway {
namespace {

using testing::Backend;
using testing::echoes;
using testing::Peer;

route::Service guarded(std::uint16_t port) {
  return {.name = "s",
          .models = {"m"},
          .access = {.auth = model::ServiceAuth::kKey},
          .endpoints = {{.replica = "s-1", .address = "127.0.0.1", .port = port}}};
}

route::Key key(const std::string& text, const std::string& tenant, model::RateLimits rates = {}) {
  return {.id = "id-" + text, .sha256 = os::sha256(text), .user = "user-" + text, .tenant = tenant, .rates = rates};
}

class GatewayPolicy : public ::testing::Test {
 protected:
  void start(route::Table table) {
    auto gateway = Gateway::start({.threads = 1});
    ASSERT_TRUE(gateway) << gateway.error().to_string();
    gateway_ = *std::move(gateway);
    update(std::move(table));
  }
  void update(route::Table table) {
    table.version = ++version_;
    ASSERT_TRUE(gateway_->update(std::move(table)));
  }
  std::string send(std::string_view request) const {
    Peer client = Peer::connect(gateway_->port());
    client.send(request);
    return client.read_message();
  }
  std::string get(const std::string& field) const {
    return send("GET /services/s/x HTTP/1.1\r\nHost: a\r\n" + (field.empty() ? "" : field + "\r\n") + "\r\n");
  }
  std::string chat(const std::string& field, const std::string& body) const {
    return send("POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\n" + (field.empty() ? "" : field + "\r\n") +
                "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body);
  }
  bool counts(std::string_view line) const { return gateway_->metrics_text().find(line) != std::string::npos; }

  /// What is counted when an answer has gone may be seen a moment later.
  void until(const std::string& line) const {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (!counts(line)) {
      ASSERT_LT(std::chrono::steady_clock::now(), end) << line << "\n" << gateway_->metrics_text();
      std::this_thread::yield();
    }
  }

  std::unique_ptr<Gateway> gateway_ = {};
  std::uint64_t version_ = 0;
};

int status_in(std::string_view answer) {
  return answer.size() < 12 ? 0 : std::stoi(std::string(answer.substr(9, 3)));
}

bool holds(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

TEST_F(GatewayPolicy, LetsInOnlyThoseWithAKeyAndKeepsItFromTheReplica) {
  const Backend backend(echoes());
  start({.services = {guarded(backend.port())}, .keys = {key("one", "research")}});
  for (const char* field : {"Authorization: Bearer one", "authorization: bearer one", "x-api-key: one",
                            "X-Api-Key: one\r\nX-Busbar-Tenant: liar\r\nX-Busbar-Key: liar"}) {
    SCOPED_TRACE(field);
    // Twice: the second time it is known without its hash.
    for (int round = 0; round < 2; ++round) {
      const std::string answer = get(field);
      EXPECT_EQ(status_in(answer), 200) << answer;
      EXPECT_TRUE(holds(answer, "X-Busbar-Tenant: research\r\nX-Busbar-Key: id-one\r\n")) << answer;
      EXPECT_FALSE(holds(answer, "liar")) << answer;
      const std::string seen = answer.substr(answer.find("\r\n\r\n"));
      EXPECT_FALSE(holds(seen, "earer")) << seen;
      EXPECT_FALSE(holds(seen, "pi-")) << seen;
    }
  }
  // A field that is not the key is the replica's.
  EXPECT_TRUE(holds(get("Authorization: Basic eDp5\r\nx-api-key: one"), "Authorization: Basic eDp5"));
  for (const char* field : {"", "Authorization: Bearer two", "Authorization: Basic one", "Authorization: Bearer ",
                            "x-api-key: ", "x-api-key: one\r\nx-api-key2: one "}) {
    SCOPED_TRACE(field);
    if (std::string_view(field).starts_with("x-api-key: one")) continue;
    const std::string answer = get(field);
    EXPECT_EQ(status_in(answer), 401) << answer;
    EXPECT_TRUE(holds(answer, "WWW-Authenticate: Bearer\r\n")) << answer;
  }
  EXPECT_TRUE(counts("busbar_gateway_denied_total{service=\"s\"} 5\n"));
  EXPECT_TRUE(counts("busbar_gateway_requests_total{service=\"s\"} 9\n"));
}

TEST_F(GatewayPolicy, AnswersCallsOfModelsInOpenAIsForm) {
  const Backend backend(echoes());
  start({.services = {guarded(backend.port())}, .keys = {key("one", "research")}});
  const std::string body = R"({"model":"m","messages":[]})";
  EXPECT_EQ(status_in(chat("Authorization: Bearer one", body)), 200);
  const std::string refused = chat("Authorization: Bearer no", body);
  EXPECT_EQ(status_in(refused), 401);
  EXPECT_TRUE(holds(refused, R"("type":"invalid_request_error","param":null,"code":"invalid_api_key")")) << refused;
}

TEST_F(GatewayPolicy, AKeyOpensWhatItAndTheServiceSay) {
  const Backend backend(echoes());
  route::Service picky = guarded(backend.port());
  picky.access.allow = {"research", "user-three"};
  route::Key narrow = key("two", "research");
  narrow.services = {"other"};
  start({.services = {picky}, .keys = {key("one", "research"), narrow, key("three", "sales"), key("four", "sales")}});
  EXPECT_EQ(status_in(get("x-api-key: one")), 200);
  EXPECT_EQ(status_in(get("x-api-key: two")), 403);
  EXPECT_EQ(status_in(get("x-api-key: three")), 200);
  EXPECT_EQ(status_in(get("x-api-key: four")), 403);
}

TEST_F(GatewayPolicy, ARevokedKeyIsRefusedFromTheNextTableOn) {
  const Backend backend(echoes());
  start({.services = {guarded(backend.port())}, .keys = {key("one", "a"), key("two", "a")}});
  Peer client = Peer::connect(gateway_->port());
  const std::string request = "GET /services/s/ HTTP/1.1\r\nHost: a\r\nx-api-key: one\r\n\r\n";
  client.send(request);
  EXPECT_EQ(status_in(client.read_message()), 200);
  update({.services = {guarded(backend.port())}, .keys = {key("two", "a")}});
  // On the same connection, and without waiting: the worker takes the table up before the next request.
  client.send(request);
  EXPECT_EQ(status_in(client.read_message()), 401);
  EXPECT_EQ(status_in(get("x-api-key: two")), 200);
}

TEST_F(GatewayPolicy, RatesOfKeyTenantAndServiceAllHold) {
  const Backend backend(echoes());
  const model::Rate two{.count = 2, .period_ms = 86'400'000};
  const model::Rate three{.count = 3, .period_ms = 86'400'000};
  const model::Rate five{.count = 5, .period_ms = 86'400'000};
  route::Service service = guarded(backend.port());
  service.access.rates.requests = five;
  start({.services = {service},
         .keys = {key("one", "a", {.requests = two}), key("two", "a"), key("three", "b")},
         .tenants = {{.name = "a", .rates = {.requests = three}}}});
  const std::string first = get("x-api-key: one");
  EXPECT_EQ(status_in(first), 200);
  EXPECT_TRUE(holds(first, "x-ratelimit-limit-requests: 2\r\nx-ratelimit-remaining-requests: 1\r\n")) << first;
  EXPECT_EQ(status_in(get("x-api-key: one")), 200);
  const std::string refused = get("x-api-key: one");
  EXPECT_EQ(status_in(refused), 429);
  EXPECT_TRUE(holds(refused, "x-ratelimit-remaining-requests: 0\r\n")) << refused;
  EXPECT_TRUE(holds(refused, "Retry-After: 43")) << refused;  // half a day
  EXPECT_TRUE(holds(refused, "this key's rate of requests is used up")) << refused;
  // What its key was refused is not taken of the tenant: one is left of three.
  EXPECT_EQ(status_in(get("x-api-key: two")), 200);
  EXPECT_TRUE(holds(get("x-api-key: two"), "this tenant's rate"));
  EXPECT_EQ(status_in(get("x-api-key: three")), 200);
  EXPECT_EQ(status_in(get("x-api-key: three")), 200);
  EXPECT_TRUE(holds(get("x-api-key: three"), "this service's rate"));
  EXPECT_TRUE(counts("busbar_gateway_limited_total{service=\"s\"} 3\n"));
  EXPECT_TRUE(counts("busbar_gateway_tenant_limited_total{tenant=\"a\"} 2\n"));
  // A new table does not give anything back.
  update({.services = {service}, .keys = {key("one", "a", {.requests = two})}});
  EXPECT_EQ(status_in(get("x-api-key: one")), 429);
}

TEST_F(GatewayPolicy, GrantsItsPartOfARateWhereThereAreOtherGateways) {
  const Backend backend(echoes());
  start({.services = {guarded(backend.port())},
         .keys = {key("one", "a", {.requests = {.count = 4, .period_ms = 86'400'000}})},
         .gateways = 2});
  EXPECT_TRUE(holds(get("x-api-key: one"), "x-ratelimit-limit-requests: 2\r\n"));
  EXPECT_EQ(status_in(get("x-api-key: one")), 200);
  EXPECT_EQ(status_in(get("x-api-key: one")), 429);
}

Backend::Serve says(std::string answer) {
  return [answer = std::move(answer)](Peer& peer) {
    while (!peer.read_message().empty()) peer.send(answer);
  };
}

std::string with_length(const std::string& body, const std::string& fields = "") {
  return "HTTP/1.1 200 OK\r\n" + fields + "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

std::string chunk(const std::string& text) {
  char size[20] = {};
  std::snprintf(size, sizeof(size), "%zx\r\n", text.size());
  return size + text + "\r\n";
}

TEST_F(GatewayPolicy, EstimatesTokensAndSettlesThemByTheAnswer) {
  const std::string stream =
      "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n" +
      chunk("data: {\"usage\":{\"total_tok") + chunk("ens\":40}}\n\ndata: [DONE]\n\n") + "0\r\n\r\n";
  for (const std::string& answer : {with_length(R"({"usage":{"total_tokens":40}})"), stream}) {
    SCOPED_TRACE(answer);
    const Backend backend(says(answer));
    start({.services = {guarded(backend.port())},
           .keys = {key("one", "a", {.tokens = {.count = 1'000, .period_ms = 86'400'000}})}});
    const std::string body = R"({"model":"m","messages":["0123456789ab"],"max_tokens":600})";
    const std::string first = chat("x-api-key: one", body);
    EXPECT_EQ(status_in(first), 200) << first;
    // Four of the prompt and 600 that it may answer with; of those 40 were used in the end.
    EXPECT_TRUE(holds(first, "x-ratelimit-limit-tokens: 1000\r\nx-ratelimit-remaining-tokens: 396\r\n")) << first;
    const std::string second = chat("x-api-key: one", body);
    EXPECT_TRUE(holds(second, "x-ratelimit-remaining-tokens: 356\r\n")) << second;
    until("busbar_gateway_tenant_settled_tokens_total{tenant=\"a\"} 80\n");
    EXPECT_TRUE(counts("busbar_gateway_tenant_estimated_tokens_total{tenant=\"a\"} 1208\n"));
  }
}

TEST_F(GatewayPolicy, RefusesTokensThatAreNotThereAndChargesNothingForFailures) {
  const Backend backend(says("HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"));
  start({.services = {guarded(backend.port())},
         .keys = {key("one", "a", {.tokens = {.count = 1'000, .period_ms = 86'400'000}})}});
  const std::string body = R"({"model":"m","messages":[],"max_tokens":900})";
  for (int round = 0; round < 3; ++round) EXPECT_EQ(status_in(chat("x-api-key: one", body)), 500);
  const Backend silent(says(with_length("{}")));
  route::Service next = guarded(silent.port());
  next.endpoints[0].replica = "s-2";
  update({.services = {next}, .keys = {key("one", "a", {.tokens = {.count = 1'000, .period_ms = 86'400'000}})}});
  EXPECT_EQ(status_in(chat("x-api-key: one", body)), 200);
  const std::string refused = chat("x-api-key: one", body);
  EXPECT_EQ(status_in(refused), 429) << refused;
  EXPECT_TRUE(holds(refused, "rate of tokens is used up")) << refused;
  EXPECT_TRUE(holds(refused, R"("code":"rate_limit_exceeded")")) << refused;
  // The answer said nothing of what it used, so the estimate stands.
  EXPECT_TRUE(counts("busbar_gateway_tenant_unsettled_total{tenant=\"a\"} 1\n"));
}

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

class GatewayFairness : public GatewayPolicy {
 protected:
  void ask(const std::string& key) {
    Peer& client = clients_.emplace_back(Peer::connect(gateway_->port()));
    client.send("GET /services/s/ HTTP/1.1\r\nHost: a\r\nx-api-key: " + key + "\r\n\r\n");
  }
  void until_waiting(int count) const {
    until("busbar_gateway_waiting{service=\"s\"} " + std::to_string(count) + "\n");
  }
  std::vector<int> statuses() {
    std::vector<int> result;
    for (Peer& client : clients_) result.push_back(status_in(client.read_message()));
    return result;
  }
  std::vector<Peer> clients_ = {};
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

TEST_F(GatewayPolicy, ASessionStaysWithItsReplica) {
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

TEST_F(GatewayPolicy, PromptsWithTheSameBeginningGoToTheSameReplica) {
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

TEST_F(GatewayPolicy, WhatOtherGatewaysHaveCountsForAChoice) {
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

TEST_F(GatewayPolicy, AnAdapterIsAskedOfReplicasThatHaveIt) {
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

TEST_F(GatewayPolicy, ARuleSendsRequestsWithItsHeaderToItsRevision) {
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

TEST_F(GatewayFairness, CopiesOfRequestsGoToTheMirrorAndTheirAnswersNowhere) {
  std::latch has_copy(1);
  std::string copy;
  const Backend shadow([&](Peer& peer) {
    copy = peer.read_message();
    has_copy.count_down();
    peer.send("HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n");
  });
  const Backend backend(echoes());
  route::Service service{.name = "s",
                         .endpoints = {{.replica = "s-1", .address = "127.0.0.1", .port = backend.port()}}};
  service.traffic.mirror = {.to = "shadow"};
  start({.services = {service,
                      {.name = "shadow",
                       .endpoints = {{.replica = "shadow-1", .address = "127.0.0.1", .port = shadow.port()}}}}});
  const std::string answer = send("PUT /services/s/x HTTP/1.1\r\nHost: a\r\nX-A: b\r\nContent-Length: 5\r\n\r\nhello");
  EXPECT_EQ(status_in(answer), 200);
  has_copy.wait();
  EXPECT_TRUE(holds(copy, "PUT /x HTTP/1.1\r\n")) << copy;
  EXPECT_TRUE(holds(copy, "X-A: b\r\n")) << copy;
  EXPECT_TRUE(holds(copy, "X-Busbar-Mirror: s\r\nConnection: close\r\n\r\nhello")) << copy;
  EXPECT_TRUE(counts("busbar_gateway_mirrors_total{service=\"s\"} 1\n"));
  EXPECT_TRUE(counts("busbar_gateway_requests_total{service=\"shadow\"} 0\n"));
}

TEST_F(GatewayFairness, AMirrorThatIsStuckSlowsNobody) {
  std::latch may_end(1);
  const Backend shadow([&](Peer& peer) {
    peer.read_message();
    may_end.wait();
  });
  const Backend backend(echoes());
  route::Service service{.name = "s",
                         .endpoints = {{.replica = "s-1", .address = "127.0.0.1", .port = backend.port()}}};
  service.traffic.mirror = {.to = "shadow"};
  start({.services = {service,
                      {.name = "shadow",
                       .endpoints = {{.replica = "shadow-1", .address = "127.0.0.1", .port = shadow.port()}}}}});
  for (int count = 0; count < 100; ++count) ASSERT_EQ(status_in(get("")), 200);
  EXPECT_TRUE(counts("busbar_gateway_mirrors_total{service=\"s\"} 64\n"));
  EXPECT_TRUE(counts("busbar_gateway_mirrors_dropped_total{service=\"s\"} 36\n"));
  may_end.count_down();
}

TEST_F(GatewayFairness, ASecondReplicaIsAskedWhereTheFirstIsSlow) {
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

TEST_F(GatewayFairness, HedgesHaveABudgetAndNeverRepeatWhatMayNotBe) {
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

TEST_F(GatewayFairness, AReplicaThatFailsItsHealthChecksIsLeftOut) {
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

TEST_F(GatewayFairness, WorkIsCountedInTokensUntilTheStreamEnds) {
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
