#include "sched/explain/why.h"

#include <algorithm>
#include <limits>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "sched/backfill/pass.h"
#include "sched/explain/changes.h"
#include "sched/fairshare/order.h"
#include "sched/fairshare/quota.h"
#include "sched/gang/affinity.h"
#include "sched/place/feasible.h"
#include "sched/place/placer.h"
#include "sched/windows/closed.h"

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

std::string count_nodes(std::size_t count, std::string_view one, std::string_view many) {
  return count == 0 ? std::string() : fmt::format("; {} node{}", count, count == 1 ? one : many);
}

// Nodes in service that are not for this job.
std::string barred_text(const State& state, const JobRecord& record) {
  return count_nodes(windows::closed_nodes(state, record, state.now_ms()).size(), " is reserved for others",
                     "s are reserved for others") +
         count_nodes(gang::nodes_kept_apart(state, record).size(), " has jobs that it keeps apart from",
                     "s have jobs that it keeps apart from") +
         count_nodes(record.excluded.size(), " has failed it", "s have failed it");
}

std::string quota_text(const State& state, const JobRequest& request) {
  std::vector<std::string> bounds;
  for (const place::GangNeed& need : place::needs_of(request, state.free_map())) {
    const fairshare::Room room = fairshare::room_for(state, request, state.free_map().chip_name(need.task.chip),
                                                     {.each = need.task.milli_cards(), .most = need.min_tasks});
    if (room.bound.has_value()) bounds.push_back(fairshare::describe(*room.bound));
  }
  return fmt::format("{}; this job needs {}", fmt::join(bounds, "; "), need_text(request));
}

// Jobs that have claims, if it would fit without those.
std::vector<std::uint64_t> claimants_in_the_way(const State& state, const JobRequest& request) {
  if (state.holds().empty()) {
    return {};
  }
  State fork = state;
  place::FreeMap map = fork.free_map();
  std::vector<std::uint64_t> claimants;
  for (const internal::Hold& hold : state.holds()) {
    map.release(hold.part.placement);
    claimants.push_back(hold.job.value);
  }
  const std::vector<place::GangNeed> needs = place::needs_of(request, map);
  const place::Placer placer(map, fork.fabric());
  const bool fits = std::any_of(needs.begin(), needs.end(),
                                [&](const place::GangNeed& need) { return placer.count_fitting(need) > 0; });
  return fits ? claimants : std::vector<std::uint64_t>{};
}

std::string reservation_text(const State& state, const Obstacle& obstacle) {
  const std::string when = obstacle.head_start_ms.has_value()
                               ? fmt::format("within {}", format_duration_ms(*obstacle.head_start_ms - state.now_ms()))
                               : "when jobs without a time limit end";
  return fmt::format("it would fit, but job {} is ahead and starts {}; this job would delay it", obstacle.head.value,
                     when);
}

// Of the cluster at weight 1, in percent with one decimal.
std::string percent(std::uint64_t share) {
  const std::uint64_t tenths = static_cast<std::uint64_t>((static_cast<fairshare::Wide>(share) * 1000) >> 32);
  return fmt::format("{}.{} %", tenths / 10, tenths % 10);
}

std::string share_text(const State& state, const std::string& queue) {
  const fairshare::Share share = fairshare::shares_of(state)[*state.tree().find(queue)];
  return fmt::format("queue \"{}\" has {} now and {} lately", queue, percent(share.now), percent(share.past));
}

// The head is of another queue, which is served first.
std::string fair_share_text(const State& state, const JobRecord& record, const Obstacle& obstacle) {
  return fmt::format("{}; {}, {}", reservation_text(state, obstacle),
                     share_text(state, state.jobs().find(obstacle.head)->request().queue),
                     share_text(state, record.request().queue));
}

void explain_obstacle(const State& state, const JobRecord& record, const Obstacle& obstacle, Why& why) {
  const JobRequest& request = record.request();
  switch (obstacle.kind) {
    case Obstacle::Kind::kNothing:
      why.constraint = "none";
      why.text = "it can start at the next event";
      break;
    case Obstacle::Kind::kArrayLimit:
      why.constraint = "array_limit";
      why.text = fmt::format("{} of its array run, at most {} may", state.group_running(request.group),
                             request.group_parallel);
      break;
    case Obstacle::Kind::kQuota:
      why.constraint = "quota";
      why.text = quota_text(state, request);
      break;
    case Obstacle::Kind::kClaim:
      why.constraint = "none";
      why.text = "cards will be freed for it at the next event";
      break;
    case Obstacle::Kind::kCapacity:
      why.constraint = "capacity";
      why.text = capacity_text(state, request) + barred_text(state, record);
      if (const std::vector<std::uint64_t> claimants = claimants_in_the_way(state, request); !claimants.empty()) {
        why.constraint = "claimed";
        why.text = fmt::format("would fit, but what is free is claimed for job{} {}; {}",
                               claimants.size() == 1 ? "" : "s", fmt::join(claimants, ", "), why.text);
      }
      break;
    case Obstacle::Kind::kReservation:
      if (state.jobs().find(obstacle.head)->request().queue == request.queue) {
        why.constraint = "priority";
        why.text = reservation_text(state, obstacle);
      } else {
        why.constraint = "fair_share";
        why.text = fair_share_text(state, record, obstacle);
      }
      break;
  }
}

