#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/json.h"
#include "model/rate.h"

/// Who calls services: tenants and their keys, as servers tell gateways. Plain values and their JSON.
namespace busbar::route {

/// What lets a client call services. The key itself is told once, when it is made; nobody keeps more than its hash,
/// which is enough since it is 256 random bits.
struct Key {
  std::string id = {};                     ///< Public: for logs, counts and to revoke it.
  std::string sha256 = {};                 ///< 64 lower-case hex digits.
  std::string user = {};                   ///< Who made it.
  std::string tenant = {};                 ///< Whose limits and share its requests count to.
  std::vector<std::string> services = {};  ///< That it may call; empty: all that let its tenant in.
  model::RateLimits rates = {};
  friend bool operator==(const Key&, const Key&) = default;
};

/// Who shares services with others: a queue's or a user's name. One that nobody has described has the defaults.
struct Tenant {
  std::string name = {};
  std::uint32_t weight = 1;  ///< Share of a service that has not enough for all.
  model::RateLimits rates = {};
  friend bool operator==(const Tenant&, const Tenant&) = default;
};

Json to_json(const Key& key);
Json to_json(const Tenant& tenant);
Result<Key> key_from_json(const Json& json);
Result<Tenant> tenant_from_json(const Json& json);

/// Adds "requests" and "tokens" where they are bounded.
void add_rates(Json& json, const model::RateLimits& rates);

}  // namespace busbar::route
