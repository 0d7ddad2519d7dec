#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>

#include <algorithm>
#include <cstring>
#include <set>
#include <utility>

#include "gateway/internal/shared_state.h"

namespace busbar::gateway::internal {
namespace {

Result<EndpointEntry> make_endpoint(const route::Endpoint& endpoint) {
  EndpointEntry entry;
  entry.speaks_http2 = endpoint.protocol == model::ReplicaProtocol::kHttp2;
  auto* v4 = reinterpret_cast<sockaddr_in*>(&entry.address);
  auto* v6 = reinterpret_cast<sockaddr_in6*>(&entry.address);
  if (inet_pton(AF_INET, endpoint.address.c_str(), &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(endpoint.port);
    entry.address_size = sizeof(*v4);
  } else if (inet_pton(AF_INET6, endpoint.address.c_str(), &v6->sin6_addr) == 1) {
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(endpoint.port);
    entry.address_size = sizeof(*v6);
  } else {
    return make_error(ErrorCode::kInvalidArgument, fmt::format("replica \"{}\": \"{}\" is not an IPv4 or IPv6 address",
                                                               endpoint.replica, endpoint.address));
  }
  return entry;
}

std::string lower(std::string_view text) {
  std::string result(text);
  for (char& c : result) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c | 0x20);
  }
  return result;
}

using States = std::map<std::string, std::shared_ptr<EndpointState>, std::less<>>;

States states_of(const ServiceEntry* previous) {
  States states;
  if (previous == nullptr) return states;
  for (const EndpointEntry& endpoint : previous->endpoints) states.emplace(endpoint.state->replica, endpoint.state);
  return states;
}

Result<std::shared_ptr<const ServiceEntry>> make_service(route::Service service, const ServiceEntry* previous,
                                                         std::size_t workers, std::uint32_t gateways) {
  auto entry = std::make_shared<ServiceEntry>();
  const States states = states_of(previous);
  for (const route::Endpoint& endpoint : service.endpoints) {
    TRY_ASSIGN(EndpointEntry made, make_endpoint(endpoint));
    const auto known = states.find(endpoint.replica);
    made.state = known != states.end() ? known->second : std::make_shared<EndpointState>(endpoint.replica);
    entry->endpoints.push_back(std::move(made));
    entry->has_revisions = entry->has_revisions || endpoint.revision != service.endpoints.front().revision;
  }
  entry->picker = route::Picker(service);
  entry->limits = {service.access.rates, gateways};
  const bool wants_prefixes = service.traffic.affinity.kind == model::AffinityKind::kPrefix;
  entry->value = std::move(service);
  entry->state = previous != nullptr ? previous->state : std::make_shared<ServiceState>(workers);
  if (wants_prefixes) entry->state->want_prefixes();
  return std::shared_ptr<const ServiceEntry>(std::move(entry));
}

/// As OpenAI's list has it.
std::string models_text(const std::vector<std::shared_ptr<const ServiceEntry>>& services) {
  Json data = Json::array();
  std::set<std::string> seen;
  const auto add = [&data, &seen](const std::string& model, const std::string& owner) {
    if (!seen.insert(model).second) return;
    data.push(Json::object({{"id", model}, {"object", "model"}, {"created", 0}, {"owned_by", owner}}));
  };
  for (const auto& service : services) {
    for (const std::string& model : service->value.models) add(model, service->value.name);
    for (const route::Endpoint& endpoint : service->value.endpoints) {
      for (const std::string& adapter : endpoint.adapters) add(adapter, service->value.name);
    }
  }
  return Json::object({{"object", "list"}, {"data", std::move(data)}}).dump();
}

}  // namespace

Result<std::shared_ptr<const Directory>> Directory::make(route::Table table, const Directory* previous,
                                                         std::size_t workers) {
  auto directory = std::make_shared<Directory>();
  directory->version_ = table.version;
  directory->callers_ = Callers::make(std::move(table.keys), std::move(table.tenants), table.gateways,
                                      previous == nullptr ? nullptr : previous->callers_);
  for (route::Service& service : table.services) {
    const int known = previous == nullptr ? -1 : previous->by_name(service.name);
    const ServiceEntry* before = known < 0 ? nullptr : previous->services()[static_cast<std::size_t>(known)].get();
    TRY_ASSIGN(std::shared_ptr<const ServiceEntry> entry,
               make_service(std::move(service), before, workers, table.gateways));
    const int index = static_cast<int>(directory->services_.size());
    directory->by_name_.emplace(entry->value.name, index);
    for (const std::string& host : entry->value.hosts) directory->by_host_.emplace(lower(host), index);
    for (const std::string& model : entry->value.models) directory->by_model_.emplace(model, index);
    for (const route::Endpoint& endpoint : entry->value.endpoints) {
      for (const std::string& adapter : endpoint.adapters) directory->by_adapter_.emplace(adapter, index);
    }
    directory->services_.push_back(std::move(entry));
  }
  directory->is_closed_ = !directory->services_.empty() &&
                          std::all_of(directory->services_.begin(), directory->services_.end(), [](const auto& each) {
                            return each->value.access.auth == model::ServiceAuth::kKey;
                          });
  directory->models_json_ = models_text(directory->services_);
  return std::shared_ptr<const Directory>(std::move(directory));
}

Directory::Target Directory::by_model(std::string_view model) const {
  if (const int service = find(by_model_, model); service >= 0) return {.service = service};
  if (const int service = find(by_adapter_, model); service >= 0) return {.service = service, .adapter = model};
  if (const int service = find(by_name_, model); service >= 0) return {.service = service};
  const std::size_t colon = model.rfind(':');
  if (colon == std::string_view::npos) return {};
  int service = find(by_model_, model.substr(0, colon));
  if (service < 0) service = find(by_name_, model.substr(0, colon));
  const std::string_view adapter = model.substr(colon + 1);
  if (service < 0 || adapter.empty()) return {};
  for (const route::Endpoint& endpoint : services_[static_cast<std::size_t>(service)]->value.endpoints) {
    if (std::find(endpoint.adapters.begin(), endpoint.adapters.end(), adapter) == endpoint.adapters.end()) continue;
    return {.service = service, .adapter = adapter, .is_qualified = true};
  }
  return {};
}

int Directory::by_host(std::string_view host) const {
  if (by_host_.empty() || host.size() > 255) return -1;
  // Nearly all write it in small letters.
  if (const int service = find(by_host_, host); service >= 0) return service;
  char lowered[255];
  for (std::size_t index = 0; index < host.size(); ++index) {
    const char c = host[index];
    lowered[index] = c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c;
  }
  return find(by_host_, std::string_view(lowered, host.size()));
}

}  // namespace busbar::gateway::internal
