#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/json.h"

namespace busbar::sim {

struct SpeedOptions {
  std::uint32_t cards = 10'000;     ///< Whole nodes of eight; 8 .. 1,000,000.
  std::uint32_t load_percent = 90;  ///< 1 .. 99.
  std::uint32_t decisions = 20'000;
  std::uint64_t seed = 1;
};

/// What the host measures with; this folder reads no clock.
struct SpeedProbes {
  std::function<std::int64_t()> now_ns = {};      ///< Steady.
  std::function<std::int64_t()> heap_bytes = {};  ///< In use by the process.
};

/// Decisions on gangs of one size.
struct SpeedRow {
  std::uint32_t cards = 0;
  std::uint64_t count = 0;   ///< Submissions decided.
  std::uint64_t placed = 0;  ///< Of them; the others found no room in the
                             ///< fragmented cluster and were withdrawn.
  double p50_us = 0;
  double p99_us = 0;
};

/// Predicted mean all-reduce efficiency (fabric_model.h) of the gangs of more
/// than one node that run at the end.
struct PredictedRow {
  std::string placement = {};  ///< "busbar", "count_only" (first nodes by name
                               ///< with enough cards), "random".
  std::uint64_t gangs = 0;
  double ring = 0;
  double tree = 0;
};

struct SpeedReport {
  std::uint32_t cards = 0;
  std::uint32_t nodes = 0;
  std::uint32_t leaves = 0;
  std::uint32_t spines = 0;
  std::uint32_t load_percent = 0;
  std::uint64_t seed = 0;
  std::uint64_t running = 0;  ///< Gangs at the end.
  double fork_us = 0;         ///< Median of a copy of the core and its end.
  double release_p50_us = 0;  ///< An attempt's cards come back (GangGone).
  double bytes_per_card = 0;  ///< Heap of the loaded core.
  std::vector<SpeedRow> rows = {};
  std::vector<PredictedRow> predicted = {};
};

/// Fills a fabric to the load with gangs of 1 to 1,024 cards, then submits more
/// one at a time, ending gangs at random so that the load stays, and times
/// `Core::apply` of each submission: request checked, feasibility proven,
/// quota, CPU, memory, chip and topology, the placement made, recorded and
/// hashed.
Result<SpeedReport> measure_speed(const SpeedOptions& options, const SpeedProbes& probes);

Json to_json(const SpeedReport& report);

}  // namespace busbar::sim
