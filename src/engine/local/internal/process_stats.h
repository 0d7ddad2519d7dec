#pragma once

#include <sys/types.h>

#include "engine/engine.h"

namespace busbar::engine {

/// What the processes in the PID namespace of `init_pid` use, summed from /proc: for containers without a cgroup. The
/// peak of memory is not known and given as the present use; processor time of processes that have ended counts once
/// their parent has waited for them.
TaskStats process_stats(pid_t init_pid);

}  // namespace busbar::engine
