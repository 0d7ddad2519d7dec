#include "route/demand_book.h"

#include <algorithm>

namespace busbar::route {
namespace {

constexpr std::int64_t kLeastSilenceMs = 10'000;
constexpr std::int64_t kMostIntervalMs = 600'000;

}  // namespace

void DemandBook::take(const Demand& demand, TimeMs now_ms) {
  Gateway& gateway = gateways_[demand.gateway];
  const std::int64_t silence_ms = 3 * std::clamp<std::int64_t>(demand.interval_ms, 0, kMostIntervalMs);
  gateway.expires_ms = now_ms + std::max(silence_ms, kLeastSilenceMs);
  gateway.table_version = demand.table_version;
  for (const ServiceDemand& service : demand.services) gateway.services.insert_or_assign(service.name, service);
}

std::vector<std::string> DemandBook::expire(TimeMs now_ms) {
  std::vector<std::string> affected;
  for (auto it = gateways_.begin(); it != gateways_.end();) {
    if (it->second.expires_ms > now_ms) {
      ++it;
      continue;
    }
    for (const auto& [name, service] : it->second.services) affected.push_back(name);
    it = gateways_.erase(it);
  }
  return affected;
}

std::optional<TimeMs> DemandBook::next_expiry_ms() const {
  std::optional<TimeMs> next;
  for (const auto& [name, gateway] : gateways_) next = std::min(next.value_or(gateway.expires_ms), gateway.expires_ms);
  return next;
}

void DemandBook::forget_service(const std::string& service) {
  for (auto& [name, gateway] : gateways_) gateway.services.erase(service);
}

DemandBook::Total DemandBook::total(std::string_view service) const {
  Total total;
  for (const auto& [name, gateway] : gateways_) {
    const auto found = gateway.services.find(service);
    if (found == gateway.services.end()) continue;
    total.waiting += found->second.waiting;
    total.running += found->second.running;
  }
  return total;
}

std::uint32_t DemandBook::running_on(std::string_view service, std::string_view replica) const {
  std::uint32_t running = 0;
  for (const auto& [name, gateway] : gateways_) {
    const auto found = gateway.services.find(service);
    if (found == gateway.services.end()) continue;
    for (const ServiceDemand::Replica& one : found->second.replicas) {
      if (one.replica == replica) running += one.running;
    }
  }
  return running;
}

bool DemandBook::is_idle(std::string_view service, std::string_view replica, std::uint64_t table_version) const {
  return running_on(service, replica) == 0 &&
         std::all_of(gateways_.begin(), gateways_.end(),
                     [table_version](const auto& gateway) { return gateway.second.table_version >= table_version; });
}

Loads DemandBook::loads() const {
  Loads loads;
  for (const auto& [name, gateway] : gateways_) {
    for (const auto& [service, demand] : gateway.services) {
      for (const ServiceDemand::Replica& replica : demand.replicas) {
        if (replica.running > 0) loads.running[replica.replica][name] += replica.running;
      }
    }
  }
  return loads;
}

}  // namespace busbar::route
