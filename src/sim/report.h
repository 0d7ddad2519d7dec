#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/json.h"
#include "sim/recorder.h"
#include "sim/trace.h"

namespace busbar::sim {

/// Mean and percentiles of some times, in seconds; 0 of none.
struct TimesSummary {
  double mean_s = 0;
  double p50_s = 0;
  double p99_s = 0;
};
TimesSummary summarise_times(std::vector<std::int64_t> times_ms);

/// Jobs of one size or one queue.
struct GroupSummary {
  std::string name = {};   ///< Of the queue.
  std::int64_t cards = 0;  ///< Of the size; the largest of the group.
  std::size_t jobs = 0;
  TimesSummary wait = {};
  TimesSummary completion = {};
  double held_percent = 0;  ///< Of all card time that was held.
};

/// The figures of one run. A wait is all time in which a job held no cards, also after a preemption; the waits of jobs
/// that had not ended when the run stopped count up to there.
struct RunSummary {
  std::string policy = {};
  std::string trace = {};
  double cards = 0;
  std::size_t jobs = 0;
  std::size_t finished = 0;
  std::size_t refused = 0;
  std::size_t abandoned = 0;
  TimesSummary completion = {};  ///< JCT: from submission to end, of the jobs that ended.
  TimesSummary wait = {};
  double makespan_s = 0;
  double utilisation_percent = 0;  ///< Card time held, of capacity times makespan.
  double useful_percent = 0;       ///< Of the same, less restarts and lost work.
  /// While jobs asked for all cards at least: how much of the time that was, and the same two of it.
  double saturated_time_percent = 0;
  double saturated_utilisation_percent = 0;
  double saturated_useful_percent = 0;
  double lost_percent = 0;
  double restart_percent = 0;
  double preemptions_per_job = 0;
  std::size_t preempted_twice_in_an_hour = 0;
  std::uint64_t events = 0;
  std::vector<GroupSummary> sizes = {};   ///< By cards; powers of two if there are many sizes.
  std::vector<GroupSummary> queues = {};  ///< By card time held, most first.
};
RunSummary summarise(const Trace& trace, const RunResult& result);

Json to_json(const RunSummary& summary);

}  // namespace busbar::sim
