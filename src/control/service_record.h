#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/json.h"
#include "base/units.h"
#include "model/job.h"
#include "route/table.h"

namespace busbar::control {

/// Where a replica stands. Its job says more (queued, starting ...).
enum class ReplicaPhase {
  kStarting,  ///< Not ready yet.
  kReady,     ///< Given requests.
  kUnready,   ///< Was ready; its health check fails.
  kDraining,  ///< Finishes what it has.
  kStopping,  ///< Its job is being stopped.
  kPaused,    ///< Started and found ready, then paused until it is needed: has its cards, uses no CPU.
};
std::string_view replica_phase_name(ReplicaPhase phase);

/// One gang of a service: a job of its own.
struct Replica {
  std::uint64_t number = 0;
  model::JobId job = {};
  std::uint32_t revision = 1;
  ReplicaPhase phase = ReplicaPhase::kStarting;
  std::uint32_t attempt = 0;  ///< Whose address this is; 0: it has none.
  std::string address = {};
  std::uint16_t port = 0;
  TimeMs created_ms = 0;
  TimeMs ready_ms = 0;              ///< Since when this attempt is ready; 0: it has not been.
  TimeMs phase_ms = 0;              ///< Since when it is in its phase.
  std::uint64_t drain_version = 0;  ///< Of the route table that first says that it drains.
  std::string detail = {};          ///< What its health check last said.

  /// Serves, or is on its way to.
  bool is_active() const { return phase < ReplicaPhase::kDraining; }
  friend bool operator==(const Replica&, const Replica&) = default;
};

struct ServiceRevision {
  std::uint32_t number = 1;
  model::JobSpec spec = {};
  friend bool operator==(const ServiceRevision&, const ServiceRevision&) = default;
};

/// A service: what its user wants, its revisions and its replicas. A plain value; a row of the store holds the same.
struct ServiceRecord {
  std::string user = {};
  ServiceRevision current = {};
  /// While an update goes on: the revision that served before it.
  std::optional<ServiceRevision> stable = {};
  /// What `rollback` goes back to.
  std::optional<ServiceRevision> previous = {};
  std::uint32_t last_revision = 1;
  std::uint32_t desired = 0;
  std::uint64_t last_replica = 0;
  std::vector<Replica> replicas = {};  ///< By number, ascending.
  std::int64_t start_ms = 0;           ///< How long a replica took from its start to ready; smoothed. 0: not known.
  std::uint32_t failures = 0;          ///< Replicas in a row that ended by themselves soon after their start.
  TimeMs retry_ms = 0;                 ///< No replica is started before.
  std::string last_error = {};
  TimeMs canary_until_ms = 0;  ///< 0: no canary is being watched.
  bool is_deleted = false;     ///< Forgotten when its last replica is gone.
  TimeMs created_ms = 0;
  TimeMs changed_ms = 0;  ///< When its user last changed it.

  const std::string& name() const { return current.spec.name; }
  const model::ServiceSpec& service() const { return *current.spec.service; }
  std::size_t ready_count() const;
  /// How many paused replicas there should be, within the bound on all: `warm` of them or, where any are kept, as many
  /// as `expected` says will be needed soon.
  std::uint32_t wanted_paused(std::uint32_t expected) const;
  friend bool operator==(const ServiceRecord&, const ServiceRecord&) = default;
};

/// "vad-3"; "vad-3.2" for its second attempt, since that is another process at another address.
std::string endpoint_name(const ServiceRecord& record, const Replica& replica);
/// Replicas of one need not be replaced by replicas of the other: only bounds, routes and limits differ.
bool has_same_program(const model::JobSpec& left, const model::JobSpec& right);
/// What gateways are told of it.
route::Service to_route(const ServiceRecord& record);

Json to_json(const ServiceRecord& record);
/// kDataCorrupt for what `to_json` did not write.
Result<ServiceRecord> service_record_from_json(const Json& json);

}  // namespace busbar::control
