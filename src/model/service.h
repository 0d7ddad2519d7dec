#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace busbar::model {

/// How it is found out that a replica can serve: an HTTP GET that is answered 2xx, or, without a path, an accepted
/// connection.
struct HealthCheck {
  std::string path = {};
  std::int64_t every_ms = 1'000;  ///< Once it has been ready; before, as often as makes sense.
  std::int64_t timeout_ms = 1'000;
  std::uint32_t failures = 3;       ///< In a row, before it is given no more requests.
  std::int64_t start_ms = 600'000;  ///< From its start until it must have been ready once.
  friend bool operator==(const HealthCheck&, const HealthCheck&) = default;
};

/// A new revision is tried on a part of the requests before the others follow.
struct CanaryPolicy {
  std::uint32_t weight = 10;                ///< Percent of the requests.
  std::uint32_t abort_above_permille = 50;  ///< Failed requests in a thousand, beyond which it is taken back.
  std::int64_t hold_ms = 60'000;            ///< How long it is watched.
  friend bool operator==(const CanaryPolicy&, const CanaryPolicy&) = default;
};

/// What a gateway lets wait and pass, as route::Limits. 0: no bound.
struct ServiceLimits {
  std::uint32_t concurrency = 64;
  std::uint32_t waiting = 1024;
  std::int64_t wait_ms = 60'000;
  std::int64_t response_ms = 600'000;
  std::int64_t max_body_bytes = 64 << 20;
  friend bool operator==(const ServiceLimits&, const ServiceLimits&) = default;
};

/// What makes a job a service: its replicas, and how requests find them. A plain value.
struct ServiceSpec {
  std::uint16_t port = 0;  ///< 0: leased for each replica, told by $PORT.
  std::uint32_t min_replicas = 1;
  std::uint32_t max_replicas = 1;
  std::uint32_t target = 8;  ///< Requests that one replica should have at once.
  HealthCheck health = {};
  std::int64_t drain_ms = 30'000;       ///< How long a replica may finish what it has before it is stopped.
  std::vector<std::string> hosts = {};  ///< Lower-case, without port.
  std::vector<std::string> models = {};
  ServiceLimits limits = {};
  std::optional<CanaryPolicy> canary = {};
  friend bool operator==(const ServiceSpec&, const ServiceSpec&) = default;
};

inline constexpr std::uint32_t kMaxReplicas = 1'000;

}  // namespace busbar::model
