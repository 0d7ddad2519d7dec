#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "sched/internal/decision_log.h"
#include "sched/internal/state.h"
#include "sched/preempt/candidates.h"

namespace busbar::sched::preempt {

/// Whom to stop so that a waiting job starts, and where it will.
struct Plan {
  struct Victim {
    model::JobId job = {};
    std::optional<model::Placement> goes_on = {};  ///< With fewer tasks, as soon as it has stopped.
    std::uint32_t stays = 0;                       ///< Live: its first tasks, which are not stopped; else 0.
  };
  std::vector<Victim> victims = {};  ///< In id order; empty if jobs that are ending already leave enough.
  model::Placement placement = {};
  std::int64_t cost = 0;          ///< The sum of its victims' cost_of_stop().
  std::int64_t lost_card_ms = 0;  ///< Milli-cards x ms of work that is not saved.
};

/// The cheapest plan for a waiting job that does not fit now: least work lost, then fewest jobs. Whole gangs only, but
/// first it is tried whether elastic ones can spare enough, then whether live ones can beside others that stop; a
/// victim that can goes on with what the job does not need. Every victim is needed: without any one of them the job
/// would not start. nullopt: nothing that it is entitled to helps.
///
/// It may stop jobs of lower priority of its own queue, and, while its gang fits what its queue (or one above) is
/// guaranteed, jobs elsewhere that are borrowed against it; all preemptible, past their minimum run time, and not
/// evicted within `eviction_interval_ms`. Tried on a copy of what is free (README.md, "Preemption"). Exact for up to
/// kExactCandidates candidates. Cost: one placement question a trial, and no trial if all
/// candidates together have too few cards.
///
/// `ground` goes with the state and must be current.
std::optional<Plan> find_plan(internal::State& state, const internal::JobRecord& job, Ground& ground);
inline constexpr std::size_t kExactCandidates = 12;

/// Whether find_plan() could find something, by the queues' accounts alone. Cost: O(levels x chips).
bool may_preempt(const internal::State& state, const internal::JobRecord& job);

/// The cheapest plan for a job that is promised a start, at the cost of jobs that yield (Place::yields) and may be
/// evicted now. It keeps off what is planned for other promised jobs. Cost as above, of the jobs that yield.
std::optional<Plan> find_yielded(internal::State& state, const internal::JobRecord& job, Ground& ground);
/// Whether find_yielded() could find something, by counts of cards. Cost: O(queues + jobs that yield).
bool may_take_yielded(const internal::State& state, const internal::JobRecord& job);

/// Claims the plan's cards for the job and stops the victims.
void carry_out(internal::DecisionLog& log, const internal::JobRecord& job, const Plan& plan);

/// Starts claimed jobs whose cards are free, and gives claims up that cannot be kept: a node or card of theirs is out
/// of service, or the quota shrank.
void settle_claims(internal::DecisionLog& log);

/// `enforce: now`: stops jobs above the queue's limit, those that borrow, of low priority and started late first.
void enforce_limit(internal::DecisionLog& log, const std::string& queue);

}  // namespace busbar::sched::preempt
