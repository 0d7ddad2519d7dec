#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/json.h"

namespace busbar::route {

/// What each gateway has under way at each replica, as the server heard last: sent to all of them, so that none takes
/// itself for the only one. Stale by a fraction of a second, which is enough to weigh replicas by.
struct Loads {
  /// By replica, then gateway; only what is not 0.
  std::map<std::string, std::map<std::string, std::uint32_t, std::less<>>, std::less<>> running = {};
  friend bool operator==(const Loads&, const Loads&) = default;
};

Json to_json(const Loads& loads);
/// kInvalidArgument names the replica.
Result<Loads> loads_from_json(const Json& json);

/// What all gateways but `own` have at each replica.
std::map<std::string, std::uint32_t, std::less<>> others_of(const Loads& loads, std::string_view own);

}  // namespace busbar::route
