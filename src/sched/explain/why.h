#pragma once

#include "sched/core.h"
#include "sched/internal/state.h"

namespace busbar::sched::explain {

/// Core::why(): the binding constraint and, if asked for, changes that would start the job now, each tried on a fork.
/// Takes a fork of its own. kNotFound for jobs that are unknown or over.
Result<Why> explain_job(internal::State fork, model::JobId id, WhyDepth depth);

}  // namespace busbar::sched::explain
