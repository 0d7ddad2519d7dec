#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "base/units.h"
#include "model/service_json.h"
#include "route/internal/json_reader.h"
#include "route/table.h"

namespace busbar::route {
namespace {

using internal::kMaxInt;
using internal::kMaxU32;
using internal::texts_to_json;
using Reader = internal::JsonReader;

constexpr std::array<std::string_view, 3> kRoles = {"any", "prefill", "decode"};

Json to_json(const Endpoint& endpoint) {
  Json json = Json::object({{"replica", endpoint.replica},
                            {"address", endpoint.address},
                            {"port", static_cast<int>(endpoint.port)},
                            {"weight", endpoint.weight},
                            {"revision", endpoint.revision},
                            {"role", role_name(endpoint.role)},
                            {"adapters", texts_to_json(endpoint.adapters)}});
  if (endpoint.protocol != model::ReplicaProtocol::kHttp1) {
    json.set("protocol", model::replica_protocol_name(endpoint.protocol));
  }
  if (endpoint.is_draining) json.set("draining", true);
  return json;
}

Json to_json(const HeaderRule& rule) {
  return Json::object({{"header", rule.header}, {"value", rule.value}, {"revision", rule.revision}});
}

template <class T>
Json list_to_json(const std::vector<T>& values) {
  Json list = Json::array();
  for (const T& value : values) list.push(to_json(value));
  return list;
}

Json to_json(const Service& service) {
  Json endpoints = Json::array();
  for (const Endpoint& endpoint : service.endpoints) endpoints.push(to_json(endpoint));
  Json json = Json::object({{"name", service.name},
                            {"hosts", texts_to_json(service.hosts)},
                            {"models", texts_to_json(service.models)},
                            {"can_start", service.can_start},
                            {"start_ms", service.start_ms},
                            {"target", service.target},
                            {"limits", Json::object({{"concurrency", service.limits.concurrency},
                                                     {"waiting", service.limits.waiting},
                                                     {"waiting_each", service.limits.waiting_each},
                                                     {"wait_ms", service.limits.wait_ms},
                                                     {"response_ms", service.limits.response_ms},
                                                     {"max_body_bytes", service.limits.max_body_bytes}})},
                            {"endpoints", std::move(endpoints)}});
  if (service.access.auth == model::ServiceAuth::kKey) json.set("auth", "key");
  if (!service.access.allow.empty()) json.set("allow", texts_to_json(service.access.allow));
  add_rates(json, service.access.rates);
  if (service.traffic != model::TrafficPolicy{}) json.set("traffic", model::to_json(service.traffic));
  if (!service.rules.empty()) json.set("rules", list_to_json(service.rules));
  if (service.health != HealthProbe{}) {
    json.set("health", Json::object({{"path", service.health.path},
                                     {"every_ms", service.health.every_ms},
                                     {"timeout_ms", service.health.timeout_ms}}));
  }
  return json;
}

Result<Endpoint> endpoint_from_json(const Json& json, const std::string& service) {
  Reader reader(json, fmt::format("endpoint {} of service \"{}\"", json["replica"].dump(), service));
  Endpoint endpoint{.replica = reader.text("replica"),
                    .address = reader.text("address"),
                    .port = static_cast<std::uint16_t>(reader.integer("port", 0, 65'535)),
                    .weight = reader.count("weight", 100),
                    .revision = reader.count("revision", 1),
                    .adapters = reader.texts("adapters"),
                    .is_draining = reader.boolean("draining")};
  if (const std::string role = reader.text("role"); !role.empty()) {
    const auto found = std::find(kRoles.begin(), kRoles.end(), role);
    if (found == kRoles.end()) reader.fail(fmt::format("role \"{}\" is none of any, prefill, decode", role));
    endpoint.role = static_cast<Role>(found - kRoles.begin());
  }
  if (const std::string protocol = reader.text("protocol"); !protocol.empty()) {
    const auto known = model::replica_protocol_from_name(protocol);
    if (!known) reader.fail(fmt::format("protocol \"{}\" is none of http1, http2", protocol));
    endpoint.protocol = known.value_or(model::ReplicaProtocol::kHttp1);
  }
  if (endpoint.address.empty() || endpoint.port == 0) reader.fail("needs address and port");
  TRY(reader.finish());
  return endpoint;
}

Result<Limits> limits_from_json(const Json& json, const std::string& service) {
  const Limits defaults;
  if (json.is_null()) return defaults;
  Reader reader(json, fmt::format("limits of service \"{}\"", service));
  const Limits limits{.concurrency = reader.count("concurrency", defaults.concurrency),
                      .waiting = reader.count("waiting", defaults.waiting),
                      .waiting_each = reader.count("waiting_each", defaults.waiting_each),
                      .wait_ms = reader.integer("wait_ms", defaults.wait_ms, kMaxInt),
                      .response_ms = reader.integer("response_ms", defaults.response_ms, kMaxInt),
                      .max_body_bytes = reader.integer("max_body_bytes", defaults.max_body_bytes, kMaxInt)};
  TRY(reader.finish());
  return limits;
}

Result<HeaderRule> rule_from_json(const Json& json) {
  Reader reader(json, "rule");
  HeaderRule rule{
      .header = reader.text("header"), .value = reader.text("value"), .revision = reader.count("revision", 1)};
  if (rule.header.empty()) reader.fail("needs a header");
  TRY(reader.finish());
  return rule;
}

Result<HealthProbe> health_from_json(const Json& json, const std::string& service) {
  if (json.is_null()) return HealthProbe{};
  const HealthProbe defaults;
  Reader reader(json, fmt::format("health of service \"{}\"", service));
  const HealthProbe health{.path = reader.text("path"),
                           .every_ms = reader.integer("every_ms", defaults.every_ms, kMaxInt),
                           .timeout_ms = reader.integer("timeout_ms", defaults.timeout_ms, kMaxInt)};
  TRY(reader.finish());
  return health;
}

Result<model::TrafficPolicy> traffic_from_json(const Json& json, const std::string& service) {
  model::TrafficPolicy traffic;
  if (json.is_null()) return traffic;
  if (const Json& affinity = json["affinity"]; !affinity.is_null()) {
    Reader reader(affinity, fmt::format("affinity of service \"{}\"", service));
    const auto kind = model::affinity_from_name(reader.text("by"));
    if (!kind) reader.fail(fmt::format("by {} is none of none, cookie, header, prefix", affinity["by"].dump()));
    const auto bound = static_cast<std::int64_t>(affinity["bound"].as_double(1.25) * 1'000);
    traffic.affinity = {.kind = kind.value_or(model::AffinityKind::kNone),
                        .name = reader.text("name"),
                        .bound_permille = static_cast<std::uint32_t>(std::clamp<std::int64_t>(bound, 0, kMaxU32))};
    TRY(reader.finish());
  }
  if (const Json& mirror = json["mirror"]; !mirror.is_null()) {
    Reader inner(mirror, fmt::format("mirror of service \"{}\"", service));
    traffic.mirror = {.to = inner.text("to"), .percent = inner.count("percent", 100)};
    TRY(inner.finish());
  }
  if (const Json& hedge = json["hedge"]; !hedge.is_null()) {
    Reader inner(hedge, fmt::format("hedge of service \"{}\"", service));
    const auto after = parse_duration_ms(inner.text("after"));
    if (!after) inner.fail(after.error().message);
    traffic.hedge = {.after_ms = after.value_or(0), .percent = inner.count("percent", 5)};
    TRY(inner.finish());
  }
  return traffic;
}

Result<Service> service_from_json(const Json& json) {
  Reader reader(json, fmt::format("service {}", json["name"].dump()));
  Service service{.name = reader.text("name"),
                  .hosts = reader.texts("hosts"),
                  .models = reader.texts("models"),
                  .can_start = reader.boolean("can_start"),
                  .start_ms = reader.integer("start_ms", 0, kMaxInt),
                  .target = reader.count("target", 0)};
  if (service.name.empty()) reader.fail("needs a name");
  const std::string auth = reader.text("auth");
  const auto known_auth = model::service_auth_from_name(auth.empty() ? "none" : auth);
  if (!known_auth) reader.fail(fmt::format("auth \"{}\" is none of none, key", auth));
  service.access = {.auth = known_auth.value_or(model::ServiceAuth::kKey),
                    .allow = reader.texts("allow"),
                    .rates = {.requests = reader.rate("requests"), .tokens = reader.rate("tokens")}};
  service.rules = reader.list<HeaderRule>("rules", rule_from_json);
  service.endpoints = reader.list<Endpoint>(
      "endpoints", [&service](const Json& item) { return endpoint_from_json(item, service.name); });
  TRY(reader.finish());
  TRY_ASSIGN(service.traffic, traffic_from_json(reader.member("traffic"), service.name));
  TRY_ASSIGN(service.health, health_from_json(reader.member("health"), service.name));
  TRY_ASSIGN(service.limits, limits_from_json(reader.member("limits"), service.name));
  return service;
}

Json to_json(const ServiceDemand& demand) {
  Json revisions = Json::array();
  for (const ServiceDemand::Revision& revision : demand.revisions) {
    Json one = Json::object({{"revision", revision.revision},
                             {"finished", revision.finished},
                             {"failed", revision.failed},
                             {"busy_us", revision.busy_us}});
    if (!revision.latency.empty()) {
      Json latency = Json::array();
      for (const auto& [bucket, count] : revision.latency) latency.push(Json::array({bucket, count}));
      one.set("latency", std::move(latency));
    }
    revisions.push(std::move(one));
  }
  Json replicas = Json::array();
  for (const ServiceDemand::Replica& replica : demand.replicas) {
    replicas.push(Json::object({{"replica", replica.replica}, {"running", replica.running}}));
  }
  return Json::object({{"name", demand.name},
                       {"waiting", demand.waiting},
                       {"running", demand.running},
                       {"arrivals", demand.arrivals},
                       {"finished", demand.finished},
                       {"failed", demand.failed},
                       {"busy_us", demand.busy_us},
                       {"revisions", std::move(revisions)},
                       {"replicas", std::move(replicas)}});
}

Result<ServiceDemand::Revision> revision_from_json(const Json& json) {
  Reader reader(json, "revision in a demand");
  ServiceDemand::Revision revision{.revision = reader.count("revision", 0),
                                   .finished = reader.sum("finished"),
                                   .failed = reader.sum("failed"),
                                   .busy_us = reader.sum("busy_us")};
  for (const Json& pair : reader.member("latency").items()) {
    if (pair.items().size() != 2 || pair.items()[0].as_int(-1) < 0 || pair.items()[1].as_int(-1) < 0) {
      reader.fail("latency is not a list of buckets with counts");
      break;
    }
    revision.latency.emplace_back(static_cast<std::uint32_t>(std::min(pair.items()[0].as_int(), kMaxU32)),
                                  static_cast<std::uint64_t>(pair.items()[1].as_int()));
  }
  TRY(reader.finish());
  return revision;
}

Result<ServiceDemand::Replica> replica_from_json(const Json& json) {
  Reader reader(json, "replica in a demand");
  ServiceDemand::Replica replica{.replica = reader.text("replica"), .running = reader.count("running", 0)};
  TRY(reader.finish());
  return replica;
}

Result<ServiceDemand> service_demand_from_json(const Json& json) {
  Reader reader(json, fmt::format("demand for service {}", json["name"].dump()));
  ServiceDemand demand{.name = reader.text("name"),
                       .waiting = reader.count("waiting", 0),
                       .running = reader.count("running", 0),
                       .arrivals = reader.sum("arrivals"),
                       .finished = reader.sum("finished"),
                       .failed = reader.sum("failed"),
                       .busy_us = reader.sum("busy_us"),
                       .revisions = reader.list<ServiceDemand::Revision>("revisions", revision_from_json),
                       .replicas = reader.list<ServiceDemand::Replica>("replicas", replica_from_json)};
  if (demand.name.empty()) reader.fail("needs a name");
  TRY(reader.finish());
  return demand;
}

}  // namespace

std::string_view role_name(Role role) {
  return kRoles[static_cast<std::size_t>(role)];
}

Json to_json(const Table& table) {
  Json services = Json::array();
  for (const Service& service : table.services) services.push(to_json(service));
  Json json = Json::object({{"version", table.version}, {"services", std::move(services)}});
  if (!table.keys.empty()) json.set("keys", list_to_json(table.keys));
  if (!table.tenants.empty()) json.set("tenants", list_to_json(table.tenants));
  if (table.gateways != 1) json.set("gateways", table.gateways);
  return json;
}

Json to_json(const Demand& demand) {
  Json services = Json::array();
  for (const ServiceDemand& service : demand.services) services.push(to_json(service));
  return Json::object({{"gateway", demand.gateway},
                       {"table_version", demand.table_version},
                       {"interval_ms", demand.interval_ms},
                       {"services", std::move(services)}});
}

Result<Table> table_from_json(const Json& json) {
  Reader reader(json, "route table");
  Table table{.version = reader.sum("version"),
              .services = reader.list<Service>("services", service_from_json),
              .keys = reader.list<Key>("keys", key_from_json),
              .tenants = reader.list<Tenant>("tenants", tenant_from_json),
              .gateways = reader.count("gateways", 1)};
  std::sort(table.services.begin(), table.services.end(),
            [](const Service& left, const Service& right) { return left.name < right.name; });
  const auto twice =
      std::adjacent_find(table.services.begin(), table.services.end(),
                         [](const Service& left, const Service& right) { return left.name == right.name; });
  if (twice != table.services.end()) reader.fail(fmt::format("service \"{}\" stands there twice", twice->name));
  TRY(reader.finish());
  return table;
}

Result<Demand> demand_from_json(const Json& json) {
  Reader reader(json, "demand");
  Demand demand{.gateway = reader.text("gateway"),
                .table_version = reader.sum("table_version"),
                .interval_ms = reader.integer("interval_ms", 0, kMaxInt),
                .services = reader.list<ServiceDemand>("services", service_demand_from_json)};
  if (demand.gateway.empty()) reader.fail("needs the gateway's name");
  TRY(reader.finish());
  return demand;
}

}  // namespace busbar::route
