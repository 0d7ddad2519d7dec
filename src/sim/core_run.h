#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "model/cluster.h"
#include "sched/core.h"
#include "sim/recorder.h"
#include "sim/trace.h"

namespace busbar::sim {

/// What the machines do beside computing; the same for every policy.
struct MachineModel {
  std::int64_t start_ms = 0;                 ///< From the placement to the first instruction.
  std::int64_t restart_ms = 60'000;          ///< On its cards, after each preemption.
  std::int64_t checkpoint_ms = 30 * 60'000;  ///< For jobs that declare none.
  std::int64_t stop_ms = 0;                  ///< From the decision to stop to free cards.
};

/// How far a run is.
struct Progress {
  std::size_t finished = 0;
  std::size_t jobs = 0;
  TimeMs now_ms = 0;
};

struct RunControl {
  std::optional<TimeMs> until_ms = {};  ///< Stop here; nullopt: when the last job has ended.
  /// Called about every thousand events.
  std::function<void(const Progress&)> on_progress = {};
  /// Called with the journal's header and then each frame, as `busbar replay` reads them.
  std::function<void(std::string_view)> on_journal = {};
};

/// Runs a load through the scheduling core itself: the second host of the same code that the server hosts. Nodes join
/// at 0 ms, gangs start and end as the trace says, what the core stops loses the work since its last checkpoint.
/// An error of the core is kInternal and names the event. Cost: the core's, plus a few microseconds an event.
Result<RunResult> run_core(const Trace& trace, const std::vector<model::Node>& nodes, const sched::Policy& policy,
                           const MachineModel& machine, const RunControl& control);

}  // namespace busbar::sim
