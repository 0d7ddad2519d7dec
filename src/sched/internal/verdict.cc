#include "sched/internal/verdict.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/units.h"

namespace busbar::sched::internal {
namespace {

// base * 2^(n-1), at most the maximum; n counts from 1.
std::int64_t backoff_ms(const Policy& policy, std::uint32_t n) {
  std::int64_t wait = policy.retry_backoff_base_ms;
  for (std::uint32_t i = 1; i < n && wait < policy.retry_backoff_max_ms; ++i) {
    wait *= 2;
  }
  return std::min(wait, policy.retry_backoff_max_ms);
}

Finish failed(const JobRecord& record, model::ExitClass exit_class, std::int32_t exit_code, std::string reason) {
  return {.job = record.id(),
          .state = model::JobState::kFailed,
          .exit_class = exit_class,
          .exit_code = exit_code,
          .reason = std::move(reason)};
}

// Goes back to the queue if `restart` allows it, else the job is over.
Decision charged(const Policy& policy, const JobRecord& record, const Finish& finish, TimeMs now_ms) {
  const model::RestartPolicy& restart = record.request().restart;
  const bool restarts = std::find(restart.on.begin(), restart.on.end(), finish.exit_class) != restart.on.end();
  if (restarts && record.counted_restarts < restart.max) {
    return Requeue{.job = record.id(),
                   .because = finish.exit_class,
                   .not_before_ms = now_ms + backoff_ms(policy, record.counted_restarts + 1)};
  }
  Finish over = finish;
  if (restarts && restart.max > 0) {
    over.reason += fmt::format("; all {} restarts are used", restart.max);
  }
  return over;
}

Decision after_infrastructure(const Policy& policy, const JobRecord& record, std::string what, TimeMs now_ms) {
  if (record.infrastructure_in_row < policy.max_infrastructure_retries) {
    return Requeue{.job = record.id(),
                   .because = model::ExitClass::kInfrastructure,
                   .not_before_ms = now_ms + backoff_ms(policy, record.infrastructure_in_row + 1)};
  }
  const std::int32_t code = record.failure.has_value() ? record.failure->exit_code : 0;
  return failed(record, model::ExitClass::kInfrastructure, code,
                fmt::format("{}; {} failures of the platform in a row", what, record.infrastructure_in_row + 1));
}

Decision after_failure(const Policy& policy, const JobRecord& record, TimeMs now_ms) {
  const Failure& failure = *record.failure;
  if (failure.exit_class == model::ExitClass::kInfrastructure) {
    return after_infrastructure(policy, record, fmt::format("task {} was lost", failure.rank), now_ms);
  }
  const std::string reason = failure.exit_class == model::ExitClass::kOutOfMemory
                                 ? fmt::format("task {} ran out of memory", failure.rank)
                                 : fmt::format("task {} exited with {}", failure.rank, failure.exit_code);
  return charged(policy, record, failed(record, failure.exit_class, failure.exit_code, reason), now_ms);
}

}  // namespace

Decision verdict_of(const Policy& policy, const JobRecord& record, TimeMs now_ms) {
  if (record.has_succeeded) {
    return Finish{.job = record.id(), .state = model::JobState::kSucceeded};
  }
  if (record.is_cancelled) {
    return Finish{.job = record.id(),
                  .state = model::JobState::kCancelled,
                  .exit_class = model::ExitClass::kCancelled,
                  .exit_code = record.stopped_code,
                  .reason = "cancelled by a user"};
  }
  if (record.stop == StopReason::kTimeLimit) {
    const std::string reason =
        fmt::format("reached its time limit of {}", format_duration_ms(record.request().time_limit_ms));
    return charged(policy, record, failed(record, model::ExitClass::kTimeLimit, record.stopped_code, reason), now_ms);
  }
  if (record.stop == StopReason::kPreempted || record.stop == StopReason::kResized ||
      record.stop == StopReason::kMoved) {
    return Requeue{.job = record.id(), .because = model::ExitClass::kPreempted, .not_before_ms = now_ms};
  }
  if (record.stop == StopReason::kStartDeadline) {
    const std::string limit = format_duration_ms(policy.start_deadline_ms);
    return after_infrastructure(policy, record, fmt::format("did not start within {}", limit), now_ms);
  }
  if (record.failure.has_value()) {
    return after_failure(policy, record, now_ms);
  }
  return after_infrastructure(policy, record, "the engine lost the attempt", now_ms);
}

}  // namespace busbar::sched::internal
