#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/json.h"
#include "model/service.h"
#include "route/caller.h"

/// What server and gateways tell each other: the server says which replicas serve what (a whole `Table`, versioned),
/// a gateway says what its clients want (`Demand`). Plain values and their JSON.
namespace busbar::route {

/// What a replica of a language model does of a request. Only kAny is sent requests by this version.
enum class Role { kAny, kPrefill, kDecode };

/// Where one replica listens: its leader's address.
struct Endpoint {
  std::string replica = {};  ///< "vad-3"; the same for as long as this replica lives, never used again after it.
  std::string address = {};  ///< IPv4 or IPv6, without brackets.
  std::uint16_t port = 0;
  std::uint32_t weight = 100;  ///< Share of new requests relative to the others; 0: only those that want its revision.
  std::uint32_t revision = 1;  ///< Of the service's definition that this replica runs.
  Role role = Role::kAny;
  model::ReplicaProtocol protocol = model::ReplicaProtocol::kHttp1;
  std::vector<std::string> adapters = {};  ///< LoRA adapters it has loaded.
  bool is_draining = false;                ///< Finishes what it has, is given nothing new.
  friend bool operator==(const Endpoint&, const Endpoint&) = default;
};

/// Bounds on what a gateway lets wait and pass. 0: no bound.
struct Limits {
  std::uint32_t concurrency = 64;          ///< Requests one replica is given at once.
  std::uint32_t waiting = 1024;            ///< Requests of one gateway that may wait for a replica; beyond: 503.
  std::uint32_t waiting_each = 256;        ///< Of those, requests of one tenant.
  std::int64_t wait_ms = 60'000;           ///< How long one may wait; beyond: 503.
  std::int64_t response_ms = 600'000;      ///< From the request sent to the first byte of the answer; beyond: 504.
  std::int64_t max_body_bytes = 64 << 20;  ///< Beyond: 413.
  friend bool operator==(const Limits&, const Limits&) = default;
};

/// Requests with a header field go to one revision.
struct HeaderRule {
  std::string header = {};  ///< Lower-case.
  std::string value = {};   ///< "": whatever it is.
  std::uint32_t revision = 1;
  friend bool operator==(const HeaderRule&, const HeaderRule&) = default;
};

/// What a gateway asks replicas by itself, so that it finds out also while the server is away.
struct HealthProbe {
  std::string path = {};  ///< "": never asked.
  std::int64_t every_ms = 1'000;
  std::int64_t timeout_ms = 1'000;
  friend bool operator==(const HealthProbe&, const HealthProbe&) = default;
};

struct Service {
  std::string name = {};
  /// Names in `Host` (lower-case, without port). Besides, every service answers below /services/NAME/ on any host.
  std::vector<std::string> hosts = {};
  /// Values of "model" in the bodies of /v1/chat/completions and its like; a name of its own adapters is one too.
  std::vector<std::string> models = {};
  bool can_start = false;     ///< More replicas may be started: requests may wait even where there is no endpoint.
  std::int64_t start_ms = 0;  ///< How long a replica took to be ready, measured; 0: not known yet.
  /// Requests that one replica should have at once. When one has twice as many, and at each further multiple, the
  /// gateway says so at once. 0: only every now and then.
  std::uint32_t target = 0;
  Limits limits = {};
  model::ServiceAccess access = {};
  model::TrafficPolicy traffic = {};
  std::vector<HeaderRule> rules = {};  ///< The first that holds counts.
  HealthProbe health = {};
  std::vector<Endpoint> endpoints = {};
  friend bool operator==(const Service&, const Service&) = default;
};

/// Everything a gateway routes by. `version` grows by one with each change; a new life of the server goes on from it.
struct Table {
  std::uint64_t version = 0;
  std::vector<Service> services = {};  ///< By name, ascending.
  std::vector<Key> keys = {};
  std::vector<Tenant> tenants = {};  ///< Those that something is said of.
  std::uint32_t gateways = 1;        ///< That share the callers: each grants its part of a rate.
  friend bool operator==(const Table&, const Table&) = default;
};

/// What one gateway saw of a service since its last message. Counts and sums, so that nothing is lost by adding up.
struct ServiceDemand {
  std::string name = {};
  std::uint32_t waiting = 0;   ///< Now: requests held for want of a replica.
  std::uint32_t running = 0;   ///< Now: requests given to replicas and not finished.
  std::uint64_t arrivals = 0;  ///< Since the last message.
  std::uint64_t finished = 0;  ///< Since the last message: answers that ended.
  std::uint64_t failed = 0;    ///< Of those: 5xx, or broken off by the replica.
  std::uint64_t busy_us = 0;   ///< Of those: time from given to a replica to the end of the answer, summed.
  /// By revision: finished and failed, for canaries.
  struct Revision {
    std::uint32_t revision = 0;
    std::uint64_t finished = 0;
    std::uint64_t failed = 0;
    std::uint64_t busy_us = 0;
    /// While there is another revision: how long answers took, as buckets of a LatencySketch with their counts.
    std::vector<std::pair<std::uint32_t, std::uint64_t>> latency = {};
    friend bool operator==(const Revision&, const Revision&) = default;
  };
  std::vector<Revision> revisions = {};
  /// Now: replicas that have requests of this gateway, draining ones included. Who is not named has none.
  struct Replica {
    std::string replica = {};
    std::uint32_t running = 0;
    friend bool operator==(const Replica&, const Replica&) = default;
  };
  std::vector<Replica> replicas = {};
  friend bool operator==(const ServiceDemand&, const ServiceDemand&) = default;
};

/// POSTed by a gateway when a service without a replica is asked for (at once), every `interval_ms` where anything
/// happened or anything waits or runs, and once when it begins to route by another table: a replica that drains is
/// stopped when every gateway that knows it has nothing on it. A service that is not named is as it was said last. A
/// gateway that has not been heard of for three intervals (at least 10 s) counts for nothing.
struct Demand {
  std::string gateway = {};         ///< Made up at the gateway's start, unique.
  std::uint64_t table_version = 0;  ///< The table that it routes by.
  std::int64_t interval_ms = 0;     ///< Time that the counts cover.
  std::vector<ServiceDemand> services = {};
  friend bool operator==(const Demand&, const Demand&) = default;
};

std::string_view role_name(Role role);

Json to_json(const Table& table);
Json to_json(const Demand& demand);
/// kInvalidArgument names the service and the field. Unknown keys are skipped: server and gateway may differ in age.
/// Addresses are checked to be numeric by the gateway, not here.
Result<Table> table_from_json(const Json& json);
Result<Demand> demand_from_json(const Json& json);

}  // namespace busbar::route
