#include "control/services.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "base/text.h"
#include "control/internal/service_plan.h"
#include "model/spec_text.h"

namespace busbar::control {
namespace {

/// The hold of a canary begins when its first replica is ready; until then this stands for its end.
constexpr TimeMs kCanaryNotReady = std::numeric_limits<TimeMs>::max() / 4;

route::ScalePolicy policy_of(const model::ServiceSpec& spec, const ServiceOptions& options) {
  const std::uint32_t room = spec.limits.concurrency == 0 ? spec.target : spec.limits.concurrency;
  return {.min = spec.min_replicas,
          .max = spec.max_replicas,
          .target = std::min(spec.target, room),
          .down_after_ms = options.scale_down_after_ms};
}

/// One that `left` has too, or "".
std::string shared_name(const std::vector<std::string>& left, const std::vector<std::string>& right) {
  const auto found = std::find_first_of(left.begin(), left.end(), right.begin(), right.end());
  return found == left.end() ? std::string() : *found;
}

}  // namespace

Result<void> Services::recover(const std::vector<store::ServiceRow>& rows, std::uint64_t table_version, TimeMs now_ms) {
  since_ms_ = now_ms;
  table_.version = table_version;
  for (const store::ServiceRow& row : rows) {
    const auto read = [&row]() -> Result<ServiceRecord> {
      TRY_ASSIGN(const Json json, parse_json(row.record_json));
      return service_record_from_json(json);
    };
    auto record = read();
    if (!record) return with_context(fmt::format("row of service \"{}\"", row.name), record.error());
    for (const Replica& replica : record->replicas) {
      service_of_job_.emplace(replica.job, row.name);
      // The server may have died before the engine heard of it; told again it does no harm.
      if (record->service().warm > 0) is_paused_.emplace(replica.job, replica.phase != ReplicaPhase::kPaused);
    }
    records_.emplace(row.name, *std::move(record));
    due_.insert(row.name);
  }
  refresh_view();
  is_view_changed_ = true;  // followers of this life know nothing yet
  return {};
}

Result<const ServiceRecord*> Services::find(const std::string& name) const {
  const auto found = records_.find(name);
  if (found != records_.end()) return &found->second;
  std::vector<std::string> names;
  for (const auto& [known, record] : records_) names.push_back(known);
  const auto near = nearest_name(name, names);
  return make_error(ErrorCode::kNotFound,
                    fmt::format("no service \"{}\"; {}", name,
                                near ? fmt::format("did you mean \"{}\"?", *near) : "`busbar services` lists them"));
}

Result<ServiceRecord*> Services::find_wanted(const std::string& name) {
  TRY_ASSIGN(const ServiceRecord* record, find(name));
  if (record->is_deleted) {
    return make_error(ErrorCode::kFailedPrecondition, fmt::format("service \"{}\" is being deleted", name));
  }
  return &records_.at(name);
}

void Services::touch(const ServiceRecord& record) {
  dirty_rows_.insert(record.name());
  due_.insert(record.name());
}

route::Autoscaler& Services::scaler_of(const ServiceRecord& record, TimeMs now_ms) {
  const route::ScalePolicy policy = policy_of(record.service(), options_);
  route::Autoscaler& scaler = scalers_.try_emplace(record.name(), policy, record.desired, now_ms).first->second;
  scaler.set_policy(policy);
  return scaler;
}

/// A host or a model leads to one service.
Result<void> Services::check_routes(const model::JobSpec& spec) const {
  for (const auto& [name, record] : records_) {
    if (name == spec.name) continue;
    const std::string host = shared_name(record.service().hosts, spec.service->hosts);
    const std::string model = shared_name(record.service().models, spec.service->models);
    if (host.empty() && model.empty()) continue;
    return make_error(ErrorCode::kFailedPrecondition,
                      fmt::format("{} \"{}\" leads to service \"{}\" already; choose another, or delete that service",
                                  host.empty() ? "model" : "host", host.empty() ? model : host, name));
  }
  return {};
}

Result<void> Services::apply(const model::JobSpec& spec, const std::string& user, TimeMs now_ms) {
  TRY(check_routes(spec));
  const auto found = records_.find(spec.name);
  if (found == records_.end()) {
    ServiceRecord record{.user = user,
                         .current = {.number = 1, .spec = spec},
                         .desired = spec.service->min_replicas,
                         .created_ms = now_ms,
                         .changed_ms = now_ms};
    std::erase(removed_, spec.name);
    jobs_.note_service("service_made", fmt::format("\"{}\" by {}", spec.name, user));
    touch(records_.emplace(spec.name, std::move(record)).first->second);
    return {};
  }
  ServiceRecord& record = found->second;
  if (record.current.spec == spec && !record.is_deleted) return {};
  record.is_deleted = false;
  record.user = user;
  record.changed_ms = now_ms;
  if (has_same_program(record.current.spec, spec)) {
    record.current.spec = spec;
    jobs_.note_service("service_changed", fmt::format("\"{}\" by {}", spec.name, user));
  } else {
    begin_revision(record, {.number = ++record.last_revision, .spec = spec}, now_ms);
    jobs_.note_service("service_update",
                       fmt::format("\"{}\" to revision {} by {}", spec.name, record.last_revision, user));
  }
  touch(record);
  return {};
}

/// What serves now stays until the next revision does.
void Services::begin_revision(ServiceRecord& record, ServiceRevision next, TimeMs now_ms) {
  const bool serves = std::any_of(record.replicas.begin(), record.replicas.end(), [&record](const Replica& replica) {
    return replica.revision == record.current.number && replica.phase == ReplicaPhase::kReady;
  });
  if (!record.stable && (serves || record.desired == 0)) record.stable = record.current;
  record.current = std::move(next);
  record.failures = 0;
  record.retry_ms = 0;
  record.last_error.clear();
  record.changed_ms = now_ms;
  record.canary_until_ms = serves && record.service().canary && record.stable ? kCanaryNotReady : 0;
  canaries_.erase(record.name());
}

Result<void> Services::remove(const std::string& name, TimeMs now_ms) {
  TRY(find(name));
  ServiceRecord& record = records_.at(name);
  if (record.is_deleted) return {};
  record.is_deleted = true;
  record.changed_ms = now_ms;
  jobs_.note_service("service_deleted", fmt::format("\"{}\"", name));
  touch(record);
  return {};
}

Result<void> Services::scale(const std::string& name, std::uint32_t min, std::uint32_t max, TimeMs now_ms) {
  TRY_ASSIGN(ServiceRecord * record, find_wanted(name));
  if (record->service().port != 0 && max > 1) {
    return make_error(ErrorCode::kFailedPrecondition,
                      fmt::format("service \"{}\" listens on the fixed port {}, so it has at most one replica; leave "
                                  "service.port out and listen on $PORT",
                                  name, record->service().port));
  }
  model::ServiceSpec& spec = *record->current.spec.service;
  if (spec.min_replicas == min && spec.max_replicas == max) return {};
  spec.min_replicas = min;
  spec.max_replicas = max;
  record->changed_ms = now_ms;
  jobs_.note_service("service_scaled", fmt::format("\"{}\" to {} replicas", name, model::format_nodes(min, max)));
  touch(*record);
  return {};
}

Result<void> Services::roll_back(const std::string& name, TimeMs now_ms) {
  TRY_ASSIGN(ServiceRecord * record, find_wanted(name));
  if (record->stable) {
    record->current = *std::exchange(record->stable, std::nullopt);
    record->canary_until_ms = 0;
    record->failures = 0;
    record->retry_ms = 0;
    record->changed_ms = now_ms;
  } else if (record->previous) {
    ServiceRevision previous = *std::exchange(record->previous, std::nullopt);
    begin_revision(*record, std::move(previous), now_ms);
    record->canary_until_ms = 0;  // what one flees from needs no second look
  } else {
    return make_error(ErrorCode::kFailedPrecondition,
                      fmt::format("service \"{}\" has no revision before {}", name, record->current.number));
  }
  jobs_.note_service("service_rollback", fmt::format("\"{}\" to revision {}", name, record->current.number));
  touch(*record);
  return {};
}

void Services::on_demand(const route::Demand& demand, TimeMs now_ms) {
  demand_.take(demand, now_ms);
  for (const route::ServiceDemand& one : demand.services) {
    const auto found = records_.find(one.name);
    if (found == records_.end()) continue;
    const route::DemandBook::Total total = demand_.total(one.name);
    scaler_of(found->second, now_ms)
        .observe(now_ms, {.waiting = total.waiting,
                          .running = total.running,
                          .arrivals = one.arrivals,
                          .finished = one.finished,
                          .busy_us = one.busy_us});
    if (found->second.canary_until_ms != 0) {
      for (const route::ServiceDemand::Revision& revision : one.revisions) {
        RevisionCount& count = canaries_[one.name][revision.revision];
        count.finished += revision.finished;
        count.failed += revision.failed;
        for (const auto& [bucket, times] : revision.latency) count.latency.add(bucket, times);
      }
    }
    due_.insert(one.name);
  }
  // A table that is known now may be what a draining replica waits for.
  for (const auto& [name, record] : records_) {
    const bool has_draining = std::any_of(record.replicas.begin(), record.replicas.end(), [](const Replica& replica) {
      return replica.phase == ReplicaPhase::kDraining;
    });
    if (has_draining) due_.insert(name);
  }
}

void Services::on_health(const std::string& endpoint, bool is_ready, const std::string& detail, TimeMs now_ms) {
  for (auto& [name, record] : records_) {
    for (Replica& replica : record.replicas) {
      if (!replica.is_active() || replica.port == 0 || endpoint_name(record, replica) != endpoint) continue;
      if (!is_ready) {
        if (replica.phase == ReplicaPhase::kReady) {
          set_phase(record, replica, ReplicaPhase::kUnready, now_ms);
          jobs_.note_service("replica_unready", fmt::format("{}: {}", endpoint, detail));
        }
        if (replica.detail != detail) touch(record);
        replica.detail = detail;
        return;
      }
      if (replica.phase == ReplicaPhase::kReady) return;
      const bool is_spare = replica.ready_ms == 0 && wanted_paused(record) > 0 &&
                            replica.revision == record.current.number && record.ready_count() >= record.desired;
      if (replica.ready_ms == 0) {
        const std::int64_t took_ms = std::max<std::int64_t>(1, now_ms - replica.created_ms);
        if (replica.attempt == 1)
          record.start_ms = record.start_ms == 0 ? took_ms : (3 * record.start_ms + took_ms) / 4;
        replica.ready_ms = now_ms;
        jobs_.note_service("replica_ready", fmt::format("{} after {}", endpoint, format_duration_ms(took_ms)));
      }
      replica.detail.clear();
      set_phase(record, replica, is_spare ? ReplicaPhase::kPaused : ReplicaPhase::kReady, now_ms);
      if (record.canary_until_ms == kCanaryNotReady && replica.revision == record.current.number) {
        record.canary_until_ms = now_ms + record.service().canary.value_or(model::CanaryPolicy{}).hold_ms;
      }
      return;
    }
  }
}

void Services::on_pause_refused(model::AttemptId attempt, const std::string& error) {
  const auto found = service_of_job_.find(attempt.job);
  if (found == service_of_job_.end()) return;
  const ServiceRecord& record = records_.at(found->second);
  for (const Replica& replica : record.replicas) {
    if (replica.job != attempt.job || replica.attempt != attempt.number) continue;
    // It may be needed again by now.
    if (replica.phase != ReplicaPhase::kPaused) return;
    refused_pauses_.insert_or_assign(replica.job, error);
    jobs_.note_service("pause_refused", fmt::format("{}: {}", endpoint_name(record, replica), error));
  }
}

std::string Services::pause_refusal(model::JobId replica) const {
  const auto found = refused_pauses_.find(replica);
  return found == refused_pauses_.end() ? std::string() : found->second;
}

void Services::on_job(model::JobId job) {
  if (const auto found = service_of_job_.find(job); found != service_of_job_.end()) due_.insert(found->second);
}

void Services::on_endpoint(model::AttemptId attempt, const std::string& address, std::uint16_t port, TimeMs now_ms) {
  const auto found = service_of_job_.find(attempt.job);
  if (found == service_of_job_.end()) return;
  ServiceRecord& record = records_.at(found->second);
  for (Replica& replica : record.replicas) {
    if (replica.job != attempt.job) continue;
    if (replica.attempt == attempt.number && replica.address == address && replica.port == port) return;
    replica.attempt = attempt.number;
    replica.address = address;
    replica.port = port;
    replica.ready_ms = 0;
    if (replica.is_active() || replica.phase == ReplicaPhase::kPaused) {
      set_phase(record, replica, ReplicaPhase::kStarting, now_ms);
    }
    touch(record);
  }
}

std::vector<model::AttemptId> Services::without_endpoint() const {
  std::vector<model::AttemptId> attempts;
  for (const auto& [name, record] : records_) {
    for (const Replica& replica : record.replicas) {
      const auto job = jobs_.find_replica(replica.job);
      if (!job || job->attempt == 0 || job->is_attempt_over) continue;
      if (replica.port == 0 || replica.attempt != job->attempt) attempts.push_back({replica.job, job->attempt});
    }
  }
  return attempts;
}

void Services::set_callers(std::vector<route::Key> keys, std::vector<route::Tenant> tenants) {
  table_.keys = std::move(keys);
  table_.tenants = std::move(tenants);
  ++table_.version;
  is_view_changed_ = true;
}

ServiceChanges Services::take_changes() {
  ServiceChanges changes;
  for (const std::string& name : std::exchange(dirty_rows_, {})) {
    const auto found = records_.find(name);
    if (found != records_.end()) changes.rows.push_back({name, to_json(found->second).dump()});
  }
  changes.removed = std::exchange(removed_, {});
  if (std::exchange(is_view_changed_, false)) {
    changes.table_version = table_.version;
    changes.view = ServiceView{.table = table_, .targets = targets_};
  }
  return changes;
}

std::int64_t Services::arrivals_per_second_milli(const std::string& name, TimeMs now_ms) const {
  const auto found = scalers_.find(name);
  return found == scalers_.end() ? 0 : found->second.arrivals_per_second_milli(now_ms);
}

}  // namespace busbar::control
