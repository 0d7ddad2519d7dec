#pragma once

#include <algorithm>
#include <utility>
#include <variant>
#include <vector>

#include "base/check.h"
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
  /// What was placed in this step gets these cards instead: nobody has seen the first ones.
  void amend(Place place) {
    const auto is_it = [&](const Decision& decision) {
      const Place* one = std::get_if<Place>(&decision);
      return one != nullptr && one->attempt == place.attempt;
    };
    const auto made = std::find_if(decisions_.begin(), decisions_.end(), is_it);
    CHECK(made != decisions_.end(), "an attempt is amended that was not placed in this step");
    enact(state_, place);
    *made = std::move(place);
  }
  std::vector<Decision> take() { return std::move(decisions_); }

 private:
  State& state_;
  std::vector<Decision> decisions_;
};

}  // namespace busbar::sched::internal
