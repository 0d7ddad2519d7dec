#pragma once

#include <gtest/gtest.h>

#include <cstdio>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "gateway/gateway.h"
#include "gateway/test_metrics.h"
#include "gateway/test_peers.h"
#include "os/crypto/crypto.h"

/// What the tests of policies share: a gateway with callers, asked through real sockets.
namespace busbar::gateway::testing {

inline route::Service guarded(std::uint16_t port) {
  return {.name = "s",
          .models = {"m"},
          .access = {.auth = model::ServiceAuth::kKey},
          .endpoints = {{.replica = "s-1", .address = "127.0.0.1", .port = port}}};
}

inline route::Key key(const std::string& text, const std::string& tenant, model::RateLimits rates = {}) {
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
  void until(const std::string& line) const { EXPECT_TRUE(comes_to_show(*gateway_, line)); }

  std::unique_ptr<Gateway> gateway_ = {};
  std::uint64_t version_ = 0;
};

inline int status_in(std::string_view answer) {
  return answer.size() < 12 ? 0 : std::stoi(std::string(answer.substr(9, 3)));
}

inline bool holds(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

inline Backend::Serve says(std::string answer) {
  return [answer = std::move(answer)](Peer& peer) {
    while (!peer.read_message().empty()) peer.send(answer);
  };
}

inline std::string with_length(const std::string& body, const std::string& fields = "") {
  return "HTTP/1.1 200 OK\r\n" + fields + "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

inline std::string chunk(const std::string& text) {
  char size[20] = {};
  std::snprintf(size, sizeof(size), "%zx\r\n", text.size());
  return size + text + "\r\n";
}

/// Many clients at once.
class GatewayTraffic : public GatewayPolicy {
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

}  // namespace busbar::gateway::testing
