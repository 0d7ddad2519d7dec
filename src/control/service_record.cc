#include "control/service_record.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "model/job_json.h"

namespace busbar::control {
namespace {

constexpr std::array<std::string_view, 6> kPhases = {"starting", "ready", "unready", "draining", "stopping", "paused"};
/// Replicas that keep failing promise nothing to those who wait.
constexpr std::uint32_t kHopelessFailures = 3;
/// An endpoint's weight where all have the same.
constexpr std::uint32_t kPlainWeight = 100;

Json to_json(const Replica& replica) {
  return Json::object({{"number", replica.number},
                       {"job", replica.job.value},
                       {"revision", replica.revision},
                       {"phase", replica_phase_name(replica.phase)},
                       {"attempt", replica.attempt},
                       {"address", replica.address},
                       {"port", static_cast<int>(replica.port)},
                       {"created_ms", replica.created_ms},
                       {"ready_ms", replica.ready_ms},
                       {"phase_ms", replica.phase_ms},
                       {"drain_version", replica.drain_version},
                       {"detail", replica.detail}});
}

Replica replica_from_json(const Json& json) {
  const auto phase = std::find(kPhases.begin(), kPhases.end(), json["phase"].as_string());
  return {.number = static_cast<std::uint64_t>(json["number"].as_int()),
          .job = {static_cast<std::uint64_t>(json["job"].as_int())},
          .revision = static_cast<std::uint32_t>(json["revision"].as_int()),
          .phase = static_cast<ReplicaPhase>(phase == kPhases.end() ? 0 : phase - kPhases.begin()),
          .attempt = static_cast<std::uint32_t>(json["attempt"].as_int()),
          .address = json["address"].as_string(),
          .port = static_cast<std::uint16_t>(json["port"].as_int()),
          .created_ms = json["created_ms"].as_int(),
          .ready_ms = json["ready_ms"].as_int(),
          .phase_ms = json["phase_ms"].as_int(),
          .drain_version = static_cast<std::uint64_t>(json["drain_version"].as_int()),
          .detail = json["detail"].as_string()};
}

Json to_json(const ServiceRevision& revision) {
  return Json::object({{"number", revision.number}, {"spec", model::to_json(revision.spec)}});
}

Result<ServiceRevision> revision_from_json(const Json& json) {
  TRY_ASSIGN(model::JobSpec spec, model::job_spec_from_json(json["spec"]));
  if (!spec.service) return make_error(ErrorCode::kDataCorrupt, "its spec is no service");
  return ServiceRevision{.number = static_cast<std::uint32_t>(json["number"].as_int()), .spec = std::move(spec)};
}

Result<std::optional<ServiceRevision>> optional_revision(const Json& json) {
  if (json.is_null()) return std::optional<ServiceRevision>{};
  TRY_ASSIGN(ServiceRevision revision, revision_from_json(json));
  return std::optional(std::move(revision));
}

bool is_routed(const Replica& replica) {
  const bool has_served = replica.phase == ReplicaPhase::kReady || replica.phase == ReplicaPhase::kDraining;
  return has_served && replica.port != 0 && replica.ready_ms != 0;
}

/// What the replicas of a revision run; of one that nobody wants any more, what is known is the wanted one.
const model::ServiceSpec& spec_of(const ServiceRecord& record, std::uint32_t revision) {
  return record.stable && record.stable->number == revision ? *record.stable->spec.service : record.service();
}

/// While a canary is watched, its replicas together get their percent of the requests, the others the rest.
std::uint32_t weight_of(const ServiceRecord& record, const Replica& replica) {
  if (record.canary_until_ms == 0 || !record.service().canary) return kPlainWeight;
  const auto is_current = [&record](const Replica& one) { return one.revision == record.current.number; };
  std::uint32_t same = 0;
  std::uint32_t others = 0;
  for (const Replica& one : record.replicas) {
    if (one.phase != ReplicaPhase::kReady) continue;
    ++(is_current(one) == is_current(replica) ? same : others);
  }
  if (others == 0 || same == 0) return kPlainWeight;
  const std::uint32_t percent = record.service().canary->weight;
  const std::uint32_t share = is_current(replica) ? percent : 100 - percent;
  return share == 0 ? 0 : std::max(1u, share * kPlainWeight / same);
}

}  // namespace

std::string_view replica_phase_name(ReplicaPhase phase) {
  return kPhases[static_cast<std::size_t>(phase)];
}

std::size_t ServiceRecord::ready_count() const {
  return static_cast<std::size_t>(std::count_if(replicas.begin(), replicas.end(),
                                                [](const Replica& one) { return one.phase == ReplicaPhase::kReady; }));
}

std::uint32_t ServiceRecord::wanted_paused(std::uint32_t expected) const {
  // An update replaces what serves; what waits is made anew after it.
  if (is_deleted || stable || service().warm == 0) return 0;
  const std::uint32_t room = service().max_replicas - std::min(service().max_replicas, desired);
  return std::min(room, std::max(service().warm, expected - std::min(expected, desired)));
}

std::string endpoint_name(const ServiceRecord& record, const Replica& replica) {
  return replica.attempt > 1 ? fmt::format("{}-{}.{}", record.name(), replica.number, replica.attempt)
                             : fmt::format("{}-{}", record.name(), replica.number);
}

bool has_same_program(const model::JobSpec& left, const model::JobSpec& right) {
  model::JobSpec like_right = left;
  like_right.service = right.service;
  const std::uint16_t left_port = left.service ? left.service->port : std::uint16_t{0};
  const std::uint16_t right_port = right.service ? right.service->port : std::uint16_t{0};
  return like_right == right && left_port == right_port;
}

route::Service to_route(const ServiceRecord& record) {
  const model::ServiceSpec& spec = record.service();
  route::Service service{
      .name = record.name(),
      .hosts = spec.hosts,
      .models = spec.models,
      .can_start = !record.is_deleted && spec.max_replicas > 0 && record.failures < kHopelessFailures,
      .start_ms = record.start_ms,
      .target = spec.target,
      .limits = {.concurrency = spec.limits.concurrency,
                 .waiting = spec.limits.waiting,
                 .waiting_each = spec.limits.waiting_each,
                 .wait_ms = spec.limits.wait_ms,
                 .response_ms = spec.limits.response_ms,
                 .max_body_bytes = spec.limits.max_body_bytes},
      .access = spec.access,
      .traffic = spec.traffic,
      .health = {.path = spec.health.path, .every_ms = spec.health.every_ms, .timeout_ms = spec.health.timeout_ms}};
  if (spec.canary && !spec.canary->header.empty() && record.canary_until_ms != 0) {
    service.rules.push_back(
        {.header = spec.canary->header, .value = spec.canary->header_value, .revision = record.current.number});
  }
  for (const Replica& replica : record.replicas) {
    if (!is_routed(replica)) continue;
    service.endpoints.push_back({.replica = endpoint_name(record, replica),
                                 .address = replica.address,
                                 .port = replica.port,
                                 .weight = weight_of(record, replica),
                                 .revision = replica.revision,
                                 .protocol = spec_of(record, replica.revision).protocol,
                                 .adapters = spec_of(record, replica.revision).adapters,
                                 .is_draining = replica.phase == ReplicaPhase::kDraining});
  }
  return service;
}

Json to_json(const ServiceRecord& record) {
  Json replicas = Json::array();
  for (const Replica& replica : record.replicas) replicas.push(to_json(replica));
  Json json = Json::object({{"user", record.user},
                            {"current", to_json(record.current)},
                            {"last_revision", record.last_revision},
                            {"desired", record.desired},
                            {"last_replica", record.last_replica},
                            {"replicas", std::move(replicas)},
                            {"start_ms", record.start_ms},
                            {"failures", record.failures},
                            {"retry_ms", record.retry_ms},
                            {"last_error", record.last_error},
                            {"canary_until_ms", record.canary_until_ms},
                            {"deleted", record.is_deleted},
                            {"created_ms", record.created_ms},
                            {"changed_ms", record.changed_ms}});
  if (record.stable) json.set("stable", to_json(*record.stable));
  if (record.previous) json.set("previous", to_json(*record.previous));
  return json;
}

Result<ServiceRecord> service_record_from_json(const Json& json) {
  ServiceRecord record{.user = json["user"].as_string(),
                       .last_revision = static_cast<std::uint32_t>(json["last_revision"].as_int()),
                       .desired = static_cast<std::uint32_t>(json["desired"].as_int()),
                       .last_replica = static_cast<std::uint64_t>(json["last_replica"].as_int()),
                       .start_ms = json["start_ms"].as_int(),
                       .failures = static_cast<std::uint32_t>(json["failures"].as_int()),
                       .retry_ms = json["retry_ms"].as_int(),
                       .last_error = json["last_error"].as_string(),
                       .canary_until_ms = json["canary_until_ms"].as_int(),
                       .is_deleted = json["deleted"].as_bool(),
                       .created_ms = json["created_ms"].as_int(),
                       .changed_ms = json["changed_ms"].as_int()};
  TRY_ASSIGN(record.current, revision_from_json(json["current"]));
  TRY_ASSIGN(record.stable, optional_revision(json["stable"]));
  TRY_ASSIGN(record.previous, optional_revision(json["previous"]));
  for (const Json& replica : json["replicas"].items()) record.replicas.push_back(replica_from_json(replica));
  return record;
}

}  // namespace busbar::control
