#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <limits>
#include <optional>
#include <utility>

#include "route/table.h"

namespace busbar::route {
namespace {

constexpr std::int64_t kMaxInt = std::numeric_limits<std::int64_t>::max();
constexpr std::int64_t kMaxU32 = std::numeric_limits<std::uint32_t>::max();
constexpr std::array<std::string_view, 3> kRoles = {"any", "prefill", "decode"};

/// Reads members of one object with fallbacks and keeps the first error, which names `what`.
class Reader {
 public:
  Reader(const Json& json, std::string what) : json_(json), what_(std::move(what)) {
    if (!json.is_object()) fail("is not an object");
  }

  std::int64_t integer(std::string_view key, std::int64_t fallback, std::int64_t highest) {
    const Json* member = json_.find(key);
    if (member == nullptr) return fallback;
    if (!member->is_int() || member->as_int() < 0 || member->as_int() > highest) {
      fail(fmt::format("{} {} is not a whole number from 0 to {}", key, member->dump(), highest));
      return fallback;
    }
    return member->as_int();
  }
  std::uint32_t count(std::string_view key, std::uint32_t fallback) {
    return static_cast<std::uint32_t>(integer(key, fallback, kMaxU32));
  }
  std::uint64_t sum(std::string_view key) { return static_cast<std::uint64_t>(integer(key, 0, kMaxInt)); }
  std::string text(std::string_view key) {
    const Json* member = json_.find(key);
    if (member == nullptr) return {};
    if (!member->is_string()) fail(fmt::format("{} {} is not a text", key, member->dump()));
    return member->as_string();
  }
  bool boolean(std::string_view key) {
    const Json* member = json_.find(key);
    if (member != nullptr && !member->is_bool()) fail(fmt::format("{} {} is not true or false", key, member->dump()));
    return member != nullptr && member->as_bool();
  }
  std::vector<std::string> texts(std::string_view key) {
    std::vector<std::string> result;
    for (const Json& item : array(key)) {
      if (!item.is_string()) fail(fmt::format("{} has {}, which is not a text", key, item.dump()));
      result.push_back(item.as_string());
    }
    return result;
  }
  template <class T, class Read>
  std::vector<T> list(std::string_view key, Read read) {
    std::vector<T> result;
    for (const Json& item : array(key)) {
      Result<T> value = read(item);
      if (!value) {
        fail(value.error().message);
        break;
      }
      result.push_back(*std::move(value));
    }
    return result;
  }
  const Json& member(std::string_view key) const { return json_[key]; }
  void fail(const std::string& message) {
    if (error_.empty()) error_ = fmt::format("{}: {}", what_, message);
  }
  Result<void> finish() const {
    if (!error_.empty()) return make_error(ErrorCode::kInvalidArgument, error_);
    return {};
  }

 private:
  const Json::Array& array(std::string_view key) {
    const Json& member = json_[key];
    if (!member.is_null() && !member.is_array()) fail(fmt::format("{} is not a list", key));
    return member.items();
  }

  const Json& json_;
  std::string what_;
  std::string error_ = {};
};

Json texts_to_json(const std::vector<std::string>& texts) {
  Json json = Json::array();
  for (const std::string& text : texts) json.push(text);
  return json;
}

Json to_json(const Endpoint& endpoint) {
  Json json = Json::object({{"replica", endpoint.replica},
                            {"address", endpoint.address},
                            {"port", static_cast<int>(endpoint.port)},
                            {"weight", endpoint.weight},
                            {"revision", endpoint.revision},
                            {"role", role_name(endpoint.role)},
                            {"adapters", texts_to_json(endpoint.adapters)}});
  if (endpoint.is_draining) json.set("draining", true);
  return json;
}

Json to_json(const Service& service) {
  Json endpoints = Json::array();
  for (const Endpoint& endpoint : service.endpoints) endpoints.push(to_json(endpoint));
  return Json::object({{"name", service.name},
                       {"hosts", texts_to_json(service.hosts)},
                       {"models", texts_to_json(service.models)},
                       {"can_start", service.can_start},
                       {"start_ms", service.start_ms},
                       {"limits", Json::object({{"concurrency", service.limits.concurrency},
                                                {"waiting", service.limits.waiting},
                                                {"wait_ms", service.limits.wait_ms},
                                                {"response_ms", service.limits.response_ms},
                                                {"max_body_bytes", service.limits.max_body_bytes}})},
                       {"endpoints", std::move(endpoints)}});
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
                      .wait_ms = reader.integer("wait_ms", defaults.wait_ms, kMaxInt),
                      .response_ms = reader.integer("response_ms", defaults.response_ms, kMaxInt),
                      .max_body_bytes = reader.integer("max_body_bytes", defaults.max_body_bytes, kMaxInt)};
  TRY(reader.finish());
  return limits;
}

Result<Service> service_from_json(const Json& json) {
  Reader reader(json, fmt::format("service {}", json["name"].dump()));
  Service service{.name = reader.text("name"),
                  .hosts = reader.texts("hosts"),
                  .models = reader.texts("models"),
                  .can_start = reader.boolean("can_start"),
                  .start_ms = reader.integer("start_ms", 0, kMaxInt)};
  if (service.name.empty()) reader.fail("needs a name");
  service.endpoints = reader.list<Endpoint>(
      "endpoints", [&service](const Json& item) { return endpoint_from_json(item, service.name); });
  TRY(reader.finish());
  TRY_ASSIGN(service.limits, limits_from_json(reader.member("limits"), service.name));
  return service;
}

Json to_json(const ServiceDemand& demand) {
  Json revisions = Json::array();
  for (const ServiceDemand::Revision& revision : demand.revisions) {
    revisions.push(Json::object({{"revision", revision.revision},
                                 {"finished", revision.finished},
                                 {"failed", revision.failed},
                                 {"busy_us", revision.busy_us}}));
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
  const ServiceDemand::Revision revision{.revision = reader.count("revision", 0),
                                         .finished = reader.sum("finished"),
                                         .failed = reader.sum("failed"),
                                         .busy_us = reader.sum("busy_us")};
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
  return Json::object({{"version", table.version}, {"services", std::move(services)}});
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
  Table table{.version = reader.sum("version"), .services = reader.list<Service>("services", service_from_json)};
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
