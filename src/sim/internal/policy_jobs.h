#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "sim/core_run.h"
#include "sim/recorder.h"
#include "sim/room.h"
#include "sim/trace.h"

namespace busbar::sim::internal {

/// The jobs of one run under a simulated policy: who waits, who runs where and until when, and what a stop costs. The
/// policy decides, this keeps the books. Not thread-safe; borrows the trace.
class PolicyJobs {
 public:
  PolicyJobs(const Trace& trace, Room room, const MachineModel& machine);

  TimeMs now_ms() const { return now_ms_; }
  void set_now(TimeMs now_ms) { now_ms_ = now_ms; }
  const Room& room() const { return room_; }
  std::size_t finished() const { return recorder_.finished(); }

  /// In order of submission, less those that started since the last decision.
  const std::vector<std::size_t>& waiting();
  /// Running jobs by the time of their end.
  const std::set<std::pair<TimeMs, std::size_t>>& endings() const { return endings_; }
  std::optional<TimeMs> next_end_ms() const;
  std::vector<std::int64_t> held_by_queue() const { return held_by_queue_; }

  bool is_running(std::size_t job) const { return jobs_[job].started_ms >= 0; }
  const Spot& spot_of(std::size_t job) const { return jobs_[job].spot; }
  TimeMs first_start_ms(std::size_t job) const { return jobs_[job].first_start_ms; }
  /// True time on its cards until its end, were it started (or left) now.
  std::int64_t remaining_ms(std::size_t job) const;
  /// All time on its cards so far, restarts and lost work included.
  std::int64_t served_ms(std::size_t job) const;
  /// Jobs of one shape find room, or do not, together.
  std::size_t shape_of(std::size_t job) const { return jobs_[job].shape; }
  std::vector<bool> no_shape_failed() const { return std::vector<bool>(shapes_, false); }

  /// A job that fits no empty cluster is refused.
  void submit(std::size_t job);
  bool try_start(std::size_t job);
  void start(std::size_t job, Spot spot);
  void preempt(std::size_t job);
  /// Ends what is due by now; which jobs these are.
  std::vector<std::size_t> end_due();

  RunResult take(std::optional<TimeMs> until_ms, std::string policy);

 private:
  struct Job {
    TimeMs started_ms = -1;  ///< -1: waits, or is over.
    TimeMs first_start_ms = -1;
    std::int64_t restart_ms = 0;  ///< Of the current attempt.
    std::int64_t saved_ms = 0;
    std::int64_t served_ms = 0;  ///< Of earlier attempts.
    bool was_preempted = false;
    std::size_t shape = 0;
    Spot spot = {};
  };

  TimeMs end_of(std::size_t job) const;
  /// At its time limit, if that comes before its work is done.
  bool reaches_limit(std::size_t job) const;
  void release(std::size_t job);
  void sample_stranded();

  const Trace& trace_;
  Room room_;
  Room empty_;
  MachineModel machine_;
  Recorder recorder_;
  std::vector<Job> jobs_;
  std::size_t shapes_ = 0;
  std::vector<std::size_t> waiting_;
  bool has_started_ = false;
  std::set<std::pair<TimeMs, std::size_t>> endings_;
  std::vector<std::int64_t> held_by_queue_;
  TimeMs now_ms_ = 0;
  TimeMs sampled_ms_ = 0;
};

}  // namespace busbar::sim::internal
