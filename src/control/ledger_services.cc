#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"
#include "control/ledger.h"
#include "model/job_json.h"

// Services: their replicas are jobs of this ledger.
namespace busbar::control {
namespace {

constexpr std::string_view kRouteVersion = "route_version";

std::string state_of(const ServiceRecord& record) {
  const std::size_t ready = record.ready_count();
  if (record.is_deleted) return "deleting";
  if (record.failures > 0 && (ready < record.desired || record.stable)) return "failing";
  if (record.stable) return "updating";
  if (record.desired == 0) return "idle";
  return ready >= record.desired ? "ready" : "starting";
}

}  // namespace

Result<void> Ledger::recover_services() {
  TRY_ASSIGN(const std::vector<store::ServiceRow> rows, store_.services());
  TRY_ASSIGN(const std::optional<std::string> version, store_.meta(kRouteVersion));
  TRY_ASSIGN(const std::vector<store::CallerRow> callers, store_.callers());
  TRY(callers_.recover(callers));
  services_.set_callers(callers_.routed_keys(), callers_.routed_tenants());
  const std::int64_t last = version ? parse_int(*version).value_or(0) : 0;
  return services_.recover(rows, static_cast<std::uint64_t>(last), now_ms());
}

void Ledger::run_services() {
  for (const model::JobId job : dirty_jobs_) services_.on_job(job);
  services_.run(now_ms());
}

void Ledger::take_service_changes() {
  ServiceChanges changes = services_.take_changes();
  step_.transaction.services = std::move(changes.rows);
  step_.transaction.removed_services = std::move(changes.removed);
  if (changes.table_version) {
    step_.transaction.meta.emplace_back(kRouteVersion, std::to_string(*changes.table_version));
  }
  step_.services = std::move(changes.view);
}

void Ledger::take_caller_changes() {
  CallerChanges changes = callers_.take_changes();
  if (changes.is_empty()) return;
  step_.transaction.callers = std::move(changes.rows);
  step_.transaction.removed_callers = std::move(changes.removed);
  services_.set_callers(callers_.routed_keys(), callers_.routed_tenants());
}

Result<api::KeyStatus> Ledger::create_key(const api::KeyRequest& request, const NewKey& key, const std::string& user) {
  TRY_ASSIGN(api::KeyStatus status, callers_.create(request, key, user, now_ms()));
  note({}, "key_created", fmt::format("\"{}\" ({}) of tenant {} by {}", status.name, status.id, status.tenant, user));
  return status;
}

Result<api::KeyStatus> Ledger::revoke_key(const std::string& id_or_name, const std::string& actor) {
  TRY_ASSIGN(api::KeyStatus status, callers_.revoke(id_or_name));
  note({}, "key_revoked", fmt::format("\"{}\" ({}) of tenant {} by {}", status.name, status.id, status.tenant, actor));
  return status;
}

Result<api::TenantStatus> Ledger::put_tenant(const std::string& name, const api::TenantRequest& request,
                                             const std::string& actor) {
  TRY_ASSIGN(api::TenantStatus status, callers_.put_tenant(name, request));
  note({}, "tenant_changed", fmt::format("\"{}\" by {}", name, actor));
  return status;
}

Result<api::TenantStatus> Ledger::remove_tenant(const std::string& name, const std::string& actor) {
  TRY_ASSIGN(api::TenantStatus status, callers_.remove_tenant(name));
  note({}, "tenant_reset", fmt::format("\"{}\" by {}", name, actor));
  return status;
}

Result<model::JobId> Ledger::start_replica(const model::JobSpec& spec, const std::string& user) {
  TRY_ASSIGN(const SubmitOutcome outcome,
             submit({.members = {spec}, .user = user, .request_id = "service", .may_wait_infeasible = true}));
  return outcome.jobs.front().id;
}

void Ledger::stop_replica(model::JobId job) {
  // Over already: the next look at the service sees it.
  (void)cancel(job, std::nullopt, "service", "");
}

void Ledger::pause_replica(model::JobId job, bool is_paused) {
  const auto found = find_replica(job);
  if (!found || found->attempt == 0 || found->is_attempt_over) return;
  step_.orders.push_back(PauseOrder{.attempt = {job, found->attempt}, .is_paused = is_paused});
}

std::optional<ReplicaJobs::Job> Ledger::find_replica(model::JobId job) const {
  const auto found = jobs_.find(job);
  if (found == jobs_.end()) return std::nullopt;
  const JobRecord& record = found->second;
  const bool has_attempt = !record.attempts.empty();
  return Job{.state = record.state,
             .attempt = has_attempt ? record.attempts.back().number : 0,
             .is_attempt_over = has_attempt && record.attempts.back().ended_ms != 0,
             .reason = record.reason};
}

Result<api::ServiceStatus> Ledger::apply_service(const model::JobSpec& spec, const std::string& user, bool may_wait) {
  TRY(check_submit({.members = {spec}}));
  if (!may_wait) {
    if (const auto placed = placement_when_empty(spec); !placed) return tl::unexpected(placed.error());
  }
  TRY(services_.apply(spec, user, now_ms()));
  run_services();
  return service_status(spec.name);
}

Result<api::ServiceStatus> Ledger::remove_service(const std::string& name) {
  TRY(services_.remove(name, now_ms()));
  TRY_ASSIGN(api::ServiceStatus status, service_status(name));
  run_services();
  return status;
}

Result<api::ServiceStatus> Ledger::scale_service(const std::string& name, std::uint32_t min, std::uint32_t max) {
  TRY(services_.scale(name, min, max, now_ms()));
  run_services();
  return service_status(name);
}

Result<api::ServiceStatus> Ledger::roll_back_service(const std::string& name) {
  TRY(services_.roll_back(name, now_ms()));
  run_services();
  return service_status(name);
}

Result<api::ServiceStatus> Ledger::service_status(const std::string& name) const {
  TRY_ASSIGN(const ServiceRecord* found, services_.find(name));
  const ServiceRecord& record = *found;
  const model::ServiceSpec& spec = record.service();
  const route::DemandBook::Total total = services_.demand().total(name);
  api::ServiceStatus status{
      .name = name,
      .user = record.user,
      .queue = record.current.spec.queue,
      .state = state_of(record),
      .revision = record.current.number,
      .updating_from = record.stable ? record.stable->number : 0,
      .previous_revision = record.previous ? record.previous->number : 0,
      .min_replicas = spec.min_replicas,
      .max_replicas = spec.max_replicas,
      .desired = record.is_deleted ? 0 : record.desired,
      .ready = static_cast<std::uint32_t>(record.ready_count()),
      .target = spec.target,
      .waiting = total.waiting,
      .running = total.running,
      .requests_per_second = static_cast<double>(services_.arrivals_per_second_milli(name, now_ms())) / 1'000,
      .start_ms = record.start_ms,
      .failures = record.failures,
      .last_error = record.last_error,
      .created_ms = record.created_ms,
      .changed_ms = record.changed_ms,
      .hosts = spec.hosts,
      .models = spec.models,
      .spec = model::to_json(record.current.spec)};
  std::vector<std::string> unpaused;
  std::string why;
  for (const Replica& replica : record.replicas) {
    const auto job = find_replica(replica.job);
    api::ReplicaStatus one{.name = endpoint_name(record, replica),
                           .job = replica.job,
                           .revision = replica.revision,
                           .state = std::string(replica_phase_name(replica.phase)),
                           .created_ms = replica.created_ms,
                           .ready_ms = replica.ready_ms,
                           .detail = replica.detail};
    one.running = services_.demand().running_on(name, one.name);
    if (replica.port != 0) one.address = fmt::format("{}:{}", replica.address, replica.port);
    const bool is_waiting = job && (job->state == model::JobState::kQueued || job->state == model::JobState::kBlocked);
    if (replica.phase == ReplicaPhase::kStarting && is_waiting) {
      one.state = std::string(model::job_state_name(job->state));
      one.detail = job->reason;
    }
    if (std::string refusal = services_.pause_refusal(replica.job); !refusal.empty()) {
      unpaused.push_back(one.name);
      one.detail = fmt::format("not paused: {}", refusal);
      why = std::move(refusal);
    }
    status.replicas.push_back(std::move(one));
  }
  if (!unpaused.empty()) {
    const std::string_view does = unpaused.size() == 1 ? "is kept warm without being paused, so it uses"
                                                       : "are kept warm without being paused, so they use";
    status.warning =
        fmt::format("{} {} CPU while nobody needs it: {}; or write warm: 0, then replicas start when needed",
                    fmt::join(unpaused, ", "), does, why);
  }
  return status;
}

api::ServiceList Ledger::list_services() const {
  api::ServiceList list;
  for (const auto& [name, record] : services_.all()) {
    auto status = service_status(name);
    if (!status) continue;
    status->spec = {};
    list.services.push_back(*std::move(status));
  }
  return list;
}

}  // namespace busbar::control
