#pragma once

#include <cstdint>
#include <string>

#include "base/error.h"
#include "engine/device_probe.h"
#include "engine/engine.h"

namespace busbar::engine {

/// What this machine tells about itself beside its cards; values, so that the rest is testable.
struct MachineFacts {
  std::string name = {};
  std::int64_t memory_bytes = 0;  ///< The smaller of the machine's memory and our own cgroup's limit.
};

Result<MachineFacts> read_machine_facts(const std::string& node_name);

/// The machine as one node with the cards that a probe found.
NodeObserved make_node(const MachineFacts& facts, const Inventory& inventory);

}  // namespace busbar::engine
