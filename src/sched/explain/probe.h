#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "sched/fairshare/quota.h"
#include "sched/internal/state.h"

namespace busbar::sched::explain {

/// Tells in microseconds what would certainly not start a waiting job: with these jobs gone and nobody else taking
/// their place it would still not fit, or not be within its quota. So that only what may help is tried on a fork, which
/// costs a walk over all who wait.
class Probe {
 public:
  /// A copy of the state; `job` waits in it.
  Probe(internal::State state, model::JobId job);

  /// False: it would not start if these jobs, which hold cards, were gone.
  bool may_start_without(std::span<const model::JobId> gone);
  /// The most tasks of the job's kind that could start now, at most `most`.
  std::uint32_t tasks_that_may_start(std::uint32_t most);

 private:
  std::uint32_t count(std::uint32_t least, std::uint32_t most);

  internal::State state_;
  const internal::JobRecord& job_;
  std::shared_ptr<const place::NodeFilter> allowed_;
  bool is_blind_ = false;  ///< Ends of jobs change which nodes it may go to: then everything may help.
  place::FreeMap map_;
  fairshare::Freed freed_;
};

}  // namespace busbar::sched::explain
