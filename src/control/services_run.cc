#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "control/internal/service_plan.h"
#include "control/services.h"
#include "launch/launch_plan.h"

// What Services does about what it knows: follow jobs, scale, start, drain, stop.
namespace busbar::control {
namespace {

/// A replica that was ready for so long did not fail at its start.
constexpr std::int64_t kSteadyMs = 10'000;
/// A replica whose health check fails for so long is replaced.
constexpr std::int64_t kUnreadyMs = 30'000;
/// Within this time after a start of the server every gateway that there is has been heard of.
constexpr std::int64_t kGatewaysHeardMs = 3'000;
/// Where no gateway is known there may be one that has nothing to say: it has this time to hear of the drain.
constexpr std::int64_t kTellMs = 1'000;
/// A share of failed requests means nothing before so many are known.
constexpr std::uint64_t kLeastCanaryRequests = 20;
/// Neither does its 99th percentile before one of a hundred answers lies beyond it.
constexpr std::uint64_t kLeastLatencySamples = 200;
constexpr int kMostSteps = 8;

/// None after the first failure, then 0.5 s, doubling up to a minute.
std::int64_t backoff_ms(std::uint32_t failures) {
  if (failures <= 1) return 0;
  return std::min<std::int64_t>(60'000, std::int64_t{500} << std::min(failures - 2, 10u));
}

void keep_least(std::optional<TimeMs>& least, std::optional<TimeMs> other) {
  if (other) least = std::min(least.value_or(*other), *other);
}

}  // namespace

void Services::run(TimeMs now_ms) {
  for (const std::string& name : demand_.expire(now_ms)) {
    const auto found = records_.find(name);
    if (found == records_.end()) continue;
    const route::DemandBook::Total total = demand_.total(name);
    scaler_of(found->second, now_ms).observe(now_ms, {.waiting = total.waiting, .running = total.running});
    due_.insert(name);
  }
  for (const auto& [name, at_ms] : wakeups_) {
    if (at_ms <= now_ms) due_.insert(name);
  }
  count_gateways();
  if (due_.empty()) return;
  for (const std::string& name : std::exchange(due_, {})) {
    const auto found = records_.find(name);
    if (found == records_.end()) continue;
    reconcile(found->second, now_ms);
    if (!found->second.is_deleted || !found->second.replicas.empty()) continue;
    records_.erase(found);
    scalers_.erase(name);
    expected_.erase(name);
    canaries_.erase(name);
    wakeups_.erase(name);
    dirty_rows_.erase(name);
    demand_.forget_service(name);
    removed_.push_back(name);
  }
  due_.clear();
  refresh_view();
}

void Services::reconcile(ServiceRecord& record, TimeMs now_ms) {
  const ServiceRecord before = record;
  // A replica that is stopped before it was placed is over at once, so there may be more to do.
  for (int steps = 0; steps < kMostSteps && step(record, now_ms); ++steps) {
  }
  tell_pauses(record);
  if (record != before) dirty_rows_.insert(record.name());
  const auto wakeup = wakeup_of(record, now_ms);
  wakeup ? static_cast<void>(wakeups_.insert_or_assign(record.name(), *wakeup))
         : static_cast<void>(wakeups_.erase(record.name()));
}

/// True if replicas were started or stopped.
bool Services::step(ServiceRecord& record, TimeMs now_ms) {
  follow_jobs(record, now_ms);
  judge_canary(record, now_ms);
  rescale(record, now_ms);
  give_up_late(record, now_ms);
  const ServicePlan plan = plan_service(record, now_ms, expected_[record.name()]);
  bool has_acted = false;
  for (Replica& replica : record.replicas) {
    const auto is_in = [&replica](const std::vector<std::uint64_t>& numbers) {
      return std::find(numbers.begin(), numbers.end(), replica.number) != numbers.end();
    };
    if (is_in(plan.take_back)) set_phase(record, replica, ReplicaPhase::kReady, now_ms);
    if (is_in(plan.resume)) {
      set_phase(record, replica, ReplicaPhase::kReady, now_ms);
      jobs_.note_service("replica_resumed", endpoint_name(record, replica));
    }
    if (is_in(plan.drain)) {
      drain(record, replica, now_ms);
      has_acted = true;
    }
  }
  if (plan.start_current > 0) has_acted |= start(record, record.current, plan.start_current, now_ms);
  if (plan.start_stable > 0) has_acted |= start(record, *record.stable, plan.start_stable, now_ms);
  stop_drained(record, now_ms);
  if (record.stable && is_update_done(record)) {
    jobs_.note_service("service_updated", fmt::format("\"{}\" is revision {}", record.name(), record.current.number));
    record.previous = std::exchange(record.stable, std::nullopt);
    record.canary_until_ms = 0;
    has_acted = true;
  }
  return has_acted;
}

void Services::follow_jobs(ServiceRecord& record, TimeMs now_ms) {
  std::erase_if(record.replicas, [&](Replica& replica) {
    const bool is_over = follow_job(record, replica, now_ms);
    if (is_over) {
      service_of_job_.erase(replica.job);
      is_paused_.erase(replica.job);
      refused_pauses_.erase(replica.job);
    }
    return is_over;
  });
  const bool is_steady = std::any_of(record.replicas.begin(), record.replicas.end(), [&](const Replica& replica) {
    return replica.phase == ReplicaPhase::kReady && replica.revision == record.current.number &&
           now_ms - replica.ready_ms >= kSteadyMs;
  });
  if (is_steady && record.failures > 0) {
    record.failures = 0;
    record.retry_ms = 0;
  }
}

/// True if the replica is over.
bool Services::follow_job(ServiceRecord& record, Replica& replica, TimeMs now_ms) {
  const auto job = jobs_.find_replica(replica.job);
  if (!job || model::is_terminal(job->state)) {
    if (!replica.is_active() && replica.phase != ReplicaPhase::kPaused) return true;
    const std::string why = job ? job->reason : "its job is gone";
    const std::string text = fmt::format("{} ended: {}", endpoint_name(record, replica), why);
    const bool was_steady = replica.ready_ms != 0 && now_ms - replica.ready_ms >= kSteadyMs;
    const bool was_stopped = job && job->state == model::JobState::kCancelled;
    jobs_.note_service("replica_ended", text);
    if (was_steady || was_stopped) {
      record.last_error = text;
      record.failures = 0;
      record.retry_ms = 0;
    } else {
      note_failure(record, text, now_ms);
    }
    return true;
  }
  // The core starts it again by itself (preempted, or the machine failed): another process at another address.
  const bool has_lost_address = replica.attempt != 0 && (job->attempt != replica.attempt || job->is_attempt_over);
  if (has_lost_address && replica.port != 0) {
    replica.port = 0;
    replica.address.clear();
    replica.ready_ms = 0;
    is_paused_.erase(replica.job);
    refused_pauses_.erase(replica.job);
    if (replica.is_active() || replica.phase == ReplicaPhase::kPaused) {
      set_phase(record, replica, ReplicaPhase::kStarting, now_ms);
    }
    if (replica.phase == ReplicaPhase::kDraining) stop(record, replica, now_ms);
  }
  return false;
}

void Services::note_failure(ServiceRecord& record, const std::string& error, TimeMs now_ms) {
  ++record.failures;
  record.last_error = error;
  record.retry_ms = now_ms + backoff_ms(record.failures);
}

void Services::give_up_late(ServiceRecord& record, TimeMs now_ms) {
  for (Replica& replica : record.replicas) {
    const bool is_late = replica.phase == ReplicaPhase::kStarting && replica.port != 0 &&
                         now_ms - replica.phase_ms >= record.service().health.start_ms;
    const bool is_sick = replica.phase == ReplicaPhase::kUnready && now_ms - replica.phase_ms >= kUnreadyMs;
    if (!is_late && !is_sick) continue;
    const std::string text = fmt::format("{} {} for {}: {}", endpoint_name(record, replica),
                                         is_late ? "was not ready" : "failed its health check",
                                         format_duration_ms(now_ms - replica.phase_ms), replica.detail);
    jobs_.note_service("replica_given_up", text);
    note_failure(record, text, now_ms);
    stop(record, replica, now_ms);
  }
}

void Services::rescale(ServiceRecord& record, TimeMs now_ms) {
  const auto replicas = static_cast<std::uint32_t>(std::count_if(record.replicas.begin(), record.replicas.end(),
                                                                 [](const Replica& one) { return one.is_active(); }));
  route::Autoscaler& scaler = scaler_of(record, now_ms);
  expected_[record.name()] = scaler.expected(now_ms, record.start_ms);
  const std::uint32_t desired = scaler.desired(now_ms, replicas);
  if (desired == record.desired) return;
  jobs_.note_service("service_scaling",
                     fmt::format("\"{}\" from {} to {} replicas", record.name(), record.desired, desired));
  record.desired = desired;
}

/// What the new revision is taken back for; "": nothing.
std::string Services::fault_of_canary(const ServiceRecord& record) {
  const model::CanaryPolicy canary = record.service().canary.value_or(model::CanaryPolicy{});
  const RevisionCount& count = canaries_[record.name()][record.current.number];
  if (count.finished >= kLeastCanaryRequests && count.failed * 1'000 > count.finished * canary.abort_above_permille) {
    return fmt::format("{} of {} requests failed", count.failed, count.finished);
  }
  const RevisionCount& stable = canaries_[record.name()][record.stable->number];
  const bool is_measured =
      count.latency.total() >= kLeastLatencySamples && stable.latency.total() >= kLeastLatencySamples;
  if (canary.abort_above_latency_permille == 0 || !is_measured) return {};
  const std::uint64_t its_us = count.latency.percentile_us(990);
  const std::uint64_t old_us = stable.latency.percentile_us(990);
  if (its_us * 1'000 <= old_us * canary.abort_above_latency_permille) return {};
  return fmt::format("99 % of its answers took up to {:.1f} ms, those of revision {} up to {:.1f} ms",
                     static_cast<double>(its_us) / 1'000, record.stable->number, static_cast<double>(old_us) / 1'000);
}

void Services::judge_canary(ServiceRecord& record, TimeMs now_ms) {
  if (record.canary_until_ms == 0 || !record.stable) return;
  if (const std::string fault = fault_of_canary(record); !fault.empty()) {
    const std::string text = fmt::format("revision {} was taken back: {}", record.current.number, fault);
    record.current = *std::exchange(record.stable, std::nullopt);
    record.canary_until_ms = 0;
    record.failures = 0;
    record.retry_ms = 0;
    record.last_error = text;
    canaries_.erase(record.name());
    jobs_.note_service("canary_aborted", fmt::format("\"{}\": {}", record.name(), text));
  } else if (now_ms >= record.canary_until_ms) {
    const RevisionCount& count = canaries_[record.name()][record.current.number];
    record.canary_until_ms = 0;
    jobs_.note_service("canary_passed", fmt::format("\"{}\": revision {}, {} of {} requests failed", record.name(),
                                                    record.current.number, count.failed, count.finished));
  }
}

bool Services::start(ServiceRecord& record, const ServiceRevision& revision, std::uint32_t count, TimeMs now_ms) {
  if (now_ms < record.retry_ms) return false;
  for (std::uint32_t i = 0; i < count; ++i) {
    const std::uint64_t number = record.last_replica + 1;
    const auto job = jobs_.start_replica(launch::replica_spec(revision.spec, number), record.user);
    if (!job) {
      note_failure(record, fmt::format("no replica could be started: {}", job.error().to_string()), now_ms);
      record.retry_ms = std::max(record.retry_ms, now_ms + 1'000);
      return i > 0;
    }
    record.last_replica = number;
    record.replicas.push_back(
        {.number = number, .job = *job, .revision = revision.number, .created_ms = now_ms, .phase_ms = now_ms});
    service_of_job_.emplace(*job, record.name());
  }
  return true;
}

void Services::set_phase(ServiceRecord& record, Replica& replica, ReplicaPhase phase, TimeMs now_ms) {
  replica.phase = phase;
  replica.phase_ms = now_ms;
  touch(record);
}

/// What nobody was sent to is stopped at once.
void Services::drain(ServiceRecord& record, Replica& replica, TimeMs now_ms) {
  const bool has_requests = replica.ready_ms != 0 && replica.port != 0 && replica.phase != ReplicaPhase::kPaused;
  if (!has_requests) return stop(record, replica, now_ms);
  set_phase(record, replica, ReplicaPhase::kDraining, now_ms);
  replica.drain_version = table_.version + 1;
}

void Services::stop(ServiceRecord& record, Replica& replica, TimeMs now_ms) {
  set_phase(record, replica, ReplicaPhase::kStopping, now_ms);
  jobs_.stop_replica(replica.job);
}

std::uint32_t Services::wanted_paused(const ServiceRecord& record) const {
  const auto expected = expected_.find(record.name());
  return record.wanted_paused(expected == expected_.end() ? 0 : expected->second);
}

/// As many as shall be kept warm are paused, the others stopped.
void Services::stop_drained(ServiceRecord& record, TimeMs now_ms) {
  auto paused =
      static_cast<std::uint32_t>(std::count_if(record.replicas.begin(), record.replicas.end(),
                                               [](const Replica& one) { return one.phase == ReplicaPhase::kPaused; }));
  for (Replica& replica : record.replicas) {
    if (replica.phase != ReplicaPhase::kDraining || !may_stop(record, replica, now_ms)) continue;
    const bool is_kept = replica.port != 0 && replica.ready_ms != 0 && replica.revision == record.current.number &&
                         paused < wanted_paused(record);
    if (is_kept) {
      ++paused;
      set_phase(record, replica, ReplicaPhase::kPaused, now_ms);
    } else {
      stop(record, replica, now_ms);
    }
  }
}

/// The engine's processes as the replicas' phases say.
void Services::tell_pauses(const ServiceRecord& record) {
  for (const Replica& replica : record.replicas) {
    const bool is_wanted = replica.phase == ReplicaPhase::kPaused;
    const auto told = is_paused_.find(replica.job);
    if (replica.port == 0 || is_wanted == (told != is_paused_.end() && told->second)) continue;
    is_paused_[replica.job] = is_wanted;
    refused_pauses_.erase(replica.job);
    jobs_.pause_replica(replica.job, is_wanted);
  }
}

bool Services::may_stop(const ServiceRecord& record, const Replica& replica, TimeMs now_ms) const {
  if (now_ms - replica.phase_ms >= record.service().drain_ms) return true;
  if (now_ms - since_ms_ < kGatewaysHeardMs) return false;
  if (!demand_.has_gateways()) return now_ms - replica.phase_ms >= kTellMs;
  return demand_.is_idle(record.name(), endpoint_name(record, replica), replica.drain_version);
}

std::optional<TimeMs> Services::wakeup_of(const ServiceRecord& record, TimeMs now_ms) const {
  std::optional<TimeMs> next;
  if (const auto scaler = scalers_.find(record.name()); scaler != scalers_.end() && !record.is_deleted) {
    keep_least(next, scaler->second.next_change_ms());
  }
  if (record.retry_ms > now_ms) keep_least(next, record.retry_ms);
  if (record.canary_until_ms > now_ms) keep_least(next, record.canary_until_ms);
  for (const Replica& replica : record.replicas) {
    switch (replica.phase) {
      case ReplicaPhase::kStarting:
        if (replica.port != 0) keep_least(next, replica.phase_ms + record.service().health.start_ms);
        break;
      case ReplicaPhase::kReady:
        if (record.failures > 0 && replica.revision == record.current.number)
          keep_least(next, std::max(now_ms + 1, replica.ready_ms + kSteadyMs));
        break;
      case ReplicaPhase::kUnready:
        keep_least(next, replica.phase_ms + kUnreadyMs);
        break;
      case ReplicaPhase::kDraining:
        keep_least(next, replica.phase_ms + record.service().drain_ms);
        for (const TimeMs at_ms : {since_ms_ + kGatewaysHeardMs, replica.phase_ms + kTellMs}) {
          if (at_ms > now_ms) keep_least(next, at_ms);
        }
        break;
      case ReplicaPhase::kStopping:
      case ReplicaPhase::kPaused:
        break;
    }
  }
  return next;
}

std::optional<TimeMs> Services::next_wakeup() const {
  std::optional<TimeMs> next = demand_.next_expiry_ms();
  for (const auto& [name, at_ms] : wakeups_) keep_least(next, at_ms);
  if (!due_.empty()) next = 0;
  return next;
}

/// Those that have traffic share the rates of callers.
void Services::count_gateways() {
  const auto count = static_cast<std::uint32_t>(std::max<std::size_t>(1, demand_.gateway_count()));
  if (count == table_.gateways) return;
  table_.gateways = count;
  ++table_.version;
  is_view_changed_ = true;
}

void Services::refresh_view() {
  std::vector<route::Service> services;
  std::vector<HealthTarget> targets;
  for (const auto& [name, record] : records_) {
    services.push_back(to_route(record));
    for (const Replica& replica : record.replicas) {
      const auto job = jobs_.find_replica(replica.job);
      if (!replica.is_active() || replica.port == 0 || !job || job->state != model::JobState::kRunning) continue;
      const model::HealthCheck& health = record.service().health;
      targets.push_back({.id = endpoint_name(record, replica),
                         .address = replica.address,
                         .port = replica.port,
                         .protocol = record.service().protocol,
                         .path = health.path,
                         .grpc_service = health.grpc,
                         .every_ms = health.every_ms,
                         .timeout_ms = health.timeout_ms,
                         .failures = health.failures,
                         .is_ready = replica.phase == ReplicaPhase::kReady});
    }
  }
  const bool has_same_targets =
      std::equal(targets.begin(), targets.end(), targets_.begin(), targets_.end(), has_same_check);
  targets_ = std::move(targets);
  if (services != table_.services) {
    table_.services = std::move(services);
    ++table_.version;
    is_view_changed_ = true;
  }
  is_view_changed_ = is_view_changed_ || !has_same_targets;
}

}  // namespace busbar::control
