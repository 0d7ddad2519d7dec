#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "model/rate.h"

namespace busbar::model {

/// What a replica speaks to the gateway.
enum class ReplicaProtocol {
  kHttp1,
  kHttp2,  ///< In clear text, without an upgrade (prior knowledge); gRPC's servers do.
};
/// "http1", "http2".
std::string_view replica_protocol_name(ReplicaProtocol protocol);
std::optional<ReplicaProtocol> replica_protocol_from_name(std::string_view name);

/// How it is found out that a replica can serve: a GET that is answered 2xx, gRPC's own health service, or, with
/// neither, an accepted connection.
struct HealthCheck {
  std::string path = {};
  std::optional<std::string> grpc = {};  ///< The service asked for at grpc.health.v1; "": the server as a whole.
  std::int64_t every_ms = 1'000;         ///< Once it has been ready; before, as often as makes sense.
  std::int64_t timeout_ms = 1'000;
  std::uint32_t failures = 3;       ///< In a row, before it is given no more requests.
  std::int64_t start_ms = 600'000;  ///< From its start until it must have been ready once.
  friend bool operator==(const HealthCheck&, const HealthCheck&) = default;
};

/// A new revision is tried on a part of the requests before the others follow.
struct CanaryPolicy {
  std::uint32_t weight = 10;                ///< Percent of the requests.
  std::uint32_t abort_above_permille = 50;  ///< Failed requests in a thousand, beyond which it is taken back.
  /// Its 99th percentile of the time for an answer, in thousandths of that of the revision before it, beyond which it
  /// is taken back; 0: not looked at.
  std::uint32_t abort_above_latency_permille = 0;
  std::int64_t hold_ms = 60'000;  ///< How long it is watched.
  std::string header = {};        ///< Requests with this header field go to the new revision; "": none.
  std::string header_value = {};  ///< Only those where it has this value; "": whatever it is.
  friend bool operator==(const CanaryPolicy&, const CanaryPolicy&) = default;
};

/// What a gateway lets wait and pass, as route::Limits. 0: no bound.
struct ServiceLimits {
  std::uint32_t concurrency = 64;
  std::uint32_t waiting = 1024;
  std::uint32_t waiting_each = 256;  ///< Of one tenant.
  std::int64_t wait_ms = 60'000;
  std::int64_t response_ms = 600'000;
  std::int64_t max_body_bytes = 64 << 20;
  friend bool operator==(const ServiceLimits&, const ServiceLimits&) = default;
};

/// Whether the gateway wants a key of those who call.
enum class ServiceAuth { kNone, kKey };
/// "none", "key".
std::optional<ServiceAuth> service_auth_from_name(std::string_view name);

/// Who may call, and how much all together.
struct ServiceAccess {
  ServiceAuth auth = ServiceAuth::kNone;
  std::vector<std::string> allow = {};  ///< Tenants and users whose keys are let in; empty: all.
  RateLimits rates = {};                ///< Of all callers together.
  friend bool operator==(const ServiceAccess&, const ServiceAccess&) = default;
};

/// By what requests that belong together find the same replica.
enum class AffinityKind {
  kNone,
  kCookie,  ///< A cookie's value.
  kHeader,  ///< A header field's value.
  kPrefix,  ///< The beginning of a language model's prompt, so that its replica has it in memory.
};
/// "none", "cookie", "header", "prefix".
std::string_view affinity_name(AffinityKind kind);
std::optional<AffinityKind> affinity_from_name(std::string_view name);

/// Given up for a request whose replica has more than `bound_permille` of the mean load.
struct Affinity {
  AffinityKind kind = AffinityKind::kNone;
  std::string name = {};  ///< Of the cookie or field.
  std::uint32_t bound_permille = 1'250;
  friend bool operator==(const Affinity&, const Affinity&) = default;
};

/// A part of the requests goes to another service too; its answers are thrown away.
struct Mirror {
  std::string to = {};  ///< "": none.
  std::uint32_t percent = 100;
  friend bool operator==(const Mirror&, const Mirror&) = default;
};

/// A request that has no answer yet is sent to a second replica; who answers first counts.
struct Hedge {
  std::int64_t after_ms = 0;  ///< 0: never.
  std::uint32_t percent = 5;  ///< Of the requests, at most.
  friend bool operator==(const Hedge&, const Hedge&) = default;
};

struct TrafficPolicy {
  Affinity affinity = {};
  Mirror mirror = {};
  Hedge hedge = {};
  friend bool operator==(const TrafficPolicy&, const TrafficPolicy&) = default;
};

/// What makes a job a service: its replicas, and how requests find them. A plain value.
struct ServiceSpec {
  std::uint16_t port = 0;  ///< 0: leased for each replica, told by $PORT.
  ReplicaProtocol protocol = ReplicaProtocol::kHttp1;
  std::uint32_t min_replicas = 1;
  std::uint32_t max_replicas = 1;
  std::uint32_t warm = 0;    ///< Beyond those that are needed: started, then paused; within max_replicas.
  std::uint32_t target = 8;  ///< Requests that one replica should have at once.
  HealthCheck health = {};
  std::int64_t drain_ms = 30'000;       ///< How long a replica may finish what it has before it is stopped.
  std::vector<std::string> hosts = {};  ///< Lower-case, without port.
  std::vector<std::string> models = {};
  std::vector<std::string> adapters = {};  ///< LoRA adapters that each replica has loaded.
  ServiceLimits limits = {};
  ServiceAccess access = {};
  TrafficPolicy traffic = {};
  std::optional<CanaryPolicy> canary = {};
  friend bool operator==(const ServiceSpec&, const ServiceSpec&) = default;
};

inline constexpr std::uint32_t kMaxReplicas = 1'000;

}  // namespace busbar::model
