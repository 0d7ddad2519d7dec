#pragma once

#include <cstdint>
#include <vector>

#include "sched/internal/state.h"

namespace busbar::sched::backfill {

/// How much longer a job may run, each value as likely as the others, in ms: what jobs of its queue that ran longer
/// than it has so far took until their end; where none did, until its time limit, else as long again as it has run.
/// Empty: nothing is known, for a job without a limit in a queue where no job has ended.
std::vector<std::int64_t> remaining_times(const internal::State& state, const internal::JobRecord& record);

/// The middle one; without any, as long again as it has run.
std::int64_t expected_remaining_ms(const internal::State& state, const internal::JobRecord& record);

}  // namespace busbar::sched::backfill
