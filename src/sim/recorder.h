#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "sim/time_series.h"
#include "sim/trace.h"

namespace busbar::sim {

/// What became of one job. Times since the start of the load; nullopt: not yet when the run ended.
struct JobOutcome {
  std::optional<TimeMs> first_start_ms = {};
  std::optional<TimeMs> end_ms = {};
  std::int64_t held_ms = 0;     ///< Its cards were taken, all attempts together.
  std::int64_t restart_ms = 0;  ///< Of that: starting again after a preemption.
  std::int64_t lost_ms = 0;     ///< Of that: work done after the last checkpoint before a stop.
  std::uint32_t preemptions = 0;
  std::int64_t least_gap_ms = -1;  ///< Shortest time between two preemptions; -1: fewer than two.
  bool is_refused = false;         ///< Never accepted.
  bool is_abandoned = false;       ///< Ended before its work was done.
};

/// One run: the jobs' outcomes and what was in use over time.
struct RunResult {
  std::string policy = {};
  std::int64_t capacity_milli = 0;
  TimeMs end_ms = 0;  ///< When the run stopped, or the last job ended.
  std::vector<JobOutcome> jobs = {};
  std::int64_t held_milli_ms = 0;  ///< Milli-cards times ms.
  /// While jobs asked for all cards at least, by what they held and what they waited for.
  struct Saturated {
    std::int64_t time_ms = 0;
    std::int64_t held_milli_ms = 0;
    std::int64_t wasted_milli_ms = 0;  ///< Restarts and lost work, when they were over.
  };
  Saturated saturated = {};
  TimeSeries held = {};      ///< Milli-cards in use.
  TimeSeries waiting = {};   ///< Milli-cards asked for by waiting jobs.
  TimeSeries stranded = {};  ///< Free milli-cards on nodes that are partly in use; empty: not measured.
  std::vector<TimeSeries> held_by_queue = {};
  std::uint64_t events = 0;  ///< Handled by the policy.
};

/// Keeps the account of one run, the same for every policy: a job holds its cards from `start` to `stop`.
/// CHECKs that a job does not start twice or use cards that are not there. Not thread-safe.
class Recorder {
 public:
  /// Borrows the trace.
  Recorder(const Trace& trace, std::int64_t capacity_milli);

  void submit(std::size_t job, TimeMs now_ms);
  void refuse(std::size_t job, TimeMs now_ms);
  void start(std::size_t job, TimeMs now_ms);
  struct Stop {
    std::int64_t restart_ms = 0;
    std::int64_t lost_ms = 0;
    bool is_preemption = false;
  };
  /// The cards are free again; the job waits again.
  void stop(std::size_t job, TimeMs now_ms, const Stop& stop);
  void finish(std::size_t job, TimeMs now_ms, std::int64_t restart_ms);
  /// The waiting job is over without success (its time limit for one). Nothing if it has ended already.
  void abandon(std::size_t job, TimeMs now_ms);
  /// Since the last call (or the start), so many free milli-cards were on nodes in partial use.
  void note_stranded(TimeMs now_ms, std::int64_t milli);

  std::int64_t held_milli() const { return held_milli_; }
  std::size_t finished() const { return finished_; }
  bool is_holding(std::size_t job) const { return holding_since_ms_[job] >= 0; }

  /// Jobs that still hold cards are charged up to now.
  RunResult take(TimeMs now_ms, std::string policy);

 private:
  void advance(TimeMs now_ms);
  void release(std::size_t job, TimeMs now_ms);
  void waste(std::size_t job, std::int64_t restart_ms, std::int64_t lost_ms);

  const Trace& trace_;
  RunResult result_;
  std::vector<TimeMs> holding_since_ms_;  ///< -1: holds nothing.
  std::vector<TimeMs> last_preemption_ms_;
  std::vector<std::int64_t> held_of_queue_;
  std::vector<TimeMs> queue_settled_ms_;
  std::int64_t held_milli_ = 0;
  std::int64_t waiting_milli_ = 0;
  TimeMs settled_ms_ = 0;
  TimeMs stranded_since_ms_ = 0;
  bool is_saturated_ = false;  ///< Until now.
  std::size_t finished_ = 0;
};

}  // namespace busbar::sim
