#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "sim/fgd_load.h"

namespace busbar::sim {

/// The experiment of "Beware of Fragmentation" (USENIX ATC 2023): the order of the nodes is drawn; the pods of a list,
/// and more drawn from it with replacement until they ask for `arrive_percent` of all cards, come in random order and
/// stay; what does not fit is dropped. Every policy sees the same nodes and pods for the same seed.
struct FgdProtocol {
  std::int64_t arrive_percent = 130;
};

/// Order of arrival, as indices into pods.shapes.
std::vector<std::uint32_t> draw_arrivals(const FgdCluster& cluster, const FgdPods& pods, const FgdProtocol& protocol,
                                         std::uint64_t seed);

/// One policy, one seed.
struct FgdRun {
  double allocated_percent = 0;  ///< Of all milli-cards, after the last arrival.
  std::size_t pods = 0;
  std::size_t placed = 0;
  std::uint64_t moves = 0;                ///< Pods that were sent elsewhere to make room.
  std::int64_t setup_ns = 0;              ///< Learning the distribution.
  std::vector<std::int64_t> decision_ns;  ///< One a pod.
};

/// Nanoseconds since some moment; only differences count.
using NowNs = std::function<std::int64_t()>;

/// `policy` must be one of pack_policy_names().
FgdRun run_fgd(const FgdCluster& cluster, const FgdPods& pods, const FgdProtocol& protocol, std::string_view policy,
               std::uint64_t seed, const NowNs& now_ns);

/// One policy over seeds.
struct FgdSummary {
  std::string policy = {};
  std::int64_t pods = 0;                       ///< Arrivals of one seed, rounded mean.
  std::vector<double> allocated_percent = {};  ///< One a seed.
  double mean = 0;
  double stdev = 0;  ///< Of the sample; 0 for one seed.
  double pods_per_s = 0;
  double setup_ms = 0;  ///< Of one seed.
  double p50_us = 0;
  double p99_us = 0;
  double moves_per_hundred = 0;  ///< Pods moved, of those that came.
};
FgdSummary summarise_fgd(std::string policy, const std::vector<FgdRun>& runs);

/// Paired over seeds: mean of `ours` minus `theirs`, and its standard error (0 for one seed).
struct FgdDifference {
  double mean = 0;
  double standard_error = 0;
};
FgdDifference paired_difference(const FgdSummary& ours, const FgdSummary& theirs);

Json fgd_json(const FgdSummary& summary);

}  // namespace busbar::sim
