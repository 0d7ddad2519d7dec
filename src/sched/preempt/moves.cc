#include "sched/preempt/moves.h"

#include <algorithm>
#include <map>
#include <tuple>

#include <fmt/format.h>

#include "base/units.h"
#include "sched/elastic/growth.h"
#include "sched/fairshare/quota.h"
#include "sched/gang/affinity.h"
#include "sched/gang/near.h"
#include "sched/place/placer.h"

namespace busbar::sched::preempt {
namespace {

using internal::JobRecord;
using internal::State;
using Set = std::vector<const Candidate*>;

// Of a job that never saved, all its work.
std::int64_t cost_of_move(const State& state, const JobRecord& record) {
  const std::int64_t unsaved_ms =
      record.started_ms == 0 ? 0 : state.now_ms() - std::max(record.started_ms, record.saved_ms);
  return record.granted->milli_cards * (unsaved_ms + state.policy().restart_cost_ms);
}

// What the job's cards do not do while it waits; an hour's worth where its start is not known.
std::int64_t cost_of_waiting(const State& state, const JobRecord& job, std::int64_t milli) {
  const TimeMs start_ms = job.booking->start_ms;
  return milli * (start_ms == 0 ? state.policy().eviction_interval_ms : std::max<TimeMs>(start_ms - state.now_ms(), 0));
}

/// Tries sets of jobs to move for one need.
class Mover {
 public:
  Mover(State& state, const JobRecord& job, place::FreeMap& map, const place::GangNeed& need)
      : state_(state), job_(job), map_(map), need_(need) {}

  std::optional<MovePlan> attempt(Set set) {
    if (trials_++ >= kMaxMoveTrials) {
      return std::nullopt;
    }
    for (const Candidate* one : set) map_.release(one->part->placement);
    std::vector<model::Placement> claimed;
    std::optional<MovePlan> plan = place_all(set, claimed);
    for (const model::Placement& placement : claimed) map_.release(placement);
    for (const Candidate* one : set) map_.claim(one->part->placement);
    return plan;
  }

  // Leaves out, dearest first, whoever turns out not to be needed.
  MovePlan without_spare(Set set, MovePlan plan) {
    std::sort(set.begin(), set.end(), [](const Candidate* a, const Candidate* b) {
      return std::tuple(-a->cost, a->record->id()) < std::tuple(-b->cost, b->record->id());
    });
    for (std::size_t i = 0; i < set.size() && set.size() > 1;) {
      Set fewer = set;
      fewer.erase(fewer.begin() + static_cast<std::ptrdiff_t>(i));
      if (auto found = attempt(fewer)) {
        set = std::move(fewer);
        plan = *std::move(found);
      } else {
        ++i;
      }
    }
    return plan;
  }

 private:
  std::optional<MovePlan> place_all(Set& set, std::vector<model::Placement>& claimed) {
    auto own = place::Placer(map_, state_.fabric()).place(need_);
    if (!own.has_value()) {
      return std::nullopt;
    }
    const auto claim = [&](const model::Placement& placement) {
      map_.claim(placement);
      claimed.push_back(placement);
    };
    claim(own->placement);
    // Large ones are the hardest to place.
    std::sort(set.begin(), set.end(), [](const Candidate* a, const Candidate* b) {
      return std::tuple(-a->part->milli_cards, a->record->id()) < std::tuple(-b->part->milli_cards, b->record->id());
    });
    MovePlan plan = {.placement = std::move(own->placement)};
    for (const Candidate* one : set) {
      auto found = place_elsewhere(*one);
      if (!found.has_value()) {
        return std::nullopt;
      }
      claim(found->placement);
      plan.cost += one->cost;
      plan.moves.push_back({.job = one->record->id(), .to = std::move(found->placement)});
    }
    std::sort(plan.moves.begin(), plan.moves.end(),
              [](const MovePlan::Move& a, const MovePlan::Move& b) { return a.job < b.job; });
    return plan;
  }

  std::optional<place::Found> place_elsewhere(const Candidate& one) {
    const JobRecord& record = *one.record;
    std::optional<place::GangNeed> need = gang::need_like(state_, record.request(), record.granted->placement);
    if (!need.has_value()) {
      return std::nullopt;
    }
    need->min_tasks = need->max_tasks = static_cast<std::uint32_t>(record.granted->placement.tasks.size());
    need->allowed = gang::nodes_allowed(state_, record);
    auto found = place::Placer(map_, state_.fabric()).place(*need);
    const bool is_fine = found.has_value() && found->placement != record.granted->placement &&
                         !elastic::is_near_promised(state_, found->placement, job_.id());
    return is_fine ? std::move(found) : std::nullopt;
  }

