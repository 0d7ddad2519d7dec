#pragma once

#include <string>
#include <vector>

#include "gateway/internal/shared_state.h"
#include "gateway/internal/worker.h"

namespace busbar::gateway::internal {

/// What has been counted, in Prometheus' text format 0.0.4. `directory` may be nullptr.
std::string metrics_text(const Directory* directory, std::uint64_t routed_version,
                         const std::vector<const WorkerCounters*>& workers);

}  // namespace busbar::gateway::internal
