#include "sched/explain/why.h"

#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "sched/backfill/pass.h"
#include "sched/explain/changes.h"
#include "sched/place/feasible.h"
#include "sched/place/placer.h"

namespace busbar::sched::explain {
namespace {

using backfill::Obstacle;
using internal::JobRecord;
using internal::State;

std::string where_it_runs(const State& state, const JobRecord& record) {
  std::vector<std::string> tasks;
  constexpr std::size_t kMaxListed = 8;
  const auto& placed = record.granted->placement.tasks;
  for (std::size_t i = 0; i < std::min(placed.size(), kMaxListed); ++i) {
    const model::TaskPlacement& task = placed[i];
    const std::string& node = state.nodes().find(task.node)->node->name;
    tasks.push_back(task.cards.empty() ? fmt::format("task {} on {}", task.rank, node)
                                       : fmt::format("task {} on {} ({} {})", task.rank, node,
                                                     record.granted->placement.chip, fmt::join(task.cards, ",")));
  }
  return fmt::format("attempt {} holds {}{}: {}", record.attempt_id().to_string(), fmt::join(tasks, "; "),
                     placed.size() > kMaxListed ? fmt::format(" and {} more", placed.size() - kMaxListed) : "",
                     record.granted->reason);
}

std::string need_text(const JobRequest& request) {
  if (request.accelerators.empty()) {
    return place::describe_need(request, nullptr);
  }
  std::vector<std::string> alternatives;
  for (const model::AcceleratorRequest& accelerator : request.accelerators) {
    alternatives.push_back(place::describe_need(request, &accelerator));
  }
  return fmt::format("{}", fmt::join(alternatives, " or "));
}

// Free and total cards of each chip that would do, and what keeps cards out of service.
std::string capacity_text(const State& state, const JobRequest& request) {
  std::vector<std::string> parts;
  std::size_t away = 0;
  for (const auto& [id, entry] : state.nodes()) {
    away += entry.node->state == model::NodeState::kReady ? 0 : 1;
  }
  for (const place::GangNeed& need : place::needs_of(request, state.free_map())) {
    std::uint32_t total = 0;
    std::uint32_t free = 0;
    std::uint32_t most = 0;
    std::uint32_t tasks = 0;
    for (std::uint32_t i = 0; i < state.free_map().node_count(); ++i) {
      const place::NodeSlot& node = state.free_map().node(i);
      for (const place::GroupSlot& group : state.free_map().groups_of(node)) {
        if (group.chip == need.task.chip && node.is_usable) {
          total += group.total;
          free += group.free_whole;
          most = std::max<std::uint32_t>(most, group.free_whole);
          tasks += place::capacity_of(state.free_map(), group, need.task, request.max_nodes);
        }
      }
    }
    const std::string cards = need.task.chip == place::kNoChip
                                  ? std::string()
                                  : fmt::format("{} of {} {} cards are free, at most {} on one node; ", free, total,
                                                state.free_map().chip_name(need.task.chip), most);
    parts.push_back(fmt::format("{}with CPU and memory there is room for {} of {} tasks", cards,
                                std::min(tasks, request.max_nodes), request.min_nodes));
  }
  return fmt::format("needs {}; {}{}", need_text(request), fmt::join(parts, "; "),
                     away == 0 ? "" : fmt::format("; {} node{} out of service", away, away == 1 ? " is" : "s are"));
}

std::string quota_text(const State& state, const JobRequest& request) {
  const internal::QueueEntry& queue = *state.queues().find(request.queue);
  return fmt::format("queue \"{}\" uses {} of {} cards; this job needs {}", request.queue,
                     format_milli(queue.used_milli_cards), format_milli(queue.queue.limit.value), need_text(request));
}

std::string reservation_text(const State& state, const Obstacle& obstacle) {
  const std::string when = obstacle.head_start_ms.has_value()
                               ? fmt::format("within {}", format_duration_ms(*obstacle.head_start_ms - state.now_ms()))
                               : "when jobs without a time limit end";
  return fmt::format("it would fit, but job {} is ahead and starts {}; this job would delay it", obstacle.head.value,
                     when);
}

void explain_obstacle(const State& state, const JobRecord& record, const Obstacle& obstacle, Why& why) {
  const JobRequest& request = record.request();
  switch (obstacle.kind) {
    case Obstacle::Kind::kNothing:
      why.constraint = "none";
      why.text = "it can start at the next event";
      return;
    case Obstacle::Kind::kArrayLimit:
      why.constraint = "array_limit";
      why.text = fmt::format("{} of its array run, at most {} may", state.group_running(request.group),
                             request.group_parallel);
      break;
    case Obstacle::Kind::kQuota:
      why.constraint = "quota";
      why.text = quota_text(state, request);
      break;
    case Obstacle::Kind::kCapacity:
      why.constraint = "capacity";
      why.text = capacity_text(state, request);
      break;
    case Obstacle::Kind::kReservation:
      why.constraint = "priority";
      why.text = reservation_text(state, obstacle);
      break;
  }
  why.changes = find_changes(state, record.id(), obstacle.kind);
}

// Its place among the pending jobs of all queues, from 1.
std::uint32_t position_of(const State& state, const JobRecord& record) {
  const auto effective = [&](const std::string& queue, std::int64_t priority) {
    return -(priority + state.queues().find(queue)->queue.priority);
  };
  const JobRequest& request = record.request();
  const std::int64_t own = effective(request.queue, request.priority);
  std::size_t ahead = 0;
  for (const auto& [key, pending] : state.pending()) {
    const JobRequest& first = state.jobs().find(pending.jobs.begin()->first.job)->request();
    // In that queue's own terms: its jobs' priorities lack the queue's part.
    const std::int64_t theirs = own + state.queues().find(first.queue)->queue.priority;
    ahead += pending.jobs.rank({.negated_priority = theirs, .submitted_ms = record.submitted_ms, .job = record.id()});
  }
  return static_cast<std::uint32_t>(ahead + 1);
}

std::string dependency_text(const State& state, const JobRequest& request) {
  std::vector<std::string> open;
  for (const JobRequest::Dependency& after : request.after) {
    if (state.jobs().contains(after.job)) {
      open.push_back(fmt::format("job {} to {}", after.job.value, after.must_succeed ? "succeed" : "end"));
    }
  }
  return fmt::format("waits for {}", fmt::join(open, " and "));
}

}  // namespace

Result<Why> explain_job(State fork, model::JobId id) {
  const JobRecord* record = fork.jobs().find(id);
  if (record == nullptr) {
    return make_error(ErrorCode::kNotFound, fmt::format("no job {}, or it is over", id.value));
  }
  const JobRequest& request = record->request();
  Why why = {.state = record->state, .constraint = "none"};
  if (record->granted) {
    why.text = where_it_runs(fork, *record);
  } else if (record->state == model::JobState::kBlocked) {
    why.constraint = "infeasible";
    why.text =
        place::why_infeasible(request, fork.declared(), fork.fabric()).value_or("did not fit the declared cluster");
    why.changes = find_changes(fork, id, Obstacle::Kind::kCapacity);
  } else if (!internal::dependencies_met(fork, request)) {
    why.constraint = "dependency";
    why.text = dependency_text(fork, request);
  } else if (record->not_before_ms > fork.now_ms()) {
    why.constraint = "backoff";
    why.text = fmt::format("attempt {} failed; it starts again in {}", record->attempt,
                           format_duration_ms(record->not_before_ms - fork.now_ms()));
  } else {
    why.position = position_of(fork, *record);
    explain_obstacle(fork, *record, backfill::find_obstacle(fork, id), why);
  }
  return why;
}

}  // namespace busbar::sched::explain
