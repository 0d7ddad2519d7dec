#include "engine/local/internal/exit_class.h"

#include <csignal>
#include <cstring>

namespace busbar::engine {

TaskEnded classify_exit(model::TaskId task, const ExitFacts& facts) {
  TaskEnded ended{.task = task, .exit_class = model::ExitClass::kUser, .exit_code = facts.code};
  if (facts.code == 0 && !facts.was_stopped) {
    ended.exit_class = model::ExitClass::kSuccess;
    return ended;
  }
  if (facts.was_stopped) {
    ended.exit_class = model::ExitClass::kCancelled;
    ended.detail = "stopped";
    return ended;
  }
  if (facts.oom_kills > 0) {
    ended.exit_class = model::ExitClass::kOutOfMemory;
    ended.detail = facts.memory_limit.value > 0
                       ? "killed by the kernel: over its memory limit of " + format_bytes(facts.memory_limit)
                       : "killed by the kernel: the machine ran out of memory";
    return ended;
  }
  if (!facts.has_exit_mark) {
    ended.exit_class = model::ExitClass::kInfrastructure;
    ended.detail = "the container's first process was killed from outside, exit code " + std::to_string(facts.code);
    return ended;
  }
  if (facts.code == 126) {
    ended.detail = "the command could not be run (126)";
  } else if (facts.code == 127) {
    ended.detail = "command not found (127)";
  } else if (facts.code > 128 && facts.code < 128 + NSIG) {
    ended.detail = "signal " + std::to_string(facts.code - 128) + " (" + ::strsignal(facts.code - 128) + ")";
  } else {
    ended.detail = "exit code " + std::to_string(facts.code);
  }
  return ended;
}

}  // namespace busbar::engine
