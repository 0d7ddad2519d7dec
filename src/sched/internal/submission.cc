#include "sched/internal/submission.h"

#include <algorithm>
#include <functional>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/text.h"
#include "base/units.h"
#include "sched/fairshare/quota.h"
#include "sched/place/feasible.h"
#include "sched/place/placer.h"

namespace busbar::sched::internal {
namespace {

// Far above any real request; they keep every sum within 64 bits.
constexpr std::uint32_t kMaxTasks = kMaxGangTasks;
constexpr std::int64_t kMaxMilliCardsPerNode = 4096 * 1000;
constexpr std::int64_t kMaxMilliCpus = 1'000'000'000;
constexpr std::int64_t kMaxMemory = std::int64_t{1} << 46;
constexpr std::int64_t kMaxTimeLimitMs = std::int64_t{1000} * 365 * 86'400'000;

std::string wrong_resources(const JobRequest& request) {
  for (const model::AcceleratorRequest& accelerator : request.accelerators) {
    const std::int64_t cards = accelerator.per_node.value;
    if (cards <= 0 || cards > kMaxMilliCardsPerNode || (cards > place::kWholeCard && cards % place::kWholeCard != 0)) {
      return fmt::format("{} milli-cards a node: ask for whole cards, or for less than one card", cards);
    }
  }
  if (request.cpus.value < 0 || request.cpus.value > kMaxMilliCpus || request.memory.value < 0 ||
      request.memory.value > kMaxMemory) {
    return "cpus or memory out of range";
  }
  return {};
}

std::string wrong_placement_wishes(const JobRequest& request) {
  const std::vector<std::uint32_t>& sizes = request.sizes;
  if (!sizes.empty() && (sizes.front() != request.min_nodes || sizes.back() != request.max_nodes ||
                         std::adjacent_find(sizes.begin(), sizes.end(), std::greater_equal<>()) != sizes.end())) {
    return fmt::format("gang sizes {} must ascend from {} to {}", fmt::join(sizes, ", "), request.min_nodes,
                       request.max_nodes);
  }
  for (const std::string& tag : request.avoid) {
    if (!tag.starts_with("label:") && !tag.starts_with("name:") && !tag.starts_with("group:")) {
      return fmt::format("cannot keep away from \"{}\": it is not label:KEY=VALUE, name:NAME or group:ARRAY", tag);
    }
  }
  return {};
}

std::string unknown_queue(const State& state, const std::string& name) {
  std::vector<std::string> names;
  for (const auto& [known, entry] : state.queues()) {
    names.push_back(known);
  }
  const auto nearest = nearest_name(name, names);
  return fmt::format("no queue \"{}\"; there {} {}{}", name, names.size() == 1 ? "is" : "are", fmt::join(names, ", "),
                     nearest.has_value() ? fmt::format(" (did you mean {}?)", *nearest) : "");
}

std::optional<Decision> judge_dependencies(const State& state, const JobRequest& request) {
  for (const JobRequest::Dependency& after : request.after) {
    if (after.job == request.id || !after.job.is_valid()) {
      return Refuse{.job = request.id,
                    .code = ErrorCode::kInvalidArgument,
                    .reason = fmt::format("cannot start after job {}", after.job.value)};
    }
    const Outcome* outcome = state.outcomes().find(after.job);
    if (outcome == nullptr && !state.jobs().contains(after.job)) {
      return Refuse{
          .job = request.id,
          .code = ErrorCode::kInvalidArgument,
          .reason = fmt::format("cannot start after job {}: it is unknown, or ended too long ago", after.job.value)};
    }
  }
  for (const JobRequest::Dependency& after : request.after) {
    const Outcome* outcome = state.outcomes().find(after.job);
    if (outcome != nullptr && after.must_succeed && !outcome->is_success) {
      return Finish{.job = request.id,
                    .state = model::JobState::kCancelled,
                    .exit_class = model::ExitClass::kCancelled,
                    .reason = fmt::format("job {}, which had to succeed first, did not", after.job.value)};
    }
  }
  return std::nullopt;
}

}  // namespace

std::string wrong_fields(const JobRequest& request) {
  if (request.min_nodes < 1 || request.max_nodes < request.min_nodes || request.max_nodes > kMaxTasks) {
    return fmt::format("nodes {}..{}: needs 1 <= min <= max <= {}", request.min_nodes, request.max_nodes, kMaxTasks);
  }
  if (request.time_limit_ms < 0 || request.time_limit_ms > kMaxTimeLimitMs) {
    return fmt::format("time limit of {} ms is out of range", request.time_limit_ms);
  }
  if (request.topology.mode != model::TopologyRequest::Mode::kNone &&
      !place::level_from_name(request.topology.level).has_value()) {
    return fmt::format("topology level \"{}\" is not node, leaf, spine or core", request.topology.level);
  }
  if (request.min_run_time_ms < 0 || request.min_run_time_ms > kMaxTimeLimitMs || request.checkpoint_every_ms < 0 ||
      request.checkpoint_every_ms > kMaxTimeLimitMs) {
    return "min_run_time or checkpoint interval is out of range";
  }
  if (std::string wrong = wrong_placement_wishes(request); !wrong.empty()) {
    return wrong;
  }
  return wrong_resources(request);
}

namespace {

// Empty: the queue takes the job.
std::string wrong_for_queue(const State& state, const JobRequest& request) {
  const std::optional<std::uint32_t> index = state.tree().find(request.queue);
  if (!index.has_value()) {
    return unknown_queue(state, request.queue);
  }
  const fairshare::Tree::Node& node = state.tree().node(*index);
  if (!node.children.empty()) {
    std::vector<std::string> names;
    for (const std::uint32_t child : node.children) {
      names.push_back(state.tree().node(child).name);
    }
    return fmt::format("queue \"{}\" has queues below it; submit to one of those: {}", request.queue,
                       fmt::join(names, ", "));
  }
  const std::int64_t bound_ms = state.queues().find(request.queue)->queue.reclaim_bound_ms;
  if (request.min_run_time_ms > bound_ms) {
    return fmt::format("min_run_time of {} is longer than queue \"{}\" allows, {}",
                       format_duration_ms(request.min_run_time_ms), request.queue, format_duration_ms(bound_ms));
  }
  return {};
}

// nullopt: it fits the declared cluster.
std::optional<std::string> why_too_large(State& state, const JobRequest& request) {
  const std::vector<place::GangNeed> needs = place::needs_of(request, state.declared());
  if (std::any_of(needs.begin(), needs.end(), [&](const auto& need) { return state.fits_declared(need); })) {
    return std::nullopt;
  }
  return place::why_infeasible(request, state.declared(), state.fabric());
}

}  // namespace

std::optional<Decision> judge_submission(State& state, const JobRecord& record) {
  const JobRequest& request = record.request();
  const auto refuse = [&](ErrorCode code, std::string reason) {
    return Refuse{.job = request.id, .code = code, .reason = std::move(reason)};
  };
  if (std::string wrong = wrong_fields(request); !wrong.empty()) {
    return refuse(ErrorCode::kInvalidArgument, std::move(wrong));
  }
  if (std::string wrong = wrong_for_queue(state, request); !wrong.empty()) {
    return refuse(ErrorCode::kInvalidArgument, std::move(wrong));
  }
  if (auto decision = judge_dependencies(state, request)) {
    return decision;
  }
  if (auto reason = why_too_large(state, request)) {
    if (!request.may_wait_infeasible) {
      return refuse(ErrorCode::kInfeasible, std::move(*reason));
    }
    return Block{.job = request.id, .is_blocked = true, .reason = std::move(*reason)};
  }
  // Quotas change more easily than clusters, so this job is kept.
  if (auto reason = fairshare::why_over_quota(state, request)) {
    return Block{.job = request.id, .is_blocked = true, .reason = std::move(*reason)};
  }
  return std::nullopt;
}

std::optional<Decision> judge_feasibility(State& state, const JobRecord& record) {
  auto reason = why_too_large(state, record.request());
  if (!reason.has_value()) {
    reason = fairshare::why_over_quota(state, record.request());
  }
  if (reason.has_value() == (record.state == model::JobState::kBlocked)) {
    return std::nullopt;
  }
  return Block{.job = record.id(),
               .is_blocked = reason.has_value(),
               .reason = reason.has_value() ? std::move(*reason) : "fits the declared cluster and its queue now"};
}

}  // namespace busbar::sched::internal
