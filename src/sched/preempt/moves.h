#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "sched/internal/decision_log.h"
#include "sched/internal/state.h"
#include "sched/preempt/candidates.h"

namespace busbar::sched::preempt {

/// Which jobs go on elsewhere so that a waiting one finds a place for all its tasks, and where everybody is then.
struct MovePlan {
  struct Move {
    model::JobId job = {};
    model::Placement to = {};
  };
  model::Placement placement = {};  ///< Of the waiting job.
  std::vector<Move> moves = {};     ///< In id order, at least one.
  std::int64_t cost = 0;            ///< Milli-cards x ms: work since their checkpoints, and restarts.
};

/// For a job that is promised a start and for which enough cards are free, but not side by side: the cheapest way found
/// to make room by moves, at most `most` of them. Whole gangs that are preemptible, of its priority or below, past
/// their minimum run time and an interval after they were last stopped; each is shown to fit elsewhere at once, at its
/// size and by its own wishes. nullopt: no way, or none that costs less card time than the job would wait. First single
/// jobs are tried, cheapest first, then nodes are cleared, cheapest first. Cost: a few placement questions a trial, at
/// most kMaxMoveTrials trials. `ground` goes with the state and must be current.
std::optional<MovePlan> find_moves(internal::State& state, const internal::JobRecord& job, Ground& ground,
                                   std::uint32_t most);
inline constexpr std::size_t kMaxMoveTrials = 128;

/// Claims everybody's cards and stops those that move.
void carry_out(internal::DecisionLog& log, const internal::JobRecord& job, const MovePlan& plan);

}  // namespace busbar::sched::preempt
