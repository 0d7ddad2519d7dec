#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "sim/trace.h"

namespace busbar::sim {

/// Jobs that are alike: how often they come, their size, and how long they take.
struct MixClass {
  std::string name = {};
  std::int64_t weight_milli = 1000;  ///< Relative share of the submissions.
  std::uint32_t nodes = 1;
  std::int64_t milli_per_node = 1000;
  /// Run times are log-normal with this median, cut to [least, most].
  std::int64_t median_ms = 0;
  std::int64_t spread_milli = 1000;  ///< Standard deviation of the logarithm, in thousandths.
  std::int64_t least_ms = 60'000;
  std::int64_t most_ms = 7 * 86'400'000LL;
  /// Percent of the jobs that declare a time limit, and how far above the run time it lies, drawn evenly in between.
  std::int64_t limited_percent = 100;
  std::int64_t limit_least_percent = 110;
  std::int64_t limit_most_percent = 300;
  std::int64_t checkpoint_ms = 0;
  std::string level = {};
  std::vector<std::string> queues = {"default"};  ///< One is drawn for each job.
};

/// A made load: shape of the cluster, length, how much is asked for, and the classes.
struct Mix {
  std::string name = {};
  std::uint32_t cards = 0;
  std::uint32_t cards_per_node = 8;
  std::uint32_t nodes_per_leaf = 8;
  std::uint32_t leaves_per_spine = 8;
  std::int64_t length_ms = 0;
  /// Card time asked for, of what the cluster has in that time.
  std::int64_t load_percent = 100;
  std::vector<MixClass> classes = {};
};

/// Reads a mix (YAML or JSON; docs/simulator.md). kInvalidArgument with `name:line`.
Result<Mix> read_mix(const std::string& name, std::string_view text);

/// Submissions at random times (Poisson), run times as the classes say. The same mix and seed give the same load on
/// every machine: logarithms and the like are taken from tables of our own, not from the C library.
Trace make_trace(const Mix& mix, std::uint64_t seed);

}  // namespace busbar::sim
