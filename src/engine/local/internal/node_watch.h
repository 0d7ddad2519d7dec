#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "engine/local/internal/engine_context.h"
#include "engine/local/internal/node_observer.h"

namespace busbar::engine {

/// This machine as a node: looks at its cards now and then and tells the server when they have changed. Borrows all.
/// Thread-safe; what it starts ends with the context's reactor and work queue, which are stopped before it goes.
class NodeWatch {
 public:
  NodeWatch(EngineContext& context, DeviceProbe& probe, MachineFacts machine)
      : context_(context), probe_(probe), machine_(std::move(machine)) {}

  Result<NodeObserved> look();
  /// Delivers the node as it is, and again whenever it changes, from now on.
  Result<void> begin();
  DeviceProbe& probe() { return probe_; }

 private:
  void look_again();
  void log_problems(const std::vector<ProbeProblem>& problems);

  EngineContext& context_;
  DeviceProbe& probe_;
  const MachineFacts machine_;
  std::mutex mutex_;
  std::optional<model::Node> told_;
  std::vector<ProbeProblem> logged_;
};

}  // namespace busbar::engine
