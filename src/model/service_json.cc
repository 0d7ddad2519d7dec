#include "model/service_json.h"

#include <algorithm>
#include <array>
#include <limits>
#include <utility>

#include "base/units.h"
#include "model/internal/object_reader.h"
#include "model/spec_text.h"

namespace busbar::model {
namespace {

using internal::kMaxInt;
using internal::kMaxU32;
using internal::milli_to_json;
using internal::ObjectReader;

Json texts(const std::vector<std::string>& values) {
  Json list = Json::array();
  for (const std::string& value : values) list.push(value);
  return list;
}

std::int64_t duration(ObjectReader& reader, const char* key, std::int64_t fallback_ms) {
  return reader.parsed<std::int64_t>(key, fallback_ms, [](std::string_view text) { return parse_duration_ms(text); });
}

std::uint32_t count(ObjectReader& reader, const char* key, std::uint32_t fallback) {
  return static_cast<std::uint32_t>(reader.integer(key, 0, kMaxU32, fallback));
}

Json to_json(const HealthCheck& health) {
  Json json = Json::object();
  if (!health.path.empty()) json.set("path", health.path);
  if (health.grpc) json.set("grpc", *health.grpc);
  json.set("every", format_exact_duration_ms(health.every_ms));
  json.set("timeout", format_exact_duration_ms(health.timeout_ms));
  json.set("failures", health.failures);
  json.set("start", format_exact_duration_ms(health.start_ms));
  return json;
}

Result<HealthCheck> health_from_json(const Json& json) {
  ObjectReader reader(json, "health");
  HealthCheck health;
  health.path = reader.text("path");
  if (json.find("grpc") != nullptr) health.grpc = reader.text("grpc");
  health.every_ms = duration(reader, "every", health.every_ms);
  health.timeout_ms = duration(reader, "timeout", health.timeout_ms);
  health.failures = count(reader, "failures", health.failures);
  health.start_ms = duration(reader, "start", health.start_ms);
  TRY(reader.finish());
  return health;
}

Json to_json(const CanaryPolicy& canary) {
  Json json = Json::object({{"weight", canary.weight},
                            {"abort_above_error_rate", milli_to_json(canary.abort_above_permille)},
                            {"hold", format_exact_duration_ms(canary.hold_ms)}});
  if (canary.abort_above_latency_permille != 0) {
    json.set("abort_above_latency", milli_to_json(canary.abort_above_latency_permille));
  }
  if (!canary.header.empty()) json.set("header", canary.header);
  if (!canary.header_value.empty()) json.set("header_value", canary.header_value);
  return json;
}

Result<CanaryPolicy> canary_from_json(const Json& json) {
  ObjectReader reader(json, "canary");
  CanaryPolicy canary;
  canary.weight = count(reader, "weight", canary.weight);
  canary.abort_above_permille =
      static_cast<std::uint32_t>(reader.milli("abort_above_error_rate", canary.abort_above_permille));
  canary.abort_above_latency_permille = static_cast<std::uint32_t>(reader.milli("abort_above_latency", 0));
  canary.hold_ms = duration(reader, "hold", canary.hold_ms);
  canary.header = reader.text("header");
  canary.header_value = reader.text("header_value");
  TRY(reader.finish());
  return canary;
}

void add_limits(Json& json, const ServiceLimits& limits) {
  const ServiceLimits defaults;
  if (limits.concurrency != defaults.concurrency) json.set("concurrency", limits.concurrency);
  if (limits.waiting != defaults.waiting) json.set("waiting", limits.waiting);
  if (limits.waiting_each != defaults.waiting_each) json.set("waiting_each", limits.waiting_each);
  if (limits.wait_ms != defaults.wait_ms) json.set("wait", format_exact_duration_ms(limits.wait_ms));
  if (limits.response_ms != defaults.response_ms) json.set("response", format_exact_duration_ms(limits.response_ms));
  if (limits.max_body_bytes != defaults.max_body_bytes) json.set("max_body", limits.max_body_bytes);
}

ServiceLimits read_limits(ObjectReader& reader) {
  ServiceLimits limits;
  limits.concurrency = count(reader, "concurrency", limits.concurrency);
  limits.waiting = count(reader, "waiting", limits.waiting);
  limits.waiting_each = count(reader, "waiting_each", limits.waiting_each);
  limits.wait_ms = duration(reader, "wait", limits.wait_ms);
  limits.response_ms = duration(reader, "response", limits.response_ms);
  limits.max_body_bytes = reader.integer("max_body", 0, kMaxInt, limits.max_body_bytes);
  return limits;
}

void add_access(Json& json, const ServiceAccess& access) {
  if (access.auth == ServiceAuth::kKey) json.set("auth", "key");
  if (!access.allow.empty()) json.set("allow", texts(access.allow));
  if (access.rates.requests.is_bounded()) json.set("requests", format_rate(access.rates.requests));
  if (access.rates.tokens.is_bounded()) json.set("tokens", format_rate(access.rates.tokens));
}

ServiceAccess read_access(ObjectReader& reader) {
  ServiceAccess access;
  access.auth = reader.named<ServiceAuth>("auth", access.auth, service_auth_from_name);
  access.allow = reader.texts("allow");
  access.rates.requests = reader.parsed<Rate>("requests", {}, parse_rate);
  access.rates.tokens = reader.parsed<Rate>("tokens", {}, parse_rate);
  return access;
}

constexpr std::array<std::string_view, 2> kProtocols = {"http1", "http2"};
constexpr std::array<std::string_view, 4> kAffinities = {"none", "cookie", "header", "prefix"};

}  // namespace

std::string_view replica_protocol_name(ReplicaProtocol protocol) {
  return kProtocols[static_cast<std::size_t>(protocol)];
}

std::optional<ReplicaProtocol> replica_protocol_from_name(std::string_view name) {
  const auto* found = std::find(kProtocols.begin(), kProtocols.end(), name);
  if (found == kProtocols.end()) return std::nullopt;
  return static_cast<ReplicaProtocol>(found - kProtocols.begin());
}

std::string_view affinity_name(AffinityKind kind) {
  return kAffinities[static_cast<std::size_t>(kind)];
}

std::optional<AffinityKind> affinity_from_name(std::string_view name) {
  const auto* found = std::find(kAffinities.begin(), kAffinities.end(), name);
  if (found == kAffinities.end()) return std::nullopt;
  return static_cast<AffinityKind>(found - kAffinities.begin());
}

Json to_json(const TrafficPolicy& traffic) {
  Json json = Json::object();
  if (traffic.affinity.kind != AffinityKind::kNone) {
    json.set("affinity", Json::object({{"by", affinity_name(traffic.affinity.kind)},
                                       {"name", traffic.affinity.name},
                                       {"bound", milli_to_json(traffic.affinity.bound_permille)}}));
  }
  if (!traffic.mirror.to.empty()) {
    json.set("mirror", Json::object({{"to", traffic.mirror.to}, {"percent", traffic.mirror.percent}}));
  }
  if (traffic.hedge.after_ms > 0) {
    json.set("hedge", Json::object({{"after", format_exact_duration_ms(traffic.hedge.after_ms)},
                                    {"percent", traffic.hedge.percent}}));
  }
  return json;
}

namespace {

TrafficPolicy read_traffic(ObjectReader& reader) {
  TrafficPolicy traffic;
  traffic.affinity = reader.nested<Affinity>("affinity", {}, [](const Json& nested) -> Result<Affinity> {
    ObjectReader inner(nested, "affinity");
    Affinity affinity;
    affinity.kind = inner.named<AffinityKind>("by", affinity.kind, affinity_from_name);
    affinity.name = inner.text("name");
    affinity.bound_permille = static_cast<std::uint32_t>(inner.milli("bound", affinity.bound_permille));
    TRY(inner.finish());
    return affinity;
  });
  traffic.mirror = reader.nested<Mirror>("mirror", {}, [](const Json& nested) -> Result<Mirror> {
    ObjectReader inner(nested, "mirror");
    Mirror mirror;
    mirror.to = inner.text("to");
    mirror.percent = static_cast<std::uint32_t>(inner.integer("percent", 0, 100, mirror.percent));
    TRY(inner.finish());
    return mirror;
  });
  traffic.hedge = reader.nested<Hedge>("hedge", {}, [](const Json& nested) -> Result<Hedge> {
    ObjectReader inner(nested, "hedge");
    Hedge hedge;
    hedge.after_ms = duration(inner, "after", hedge.after_ms);
    hedge.percent = static_cast<std::uint32_t>(inner.integer("percent", 0, 100, hedge.percent));
    TRY(inner.finish());
    return hedge;
  });
  return traffic;
}

}  // namespace

std::optional<ServiceAuth> service_auth_from_name(std::string_view name) {
  if (name == "none") return ServiceAuth::kNone;
  if (name == "key") return ServiceAuth::kKey;
  return std::nullopt;
}

Json to_json(const ServiceSpec& service) {
  Json json = Json::object();
  if (service.port != 0) json.set("port", static_cast<int>(service.port));
  if (service.protocol != ReplicaProtocol::kHttp1) json.set("protocol", replica_protocol_name(service.protocol));
  if (service.min_replicas == service.max_replicas) {
    json.set("replicas", service.min_replicas);
  } else {
    json.set("replicas", format_nodes(service.min_replicas, service.max_replicas));
  }
  if (service.warm > 0) json.set("warm", service.warm);
  json.set("target", service.target);
  json.set("health", to_json(service.health));
  json.set("drain", format_exact_duration_ms(service.drain_ms));
  if (!service.hosts.empty()) json.set("hosts", texts(service.hosts));
  if (!service.models.empty()) json.set("models", texts(service.models));
  add_limits(json, service.limits);
  add_access(json, service.access);
  if (!service.adapters.empty()) json.set("adapters", texts(service.adapters));
  const Json traffic = to_json(service.traffic);
  for (const auto& [key, value] : traffic.members()) json.set(key, value);
  if (service.canary) json.set("canary", to_json(*service.canary));
  return json;
}

Result<ServiceSpec> service_from_json(const Json& json) {
  ObjectReader reader(json, "service");
  ServiceSpec service;
  service.port = static_cast<std::uint16_t>(reader.integer("port", 0, 65'535, 0));
  service.protocol = reader.named<ReplicaProtocol>("protocol", service.protocol, replica_protocol_from_name);
  const auto replicas = reader.parsed<std::pair<std::uint32_t, std::uint32_t>>(
      "replicas", {1, 1}, [](std::string_view text) { return parse_replicas(text); });
  service.min_replicas = replicas.first;
  service.max_replicas = replicas.second;
  service.warm = count(reader, "warm", service.warm);
  service.target = count(reader, "target", service.target);
  service.health = reader.nested<HealthCheck>("health", {}, health_from_json);
  service.drain_ms = duration(reader, "drain", service.drain_ms);
  service.hosts = reader.texts("hosts");
  service.models = reader.texts("models");
  service.limits = read_limits(reader);
  service.access = read_access(reader);
  service.adapters = reader.texts("adapters");
  service.traffic = read_traffic(reader);
  service.canary = reader.nested<std::optional<CanaryPolicy>>(
      "canary", std::nullopt, [](const Json& nested) -> Result<std::optional<CanaryPolicy>> {
        TRY_ASSIGN(const CanaryPolicy canary, canary_from_json(nested));
        return std::optional(canary);
      });
  TRY(reader.finish());
  return service;
}

}  // namespace busbar::model
