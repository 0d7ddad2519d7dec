#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "model/service.h"

namespace busbar::control {

/// A replica to be checked.
struct HealthTarget {
  std::string id = {};  ///< The endpoint's name in the route table.
  std::string address = {};
  std::uint16_t port = 0;
  model::ReplicaProtocol protocol = model::ReplicaProtocol::kHttp1;
  std::string path = {};                         ///< Empty: a connection is enough.
  std::optional<std::string> grpc_service = {};  ///< Asked for at grpc.health.v1, over HTTP/2; no path then.
  std::int64_t every_ms = 1'000;
  std::int64_t timeout_ms = 1'000;
  std::uint32_t failures = 3;
  bool is_ready = false;  ///< As far as its owner knows; counts when the target is new here.
  friend bool operator==(const HealthTarget&, const HealthTarget&) = default;
};
/// Equal but for `is_ready`.
bool has_same_check(const HealthTarget& left, const HealthTarget& right);

/// Asks replicas over TCP, HTTP/1.1, HTTP/2 and gRPC whether they can serve. One thread for all; nothing blocks, each
/// check has its deadline. A target that is not ready is asked every 10 ms at first, then more and more rarely; one
/// that is ready at its own interval. Thread-safe. Cost of a wake-up: O(targets).
class HealthChecker {
 public:
  /// Called from the checker's thread at each change of `is_ready`, and when the reason of a failure changes.
  using Sink = std::function<void(const std::string& id, bool is_ready, const std::string& detail)>;

  static Result<std::unique_ptr<HealthChecker>> start(Sink sink);
  virtual ~HealthChecker() = default;

  /// All that is to be checked from now on. What was checked before, just so, goes on as it is.
  virtual void watch(std::vector<HealthTarget> targets) = 0;
  /// Joins the thread; the sink is not called any more. Idempotent.
  virtual void stop() = 0;
};

}  // namespace busbar::control
