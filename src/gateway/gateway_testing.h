#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "gateway/gateway.h"
#include "gateway/test_metrics.h"
#include "gateway/test_peers.h"

/// What tests of requests of HTTP/1.1 have in common: a gateway with a service "s", asked through real sockets.
namespace busbar::gateway::testing {

inline constexpr std::string_view kGet = "GET /services/s/a?b=c HTTP/1.1\r\nHost: gw\r\n\r\n";

inline route::Service service(std::vector<std::uint16_t> ports) {
  route::Service result{.name = "s"};
  for (const std::uint16_t port : ports) {
    result.endpoints.push_back({.replica = "s-" + std::to_string(port), .address = "127.0.0.1", .port = port});
  }
  return result;
}

inline std::unique_ptr<Gateway> start(std::vector<route::Service> services, GatewayOptions options = {}) {
  if (options.threads == 0) options.threads = 1;
  auto gateway = Gateway::start(std::move(options));
  EXPECT_TRUE(gateway) << gateway.error().to_string();
  EXPECT_TRUE((*gateway)->update({.version = 1, .services = std::move(services)}));
  return *std::move(gateway);
}

inline std::string ask(const Gateway& gateway, std::string_view request) {
  Peer client = Peer::connect(gateway.port());
  client.send(request);
  return client.read_message();
}

inline int status_of(std::string_view answer) {
  return answer.size() < 12 ? 0 : std::stoi(std::string(answer.substr(9, 3)));
}

}  // namespace busbar::gateway::testing
