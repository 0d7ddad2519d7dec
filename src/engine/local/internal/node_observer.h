#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "model/cluster.h"

namespace busbar::engine {

/// What this machine tells about itself; values, so that the rest is testable.
struct MachineFacts {
  struct Cpu {
    std::uint32_t number = 0;
    std::int16_t numa_node = -1;
    std::uint32_t threads_per_core = 1;
    std::int64_t max_mhz = 0;  ///< 0: unknown.
  };
  std::string name = {};
  std::vector<Cpu> cpus = {};     ///< Those that we may run on.
  std::string cpu_flags = {};     ///< The "flags" line of /proc/cpuinfo.
  std::int64_t memory_bytes = 0;  ///< The smaller of the machine's memory and our own cgroup's limit.
};

Result<MachineFacts> read_machine_facts(const std::string& node_name);

/// The machine as one node with CPU cards: one for each CPU, or `cpu_cards` of them (then several may share a CPU).
/// A card's peak is what its core can do in theory: FMA units x vector width x clock, shared by its hardware threads.
model::Node make_node(const MachineFacts& facts, std::uint32_t cpu_cards);

/// Single precision operations per clock of a core with these flags: 2 FMA units x lanes x 2.
std::int64_t fp32_per_clock(std::string_view cpu_flags);

}  // namespace busbar::engine
