#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/units.h"
#include "route/loads.h"
#include "route/table.h"

namespace busbar::route {

/// What each gateway said last, and what all of them say together. Pure; not thread-safe. Gateways that are silent for
/// three of their intervals (at least 10 s) are forgotten by `expire`.
class DemandBook {
 public:
  void take(const Demand& demand, TimeMs now_ms);
  /// Forgets gateways that are silent; the services that they had something of.
  std::vector<std::string> expire(TimeMs now_ms);
  /// When `expire` has something to do next.
  std::optional<TimeMs> next_expiry_ms() const;
  void forget_service(const std::string& service);

  struct Total {
    std::uint32_t waiting = 0;
    std::uint32_t running = 0;
  };
  Total total(std::string_view service) const;
  std::uint32_t running_on(std::string_view service, std::string_view replica) const;
  /// Every gateway routes by a table of at least this version, and none has anything on the replica.
  bool is_idle(std::string_view service, std::string_view replica, std::uint64_t table_version) const;
  bool has_gateways() const { return !gateways_.empty(); }
  std::size_t gateway_count() const { return gateways_.size(); }
  /// What each has at each replica.
  Loads loads() const;

 private:
  struct Gateway {
    TimeMs expires_ms = 0;
    std::uint64_t table_version = 0;
    std::map<std::string, ServiceDemand, std::less<>> services = {};
  };
  std::map<std::string, Gateway, std::less<>> gateways_;
};

}  // namespace busbar::route
