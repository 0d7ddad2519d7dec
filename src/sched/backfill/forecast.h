#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "sched/internal/state.h"
#include "sched/place/placer.h"

namespace busbar::sched::backfill {

/// Where a job may go.
struct Bounds {
  std::shared_ptr<const place::NodeFilter> allowed = nullptr;  ///< nullptr: every node.
  std::optional<place::Vicinity> within = {};                  ///< Only this domain of the fabric.
};

/// Where the smallest gang that the job accepts would be placed on `map`, a form of the state's free map; nullopt:
/// nowhere.
std::optional<model::Placement> place_smallest(internal::State& state, const internal::JobRecord& job,
                                               const place::FreeMap& map, const Bounds& bounds);
/// Whether it would be placed at all.
bool fits(internal::State& state, const internal::JobRecord& job, const place::FreeMap& map, const Bounds& bounds);

/// When a job could start if running jobs with a time limit end at it and nothing new starts. Jobs that yield to it are
/// as good as gone.
///
/// Borrows the state. Cost of making one: O(running jobs); of `earliest`: O(running jobs) releases on copies of the
/// free map and O(log of them) looks at its counts by domain.
class Forecast {
 public:
  explicit Forecast(internal::State& state);

  struct Start {
    TimeMs at_ms = 0;
    model::Placement plan = {};
  };
  /// nullopt: not before jobs without a limit end.
  std::optional<Start> earliest(const internal::JobRecord& job, const Bounds& bounds) const;
  /// What is free for it at that time.
  place::FreeMap at(TimeMs at_ms, const internal::JobRecord& job) const;

 private:
  struct Ending {
    TimeMs at_ms = 0;
    model::JobId job = {};
    friend auto operator<=>(const Ending&, const Ending&) = default;
  };
  place::FreeMap free_for(const internal::JobRecord& job) const;
  void release(place::FreeMap& map, const internal::JobRecord& job, std::size_t first, std::size_t last) const;
  std::size_t endings_until(TimeMs at_ms) const;

  internal::State& state_;
  place::FreeMap now_ = {};      ///< What is ending is gone, and claims are met.
  std::vector<Ending> endings_;  ///< Ascending.
};

}  // namespace busbar::sched::backfill
