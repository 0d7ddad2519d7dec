#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "chip/catalogue.h"
#include "chip/probe/internal/host_root.h"

namespace busbar::chip::probe {

/// The CPUs of a machine; values, so that what is made of them is testable.
struct CpuFacts {
  struct Cpu {
    std::uint32_t number = 0;
    std::int16_t numa_node = -1;  ///< -1: unknown.
    std::uint32_t threads_per_core = 1;
    std::int64_t max_mhz = 0;  ///< 0: unknown.
  };
  std::vector<Cpu> cpus = {};  ///< Those that we may run on; of another machine's tree, all.
  std::string flags = {};      ///< Of /proc/cpuinfo.
  std::string name = {};
  std::uint32_t sve_bytes = 0;  ///< Length of an SVE vector; 0: none, or not said.
};

Result<CpuFacts> read_cpu_facts(const HostRoot& root);

/// CPU cards: one for each CPU, or `count` of them if that is not 0 (then several may share a CPU). A card's peak is
/// what its core can do in theory: FMA units x vector width x clock, shared by its hardware threads; AMX by the
/// catalogue's operations a cycle. Indices are not set.
std::vector<engine::ProbedCard> make_cpu_cards(const CpuFacts& facts, std::uint32_t count, const Catalogue& catalogue);

/// Single precision operations per clock of a core with these flags: 2 FMA units x lanes x 2.
std::int64_t fp32_per_clock(std::string_view flags, std::uint32_t sve_bytes);

}  // namespace busbar::chip::probe
