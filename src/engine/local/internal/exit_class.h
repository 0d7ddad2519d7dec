#pragma once

#include <cstdint>
#include <string>

#include "base/units.h"
#include "engine/engine.h"

namespace busbar::engine {

/// What is known when a container's first process has ended.
struct ExitFacts {
  std::int32_t code = 0;        ///< From conmon's exit file: 128 + signal for signals.
  bool was_stopped = false;     ///< stop() had been asked for.
  std::uint64_t oom_kills = 0;  ///< By the kernel in the container's cgroup.
  bool has_exit_mark = false;   ///< Our init saw the program end; absent when init itself was killed.
  Bytes memory_limit = {};
};

/// Class and detail of a task's end. Pure. A task that survived the loss of a child to the OOM killer and ended with 0
/// has succeeded.
TaskEnded classify_exit(model::TaskId task, const ExitFacts& facts);

}  // namespace busbar::engine
