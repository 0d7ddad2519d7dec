#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"
#include "control/ledger.h"

namespace busbar::control {
namespace {

/// "ok:17", "any:prepare", "17" -> the reference and whether it must have succeeded.
std::pair<std::string, bool> split_dependency(std::string_view text) {
  if (text.starts_with("ok:")) return {std::string(text.substr(3)), true};
  if (text.starts_with("any:")) return {std::string(text.substr(4)), false};
  return {std::string(text), true};
}

}  // namespace

std::optional<SubmitOutcome> Ledger::repeated_submit(const SubmitCommand& command) const {
  if (command.client_key.empty()) return std::nullopt;
  model::JobId first;
  for (const auto& [id, record] : jobs_) {
    if (record.client_key == command.client_key && record.user == command.user) first = id;
  }
  if (!first.is_valid()) {
    const auto row = store_.job_by_client_key(command.user, command.client_key);
    if (!row || !*row) return std::nullopt;
    first = (*row)->id;
  }
  SubmitOutcome outcome{.is_repeated = true};
  const auto status = job_status(first);
  if (!status) return std::nullopt;
  if (!status->array.is_valid()) {
    outcome.jobs.push_back(*status);
    return outcome;
  }
  const auto members = list_jobs({.array = status->array, .limit = 10'000});
  if (members) outcome.jobs.assign(members->jobs.rbegin(), members->jobs.rend());
  return outcome;
}

Result<std::vector<sched::JobRequest::Dependency>> Ledger::resolve_dependencies(const model::JobSpec& spec) const {
  std::vector<sched::JobRequest::Dependency> dependencies;
  for (const std::string& text : spec.after) {
    const auto [reference, must_succeed] = split_dependency(text);
    TRY_ASSIGN(const model::JobId id, resolve_job(reference));
    if (jobs_.contains(id)) {
      dependencies.push_back({.job = id, .must_succeed = must_succeed});
      continue;
    }
    // Over already: the core need not wait for it.
    TRY_ASSIGN(const api::JobStatus status, job_status(id));
    if (must_succeed && status.state != model::JobState::kSucceeded) {
      return make_error(
          ErrorCode::kFailedPrecondition,
          fmt::format("after: job {} is {}, so this job would never start; use \"any:{}\" to run all the same",
                      id.value, model::job_state_name(status.state), reference));
    }
  }
  return dependencies;
}

Result<void> Ledger::check_submit(const SubmitCommand& command) const {
  if (command.members.empty()) return make_error(ErrorCode::kInvalidArgument, "nothing to submit");
  const model::JobSpec& spec = command.members.front();
  std::vector<std::string> known;
  for (const auto& [name, row] : secrets_) known.push_back(name);
  for (const model::SecretRef& secret : spec.secrets) {
    if (secrets_.contains(secret.name)) continue;
    const auto near = nearest_name(secret.name, known);
    return make_error(ErrorCode::kFailedPrecondition,
                      fmt::format("secret \"{}\" is not in the store; {}set it by: busbar secret set {}", secret.name,
                                  near ? fmt::format("did you mean \"{}\"? or ", *near) : "", secret.name));
  }
  return {};
}

Result<SubmitOutcome> Ledger::submit(SubmitCommand command) {
  if (auto repeated = repeated_submit(command)) return *std::move(repeated);
  TRY(check_submit(command));
  TRY_ASSIGN(const std::vector<sched::JobRequest::Dependency> dependencies,
             resolve_dependencies(command.members.front()));
  const bool is_array = command.members.front().array_index.has_value();
  const model::JobId first{last_job_id_ + 1};
  const TimeMs at_ms = now_ms();
  SubmitOutcome outcome;
  for (model::JobSpec& spec : command.members) {
    const model::JobId id{last_job_id_ + 1};
    JobRecord record{.id = id,
                     .spec = std::move(spec),
                     .user = command.user,
                     .client_key = id == first ? command.client_key : "",
                     .array = is_array ? first : model::JobId{},
                     .has_terminal = command.has_terminal,
                     .submitted_ms = at_ms};
    record.account = launch::EfficiencyAccount(at_ms, accounted_milli_cards(record.spec));
    TRY_ASSIGN(sched::JobRequest request, to_request(record, *options_.catalogue, dependencies));
    request.may_wait_infeasible = command.may_wait_infeasible;
    refusal_.clear();
    TRY_ASSIGN(const std::vector<sched::Decision> decisions,
               decide(sched::JobSubmitted{std::move(request)}, command.user, command.request_id));
    const bool is_refused = std::any_of(decisions.begin(), decisions.end(), [&](const sched::Decision& decision) {
      const auto* refuse = std::get_if<sched::Refuse>(&decision);
      return refuse != nullptr && refuse->job == id;
    });
    last_job_id_ = id.value;
    if (is_refused) {
      // Members of an array ask for the same, so the first is refused or none is.
      carry_out(decisions);
      return make_error(refusal_code_, refusal_);
    }
    jobs_.emplace(id, std::move(record));
    note(id, "submitted", fmt::format("by {} to queue \"{}\"", command.user, jobs_.at(id).spec.queue));
    dirty_jobs_.insert(id);
    carry_out(decisions);
    follow_state(jobs_.at(id));
  }
  for (std::uint64_t id = first.value; id <= last_job_id_; ++id) {
    TRY_ASSIGN(api::JobStatus status, job_status(model::JobId{id}));
    outcome.jobs.push_back(std::move(status));
  }
  return outcome;
}

Result<void> Ledger::cancel(model::JobId job, std::optional<std::int64_t> grace_ms, const std::string& actor,
                            const std::string& request_id) {
  JobRecord* record = find_live(job);
  if (record == nullptr) {
    TRY_ASSIGN(const api::JobStatus status, job_status(job));
    return make_error(ErrorCode::kFailedPrecondition,
                      fmt::format("job {} is already over ({})", job.value, model::job_state_name(status.state)));
  }
  if (grace_ms) record->grace_override_ms = grace_ms;
  if (record->state == model::JobState::kStopping) {
    if (grace_ms && record->current_attempt() != nullptr) {
      step_.orders.push_back(StopOrder{.attempt = {job, record->current_attempt()->number}, .grace_ms = *grace_ms});
    }
  }
  TRY(apply(sched::JobCancelled{job}, actor, request_id));
  note(job, "cancel", fmt::format("asked for by {}", actor));
  if (JobRecord* still = find_live(job)) {
    if (!model::is_terminal(still->state)) follow_state(*still);
  }
  return {};
}

Result<model::Placement> Ledger::placement_when_empty(const model::JobSpec& spec) const {
  sched::Core empty(core_.policy());
  for (const model::NodeId id : core_.nodes()) {
    model::Node node = *core_.find_node(id);
    node.state = model::NodeState::kReady;
    TRY(empty.apply({.time_ms = now_ms(), .body = sched::NodeJoined{std::move(node)}}));
  }
  // The queue's quota is another question than the cluster's room.
  const std::vector<model::Queue> queues = core_.queues();
  const bool is_known = std::any_of(queues.begin(), queues.end(), [&](const auto& q) { return q.name == spec.queue; });
  if (is_known) TRY(empty.apply({.time_ms = now_ms(), .body = sched::QueueChanged{{.name = spec.queue}}}));
  JobRecord record{.id = model::JobId{last_job_id_ + 1}, .spec = spec};
  TRY_ASSIGN(sched::JobRequest request, to_request(record, *options_.catalogue, {}));
  TRY_ASSIGN(const std::vector<sched::Decision> decisions,
             empty.apply({.time_ms = now_ms(), .body = sched::JobSubmitted{std::move(request)}}));
  for (const sched::Decision& decision : decisions) {
    if (const auto* place = std::get_if<sched::Place>(&decision)) return place->placement;
    if (const auto* refuse = std::get_if<sched::Refuse>(&decision)) return make_error(refuse->code, refuse->reason);
  }
  return make_error(ErrorCode::kInfeasible, "the job's queue does not let it start even on an empty cluster");
}

}  // namespace busbar::control