// What is in its way may go away by changes of the world; what comes by itself needs none.
bool has_remedies(Obstacle::Kind kind) {
  return kind != Obstacle::Kind::kNothing && kind != Obstacle::Kind::kClaim;
}

// Its place among the pending jobs of its queue, from 1.
std::uint32_t position_of(const State& state, const JobRecord& record) {
  const internal::PendingKey own = internal::order_of(record);
  const std::uint64_t urgency = state.urgency_of(record);
  std::size_t ahead = 0;
  for (const auto& [key, pending] : state.pending()) {
    const JobRecord& first = *state.jobs().find(pending.jobs.begin()->first.job);
    if (first.request().queue != record.request().queue) {
      continue;
    }
    // All of a class are equally urgent; whoever is of another priority is so much ahead or behind.
    const std::uint64_t theirs = state.urgency_of(first);
    const auto before_all = std::numeric_limits<TimeMs>::min();
    ahead += theirs == urgency
                 ? pending.jobs.rank(own)
                 : pending.jobs.rank({.negated_priority = own.negated_priority + (theirs > urgency ? 1 : 0),
                                      .submitted_ms = before_all});
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

std::string replacement_text(const State& state, const JobRecord& record) {
  const internal::Kept& hold = *record.kept;
  std::vector<std::string> nodes;
  for (const model::NodeId id : record.excluded) {
    nodes.push_back(state.nodes().find(id)->node->name);
  }
  return fmt::format("keeps the cards of {} of {} tasks for another {} and waits for a replacement of the others{}",
                     hold.granted.placement.tasks.size(), hold.gang_tasks,
                     format_duration_ms(std::max<TimeMs>(hold.until_ms - state.now_ms(), 0)),
                     nodes.empty() ? "" : fmt::format(", not on {}", fmt::join(nodes, ", ")));
}

}  // namespace

Result<Why> explain_job(State fork, model::JobId id, WhyDepth depth) {
  const JobRecord* record = fork.jobs().find(id);
  if (record == nullptr) {
    return make_error(ErrorCode::kNotFound, fmt::format("no job {}, or it is over", id.value));
  }
  const JobRequest& request = record->request();
  Why why = {.state = record->state, .constraint = "none"};
  std::optional<Obstacle::Kind> in_its_way;
  if (record->granted) {
    why.text = where_it_runs(fork, *record);
  } else if (record->state == model::JobState::kBlocked) {
    if (auto reason = place::why_infeasible(request, fork.declared(), fork.fabric())) {
      why.constraint = "infeasible";
      why.text = std::move(*reason);
      in_its_way = Obstacle::Kind::kCapacity;
    } else {
      why.constraint = "infeasible_quota";
      why.text = fairshare::why_over_quota(fork, request).value_or("did not fit its queue");
      in_its_way = Obstacle::Kind::kQuota;
    }
  } else if (record->claim) {
    why.constraint = "claim";
    why.text = fmt::format("{}; it starts when they have stopped", record->claim->reason);
  } else if (!internal::dependencies_met(fork, request)) {
    why.constraint = "dependency";
    why.text = dependency_text(fork, request);
  } else if (record->kept) {
    why.constraint = "replacement";
    why.text = replacement_text(fork, *record);
  } else if (record->not_before_ms > fork.now_ms()) {
    why.constraint = "backoff";
    why.text = fmt::format("attempt {} failed; it starts again in {}", record->attempt,
                           format_duration_ms(record->not_before_ms - fork.now_ms()));
  } else {
    why.position = position_of(fork, *record);
    const Obstacle obstacle = backfill::find_obstacle(fork, id);
    explain_obstacle(fork, *record, obstacle, why);
    in_its_way = obstacle.kind;
  }
  if (depth == WhyDepth::kChanges && in_its_way.has_value() && has_remedies(*in_its_way)) {
    why.changes = find_changes(fork, id, *in_its_way);
  }
  return why;
}

}  // namespace busbar::sched::explain
