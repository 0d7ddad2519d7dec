#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/error.h"
#include "gateway/gateway.h"
#include "net/server.h"

namespace busbar::gateway {

/// What an operator asks of a gateway, on a port of its own: /healthz (200 while it lives), /readyz (200 once it has a
/// route table), /metrics.
class Admin {
 public:
  /// Borrows `gateway`, which must outlive it.
  static Result<std::unique_ptr<Admin>> start(const Gateway& gateway, const std::string& address, std::uint16_t port);
  std::uint16_t port() const { return server_->port(); }

 private:
  class Handler;
  Admin() = default;
  std::unique_ptr<net::HttpHandler> handler_ = {};
  std::unique_ptr<net::HttpServer> server_ = {};
};

}  // namespace busbar::gateway
