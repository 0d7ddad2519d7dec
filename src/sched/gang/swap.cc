#include "sched/gang/swap.h"

#include <algorithm>
#include <string>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "sched/fairshare/quota.h"
#include "sched/gang/affinity.h"
#include "sched/gang/near.h"
#include "sched/place/free_part.h"
#include "sched/windows/closed.h"

namespace busbar::sched::gang {
namespace {

using internal::JobRecord;
using internal::Kept;
using internal::State;
using model::NodeId;

const model::Node& node_of(const State& state, NodeId id) {
  return *state.nodes().find(id)->node;
}

bool contains(const std::vector<NodeId>& sorted, NodeId id) {
  return std::binary_search(sorted.begin(), sorted.end(), id);
}

void add_sorted(std::vector<NodeId>& sorted, const std::vector<NodeId>& more) {
  sorted.insert(sorted.end(), more.begin(), more.end());
  std::sort(sorted.begin(), sorted.end());
  sorted.erase(std::unique(sorted.begin(), sorted.end()), sorted.end());
}

// The node of the task that failed first, and nodes that have failed as a whole.
std::vector<NodeId> failed_nodes(const State& state, const JobRecord& record, const model::Placement& ended) {
  std::vector<NodeId> failed;
  for (const model::TaskPlacement& task : ended.tasks) {
    const bool is_first = record.failure.has_value() && record.failure->rank == task.rank &&
                          record.failure->exit_class == model::ExitClass::kInfrastructure;
    if (is_first || node_of(state, task.node).state == model::NodeState::kFailed) {
      add_sorted(failed, {task.node});
    }
  }
  return failed;
}

bool is_in_order(const State& state, const model::TaskPlacement& task) {
  const model::Node& node = node_of(state, task.node);
  return node.state == model::NodeState::kReady &&
         std::all_of(task.cards.begin(), task.cards.end(), [&](std::uint16_t card) {
           return card < node.cards.size() && node.cards[card].health == model::CardHealth::kHealthy;
         });
}

// What others have a claim on went to them when the attempt gave it back.
void drop_claimed(const State& state, model::Placement& held) {
  place::FreeMap map = state.free_map();
  std::erase_if(held.tasks, [&](const model::TaskPlacement& task) {
    const place::FreePart part = place::claim_free_part(map, {.tasks = {task}});
    if (!part.is_whole) {
      map.release(part.placement);
    }
    return !part.is_whole;
  });
}

bool fits_without(State& state, const JobRequest& request, const std::vector<NodeId>& excluded) {
  const place::FreeMap& map = state.idle();
  const place::Placer placer(map, state.fabric());
  const auto allowed = place::all_but(map, excluded);
  auto needs = place::needs_of(request, map);
  return std::any_of(needs.begin(), needs.end(), [&](place::GangNeed& need) {
    need.allowed = allowed;
    return placer.count_fitting(need) > 0;
  });
}

// The newly failed nodes beside the earlier ones if the job can do without all of them; else without the new ones; else
// none: a job must not shut itself out.
std::vector<NodeId> excluded_after(State& state, const JobRecord& record, const std::vector<NodeId>& failed) {
  std::vector<NodeId> all = record.excluded;
  add_sorted(all, failed);
  for (const std::vector<NodeId>& candidate : {all, failed}) {
    if (fits_without(state, record.request(), candidate)) {
      return candidate;
    }
  }
  return {};
}

bool is_within_quota(const State& state, const JobRequest& request, const place::GangNeed& need) {
  const std::string& chip = state.free_map().chip_name(need.task.chip);
  return fairshare::room_for(state, request, chip, {.each = need.task.milli_cards(), .most = need.min_tasks}).tasks ==
         need.min_tasks;
}

place::Found merge(const State& state, const Kept& hold, place::Found found) {
  std::vector<std::string> nodes;
  model::Placement whole = hold.granted.placement;
  std::vector<bool> is_taken(hold.gang_tasks, false);
  for (const model::TaskPlacement& task : whole.tasks) {
    is_taken[task.rank] = true;
  }
  std::uint32_t rank = 0;
  for (model::TaskPlacement& task : found.placement.tasks) {
    while (is_taken[rank]) {
      ++rank;
    }
    task.rank = rank++;
    nodes.push_back(fmt::format("{} for task {}", node_of(state, task.node).name, task.rank));
    whole.tasks.push_back(std::move(task));
  }
  std::sort(whole.tasks.begin(), whole.tasks.end(),
            [](const model::TaskPlacement& a, const model::TaskPlacement& b) { return a.rank < b.rank; });
  constexpr std::size_t kMaxListed = 8;
  const bool is_long = nodes.size() > kMaxListed;
  nodes.resize(std::min(nodes.size(), kMaxListed));
  return {.placement = std::move(whole),
          .where = fmt::format("keeps the cards of {} tasks; replacement: {}{}", hold.granted.placement.tasks.size(),
                               fmt::join(nodes, ", "), is_long ? ", ..." : "")};
}

}  // namespace

void plan_swap(State& state, const JobRecord& record, const model::Placement& ended, Requeue& requeue) {
  requeue.excluded = record.excluded;
  if (requeue.because != model::ExitClass::kInfrastructure) {
    return;
  }
  const std::vector<NodeId> failed = failed_nodes(state, record, ended);
  if (failed.empty()) {
    return;
  }
  requeue.excluded = excluded_after(state, record, failed);
  model::Placement held = ended;
  std::erase_if(held.tasks, [&](const model::TaskPlacement& task) {
    return contains(failed, task.node) || !is_in_order(state, task);
  });
  drop_claimed(state, held);
  if (state.policy().hold_ms > 0 && !held.tasks.empty() && held.tasks.size() < ended.tasks.size()) {
    requeue.hold_until_ms = requeue.not_before_ms + state.policy().hold_ms;
    requeue.held = std::move(held);
    requeue.gang_tasks = static_cast<std::uint32_t>(ended.tasks.size());
  }
}

std::optional<place::Found> complete_gang(State& state, const JobRecord& record) {
  const Kept& hold = *record.kept;
  const model::Placement& held = hold.granted.placement;
  // A held card or node that went out of order since cannot be used; the hold then ends by its time.
  if (!std::all_of(held.tasks.begin(), held.tasks.end(),
                   [&](const model::TaskPlacement& task) { return is_in_order(state, task); })) {
    return std::nullopt;
  }
  const auto missing = static_cast<std::uint32_t>(hold.gang_tasks - held.tasks.size());
  std::optional<place::GangNeed> need = need_like(state, record.request(), held);
  if (need.has_value()) {
    need->min_tasks = need->max_tasks = missing;
  }
  if (!need.has_value() || !is_within_quota(state, record.request(), *need)) {
    return std::nullopt;
  }
  const std::vector<NodeId> reserved = windows::closed_nodes(state, record, state.now_ms());
  if (std::any_of(held.tasks.begin(), held.tasks.end(),
                  [&](const model::TaskPlacement& task) { return contains(reserved, task.node); })) {
    return std::nullopt;
  }
  need->allowed = nodes_allowed(state, record, full_nodes(record.request(), held));
  auto found = place_near(state, *need, held.tasks[0].node);
  return found.has_value() ? std::optional(merge(state, hold, *std::move(found))) : std::nullopt;
}

}  // namespace busbar::sched::gang
