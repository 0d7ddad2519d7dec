#include "route/loads.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

namespace busbar::route {

Json to_json(const Loads& loads) {
  Json replicas = Json::object();
  for (const auto& [replica, gateways] : loads.running) {
    Json each = Json::object();
    for (const auto& [gateway, running] : gateways) each.set(gateway, running);
    replicas.set(replica, std::move(each));
  }
  return Json::object({{"running", std::move(replicas)}});
}

Result<Loads> loads_from_json(const Json& json) {
  Loads loads;
  for (const auto& [replica, gateways] : json["running"].members()) {
    for (const auto& [gateway, running] : gateways.members()) {
      if (!running.is_int() || running.as_int() < 0 || running.as_int() > std::numeric_limits<std::uint32_t>::max()) {
        return make_error(ErrorCode::kInvalidArgument,
                          fmt::format("load of replica \"{}\": {} is no number of requests", replica, running.dump()));
      }
      if (running.as_int() > 0) loads.running[replica][gateway] = static_cast<std::uint32_t>(running.as_int());
    }
  }
  return loads;
}

std::map<std::string, std::uint32_t, std::less<>> others_of(const Loads& loads, std::string_view own) {
  std::map<std::string, std::uint32_t, std::less<>> others;
  for (const auto& [replica, gateways] : loads.running) {
    for (const auto& [gateway, running] : gateways) {
      if (gateway != own) others[replica] += running;
    }
  }
  return others;
}

}  // namespace busbar::route
