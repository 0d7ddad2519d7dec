#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "sched/internal/state.h"
#include "sched/place/placer.h"

namespace busbar::sched::backfill {

/// Keeps the first job that does not fit (the head) from being starved by those behind it.
///
/// The head's start T is the earliest time at which it fits if every running job with a time limit ends at its limit
/// and nothing new starts. A job behind the head is admitted
///  - T known: if its own limit ends it by T (only while the head has waited less than `backfill_patience_ms`, because
///    slow starts move T), or if the head still fits at T beside it;
///  - T unknown (jobs without a limit are in the way): if it has a time limit, or if the head would fit beside it and
///    the other jobs without a limit that started while the head waited, once all others have ended.
/// So whatever was in the way when the head began to wait ends, and what came later does not stand in its way: if every
/// job that runs ends, the head starts.
///
/// Lives for one pass; borrows the state, whose claims may change only through admitted jobs.
class Reservation {
 public:
  /// nullopt if the head cannot start on the usable nodes even when they are idle: it waits for a node, and holding
  /// cards for it would help nobody.
  static std::optional<Reservation> make(internal::State& state, const internal::JobRecord& head);

  model::JobId head() const { return head_; }
  std::optional<TimeMs> start_ms() const { return start_ms_; }

  /// True: the job may start there, and counts from now on.
  bool admit(const internal::JobRecord& candidate, const model::Placement& placement);

 private:
  struct Ending {
    TimeMs at_ms = 0;
    model::JobId job = {};
    friend auto operator<=>(const Ending&, const Ending&) = default;
  };

  Reservation(internal::State& state, const internal::JobRecord& head);
  bool head_fits(const place::FreeMap& map) const;
  std::vector<Ending> known_endings() const;
  void find_start();
  void keep_only_newcomers();
  bool touches_head_nodes(const model::Placement& placement) const;

  internal::State* state_;
  model::JobId head_;
  std::vector<place::GangNeed> needs_;
  TimeMs waiting_since_ms_ = 0;
  std::optional<TimeMs> start_ms_ = {};
  bool fits_beside_newcomers_ = true;
  place::FreeMap future_;  ///< At T; or, T unknown, with only the newcomers without a limit.
};

}  // namespace busbar::sched::backfill
