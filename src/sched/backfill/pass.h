#pragma once

#include <optional>

#include "sched/internal/decision_log.h"
#include "sched/internal/state.h"

namespace busbar::sched::backfill {

/// What keeps a pending job from starting now.
struct Obstacle {
  enum class Kind {
    kNothing,      ///< It would start.
    kArrayLimit,   ///< Its group runs as many as it may.
    kQuota,        ///< Its queue's limit.
    kCapacity,     ///< Nothing that it accepts is free.
    kReservation,  ///< It fits, but would delay `head`.
    kClaim,        ///< Cards are being freed for it.
  };
  Kind kind = Kind::kNothing;
  model::JobId head = {};
  std::optional<TimeMs> head_start_ms = {};
};

/// Starts every pending job that may start now, in order, with backfill behind the first one that does not fit:
/// README.md, "Order and backfill". Cost: classes of like jobs, not jobs.
void start_jobs(internal::DecisionLog& log, model::JobId watched = {});

/// What start_jobs() would find for this pending job. Takes a copy of the state (a fork) to try on.
Obstacle find_obstacle(internal::State fork, model::JobId job);

}  // namespace busbar::sched::backfill