  State& state_;
  const JobRecord& job_;
  place::FreeMap& map_;
  const place::GangNeed& need_;
  std::size_t trials_ = 0;
};

/// A node and the jobs that would have to leave it.
struct Clearing {
  std::int64_t cost = 0;
  model::NodeId node = {};
  Set jobs = {};
};

// Nodes on which nobody else is, cheapest first.
std::vector<Clearing> clearings(const place::FreeMap& map, const std::vector<Candidate>& candidates) {
  std::map<model::NodeId, Clearing> by_node;
  std::map<model::NodeId, std::int64_t> held;
  for (const Candidate& one : candidates) {
    for (const model::TaskPlacement& task : one.part->placement.tasks) {
      Clearing& clearing = by_node[task.node];
      clearing.node = task.node;
      held[task.node] += static_cast<std::int64_t>(task.cards.size()) * task.per_card.value;
      if (clearing.jobs.empty() || clearing.jobs.back() != &one) {
        clearing.cost += one.cost;
        clearing.jobs.push_back(&one);
      }
    }
  }
  std::vector<Clearing> sorted;
  for (auto& [id, clearing] : by_node) {
    const place::NodeSlot& node = *map.find_node(id);
    std::int64_t used = 0;
    for (const place::CardSlot& card : map.cards_of(node)) used += card.used;
    if (node.is_usable && used == held[id]) {
      sorted.push_back(std::move(clearing));
    }
  }
  std::sort(sorted.begin(), sorted.end(), [](const Clearing& a, const Clearing& b) {
    return std::tuple(a.cost, a.node) < std::tuple(b.cost, b.node);
  });
  return sorted;
}

std::optional<MovePlan> search(Mover& mover, const place::FreeMap& map, const std::vector<Candidate>& candidates,
                               std::uint32_t most) {
  constexpr std::size_t kMostSingles = kMaxMoveTrials / 2;
  for (std::size_t i = 0; i < candidates.size() && i < kMostSingles; ++i) {
    if (auto plan = mover.attempt({&candidates[i]})) {
      return plan;
    }
  }
  Set set;
  for (const Clearing& clearing : clearings(map, candidates)) {
    Set more = set;
    for (const Candidate* one : clearing.jobs) {
      if (std::find(more.begin(), more.end(), one) == more.end()) more.push_back(one);
    }
    if (more.size() > most || more.size() == set.size()) {
      continue;
    }
    set = std::move(more);
    if (auto plan = mover.attempt(set)) {
      return mover.without_spare(set, *std::move(plan));
    }
  }
  return std::nullopt;
}

}  // namespace

std::optional<MovePlan> find_moves(State& state, const JobRecord& job, Ground& ground, std::uint32_t most) {
  if (most == 0 || job.booking == nullptr) {
    return std::nullopt;
  }
  for (place::GangNeed need : place::needs_of(job.request(), state.free_map())) {
    need.max_tasks = need.min_tasks;
    need.allowed = gang::nodes_allowed(state, job);
    const std::string& chip = state.free_map().chip_name(need.task.chip);
    const std::int64_t milli = need.task.milli_cards() * need.min_tasks;
    const fairshare::Room room =
        fairshare::room_for(state, job.request(), chip,
                            {.each = need.task.milli_cards(), .most = need.min_tasks, .freed = &ground.freed()});
    if (milli == 0 || room.tasks < need.min_tasks || ground.free_milli(need.task.chip) < milli) {
      continue;
    }
    const std::int64_t most_cost = cost_of_waiting(state, job, milli);
    std::vector<Candidate> candidates;
    for (const JobRecord* record : ground.stoppable()) {
      const bool may_move = cost_of_move(state, *record) < most_cost && record->granted->placement.chip == chip &&
                            record->granted->milli_cards < milli &&
                            record->request().priority <= job.request().priority &&
                            elastic::may_resize(state, *record) &&
                            !elastic::is_near_promised(state, record->granted->placement, job.id());
      if (may_move) {
        candidates.push_back({.record = record, .part = record->granted, .cost = cost_of_move(state, *record)});
      }
    }
    std::sort(candidates.begin(), candidates.end(), [](const Candidate& a, const Candidate& b) {
      return std::tuple(a.cost, a.record->id()) < std::tuple(b.cost, b.record->id());
    });
    Mover mover(state, job, ground.map(), need);
    if (mover.attempt({}).has_value()) {
      return std::nullopt;  // What is ending already leaves enough.
    }
    const auto plan = search(mover, ground.map(), candidates, most);
    if (plan.has_value() && plan->cost < most_cost) {
      return plan;
    }
  }
  return std::nullopt;
}

void carry_out(internal::DecisionLog& log, const JobRecord& job, const MovePlan& plan) {
  State& state = log.state();
  const model::JobId id = job.id();
  const TimeMs until_ms = state.now_ms() + state.policy().claim_timeout_ms;
  log.emit(Claim{.job = id,
                 .placement = plan.placement,
                 .until_ms = until_ms,
                 .reason = fmt::format("{} job{} go{} on elsewhere, which costs {} of card time", plan.moves.size(),
                                       plan.moves.size() == 1 ? "" : "s", plan.moves.size() == 1 ? "es" : "",
                                       format_duration_ms(plan.cost / place::kWholeCard))});
  for (const MovePlan::Move& move : plan.moves) {
    const std::string why = fmt::format("makes room for job {} and goes on elsewhere", id.value);
    log.emit(Claim{.job = move.job, .placement = move.to, .until_ms = until_ms, .reason = why});
    log.emit(Stop{.attempt = state.jobs().find(move.job)->attempt_id(), .reason = StopReason::kMoved, .detail = why});
  }
}

}  // namespace busbar::sched::preempt
