#include "sim/internal/policy_jobs.h"

#include <algorithm>
#include <map>
#include <tuple>

#include "base/check.h"

namespace busbar::sim::internal {
namespace {

constexpr std::int64_t kLeastSampleMs = 60'000;
constexpr std::int64_t kSamples = 1000;

}  // namespace

PolicyJobs::PolicyJobs(const Trace& trace, Room room, const MachineModel& machine)
    : trace_(trace),
      room_(room),
      empty_(std::move(room)),
      machine_(machine),
      recorder_(trace, room_.capacity_milli()),
      jobs_(trace.jobs.size()),
      held_by_queue_(trace.queues.size(), 0) {
  std::map<std::tuple<std::uint32_t, std::int64_t, std::string, std::int64_t, std::int64_t>, std::size_t> shapes;
  for (std::size_t i = 0; i < jobs_.size(); ++i) {
    const TraceJob& job = trace.jobs[i];
    const auto key = std::tuple(job.nodes, job.milli_per_node, job.level, job.cpus_milli, job.memory_bytes);
    jobs_[i].shape = shapes.emplace(key, shapes.size()).first->second;
  }
  shapes_ = shapes.size();
}

const std::vector<std::size_t>& PolicyJobs::waiting() {
  if (has_started_) {
    std::erase_if(waiting_, [&](std::size_t job) { return is_running(job); });
    has_started_ = false;
  }
  return waiting_;
}

std::optional<TimeMs> PolicyJobs::next_end_ms() const {
  return endings_.empty() ? std::nullopt : std::optional(endings_.begin()->first);
}

std::int64_t PolicyJobs::served_ms(std::size_t job) const {
  return jobs_[job].served_ms + (is_running(job) ? now_ms_ - jobs_[job].started_ms : 0);
}

bool PolicyJobs::reaches_limit(std::size_t job) const {
  const std::int64_t limit_ms = trace_.jobs[job].time_limit_ms;
  return limit_ms > 0 && trace_.jobs[job].work_ms - jobs_[job].saved_ms > limit_ms;
}

std::int64_t PolicyJobs::remaining_ms(std::size_t job) const {
  const Job& state = jobs_[job];
  if (is_running(job)) {
    return end_of(job) - now_ms_;
  }
  const std::int64_t work_ms = trace_.jobs[job].work_ms - state.saved_ms;
  const std::int64_t limit_ms = trace_.jobs[job].time_limit_ms;
  return (limit_ms > 0 ? std::min(work_ms, limit_ms) : work_ms) + (state.was_preempted ? machine_.restart_ms : 0);
}

TimeMs PolicyJobs::end_of(std::size_t job) const {
  const Job& state = jobs_[job];
  const std::int64_t work_ms = trace_.jobs[job].work_ms - state.saved_ms;
  const std::int64_t limit_ms = trace_.jobs[job].time_limit_ms;
  return state.started_ms + machine_.start_ms + state.restart_ms +
         (limit_ms > 0 ? std::min(work_ms, limit_ms) : work_ms);
}

void PolicyJobs::submit(std::size_t job) {
  recorder_.submit(job, now_ms_);
  if (!empty_.fits(trace_, job)) {
    recorder_.refuse(job, now_ms_);
    return;
  }
  waiting_.push_back(job);
}

bool PolicyJobs::try_start(std::size_t job) {
  std::optional<Spot> spot = room_.find(trace_, job);
  if (!spot) {
    return false;
  }
  start(job, *std::move(spot));
  return true;
}

void PolicyJobs::start(std::size_t job, Spot spot) {
  Job& state = jobs_[job];
  room_.claim(spot);
  state.spot = std::move(spot);
  state.started_ms = now_ms_;
  state.first_start_ms = state.first_start_ms < 0 ? now_ms_ : state.first_start_ms;
  state.restart_ms = state.was_preempted ? machine_.restart_ms : 0;
  has_started_ = true;
  held_by_queue_[trace_.jobs[job].queue] += trace_.jobs[job].milli_cards();
  recorder_.start(job, now_ms_);
  endings_.emplace(end_of(job), job);
}

void PolicyJobs::release(std::size_t job) {
  Job& state = jobs_[job];
  CHECK(endings_.erase({end_of(job), job}) == 1, "a running job has no end");
  room_.release(state.spot);
  state.spot = {};
  state.served_ms += now_ms_ - state.started_ms;
  state.started_ms = -1;
  held_by_queue_[trace_.jobs[job].queue] -= trace_.jobs[job].milli_cards();
}

void PolicyJobs::preempt(std::size_t job) {
  Job& state = jobs_[job];
  const std::int64_t ran_ms = now_ms_ - state.started_ms;
  const std::int64_t restart_ms = std::min(ran_ms, machine_.start_ms + state.restart_ms);
  const std::int64_t declared_ms = trace_.jobs[job].checkpoint_ms;
  const std::int64_t lost_ms = (ran_ms - restart_ms) % (declared_ms > 0 ? declared_ms : machine_.checkpoint_ms);
  // In its old place among those that wait.
  waiting();
  waiting_.insert(std::ranges::lower_bound(waiting_, job), job);
  release(job);
  state.saved_ms += ran_ms - restart_ms - lost_ms;
  state.was_preempted = true;
  recorder_.stop(job, now_ms_, {.restart_ms = restart_ms, .lost_ms = lost_ms, .is_preemption = true});
}

std::vector<std::size_t> PolicyJobs::end_due() {
  std::vector<std::size_t> ended;
  while (!endings_.empty() && endings_.begin()->first <= now_ms_) {
    const std::size_t job = endings_.begin()->second;
    const bool is_cut = reaches_limit(job);
    waiting();
    const std::int64_t restart_ms = jobs_[job].restart_ms;
    release(job);
    if (is_cut) {
      recorder_.stop(job, now_ms_, {.restart_ms = restart_ms});
      recorder_.abandon(job, now_ms_);
    } else {
      recorder_.finish(job, now_ms_, restart_ms);
    }
    ended.push_back(job);
  }
  if (now_ms_ >= sampled_ms_ + std::max(kLeastSampleMs, trace_.jobs.back().submit_ms / kSamples)) {
    sample_stranded();
  }
  return ended;
}

void PolicyJobs::sample_stranded() {
  if (room_.map().node_count() > 0) {
    recorder_.note_stranded(now_ms_, stranded_milli(room_.map()));
  }
  sampled_ms_ = now_ms_;
}

RunResult PolicyJobs::take(std::optional<TimeMs> until_ms, std::string policy) {
  return recorder_.take(until_ms ? std::max(now_ms_, *until_ms) : now_ms_, std::move(policy));
}

}  // namespace busbar::sim::internal
