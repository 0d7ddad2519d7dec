#pragma once

#include <utility>
#include <vector>

#include "sched/internal/step.h"

namespace busbar::sched::internal {

/// Collects the decisions of one step; each takes effect on the state at once.
class DecisionLog {
 public:
  explicit DecisionLog(State& state) : state_(state) {}

  State& state() { return state_; }
  void emit(Decision decision) {
    enact(state_, decision);
    decisions_.push_back(std::move(decision));
  }
  std::vector<Decision> take() { return std::move(decisions_); }

 private:
  State& state_;
  std::vector<Decision> decisions_;
};

}  // namespace busbar::sched::internal
