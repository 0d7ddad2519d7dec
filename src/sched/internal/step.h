#pragma once

#include <span>
#include <vector>

#include "sched/events.h"
#include "sched/internal/state.h"

// The core's step in its four parts. What changes the state is only `absorb` (facts) and `enact` (decisions); deciding
// is choosing decisions and enacting each at once, so that recovery, which enacts recorded ones, reaches the same
// state.
namespace busbar::sched::internal {

/// Whether the event makes sense in this state; what apply() answers if it does not.
Result<void> check_event(const State& state, const Event& event);
/// Takes the event's facts. True: waiting jobs may be able to start now.
bool absorb(State& state, const Event& event);

/// Whether a recorded decision fits the state.
Result<void> check_decision(const State& state, const Decision& decision);
void enact(State& state, const Decision& decision);

/// Everything that follows from the event, in order; already enacted.
Result<std::vector<Decision>> step(State& state, const Event& event);

/// How far a what-if on a fork looks at those who wait.
struct Walk {
  model::JobId until = {};  ///< Not beyond this job and its like; invalid: all.
};
/// As step(), for a fork of which only one job's start is asked: what stands behind it does not matter any more.
Result<std::vector<Decision>> try_step(State& fork, const Event& event, Walk walk);
Result<void> step_recorded(State& state, const Event& event, std::span<const Decision> decisions);

}  // namespace busbar::sched::internal
