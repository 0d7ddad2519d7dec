#include "sim/recorder.h"

#include <algorithm>

#include "base/check.h"

namespace busbar::sim {

Recorder::Recorder(const Trace& trace, std::int64_t capacity_milli)
    : trace_(trace),
      holding_since_ms_(trace.jobs.size(), -1),
      last_preemption_ms_(trace.jobs.size(), -1),
      held_of_queue_(trace.queues.size(), 0),
      queue_settled_ms_(trace.queues.size(), 0) {
  result_.capacity_milli = capacity_milli;
  result_.jobs.resize(trace.jobs.size());
  result_.held_by_queue.resize(trace.queues.size());
}

void Recorder::advance(TimeMs now_ms) {
  CHECK(now_ms >= settled_ms_, "time went backwards");
  result_.held.add(settled_ms_, now_ms, held_milli_);
  result_.waiting.add(settled_ms_, now_ms, waiting_milli_);
  const std::int64_t held_milli_ms = held_milli_ * (now_ms - settled_ms_);
  result_.held_milli_ms += held_milli_ms;
  if (now_ms > settled_ms_) {
    is_saturated_ = held_milli_ + waiting_milli_ >= result_.capacity_milli;
  }
  if (is_saturated_) {
    result_.saturated.time_ms += now_ms - settled_ms_;
    result_.saturated.held_milli_ms += held_milli_ms;
  }
  settled_ms_ = now_ms;
}

void Recorder::submit(std::size_t job, TimeMs now_ms) {
  advance(now_ms);
  waiting_milli_ += trace_.jobs[job].milli_cards();
}

void Recorder::refuse(std::size_t job, TimeMs now_ms) {
  advance(now_ms);
  waiting_milli_ -= trace_.jobs[job].milli_cards();
  result_.jobs[job].is_refused = true;
  ++finished_;
}

void Recorder::start(std::size_t job, TimeMs now_ms) {
  advance(now_ms);
  const TraceJob& what = trace_.jobs[job];
  CHECK(!is_holding(job), "a job started twice");
  waiting_milli_ -= what.milli_cards();
  held_milli_ += what.milli_cards();
  CHECK(held_milli_ <= result_.capacity_milli, "more cards are in use than there are");
  holding_since_ms_[job] = now_ms;
  if (!result_.jobs[job].first_start_ms) {
    result_.jobs[job].first_start_ms = now_ms;
  }
  result_.held_by_queue[what.queue].add(queue_settled_ms_[what.queue], now_ms, held_of_queue_[what.queue]);
  queue_settled_ms_[what.queue] = now_ms;
  held_of_queue_[what.queue] += what.milli_cards();
}

void Recorder::release(std::size_t job, TimeMs now_ms) {
  advance(now_ms);
  const TraceJob& what = trace_.jobs[job];
  CHECK(is_holding(job), "a job without cards was stopped");
  held_milli_ -= what.milli_cards();
  result_.jobs[job].held_ms += now_ms - holding_since_ms_[job];
  holding_since_ms_[job] = -1;
  result_.held_by_queue[what.queue].add(queue_settled_ms_[what.queue], now_ms, held_of_queue_[what.queue]);
  queue_settled_ms_[what.queue] = now_ms;
  held_of_queue_[what.queue] -= what.milli_cards();
}

void Recorder::waste(std::size_t job, std::int64_t restart_ms, std::int64_t lost_ms) {
  JobOutcome& outcome = result_.jobs[job];
  outcome.restart_ms += restart_ms;
  outcome.lost_ms += lost_ms;
  result_.saturated.wasted_milli_ms += is_saturated_ ? (restart_ms + lost_ms) * trace_.jobs[job].milli_cards() : 0;
}

void Recorder::stop(std::size_t job, TimeMs now_ms, const Stop& stop) {
  release(job, now_ms);
  waiting_milli_ += trace_.jobs[job].milli_cards();
  waste(job, stop.restart_ms, stop.lost_ms);
  JobOutcome& outcome = result_.jobs[job];
  if (!stop.is_preemption) {
    return;
  }
  ++outcome.preemptions;
  if (last_preemption_ms_[job] >= 0) {
    const std::int64_t gap_ms = now_ms - last_preemption_ms_[job];
    outcome.least_gap_ms = outcome.least_gap_ms < 0 ? gap_ms : std::min(outcome.least_gap_ms, gap_ms);
  }
  last_preemption_ms_[job] = now_ms;
}

void Recorder::finish(std::size_t job, TimeMs now_ms, std::int64_t restart_ms) {
  release(job, now_ms);
  waste(job, restart_ms, 0);
  result_.jobs[job].end_ms = now_ms;
  ++finished_;
}

void Recorder::abandon(std::size_t job, TimeMs now_ms) {
  JobOutcome& outcome = result_.jobs[job];
  if (outcome.end_ms || outcome.is_refused) {
    return;
  }
  advance(now_ms);
  CHECK(!is_holding(job), "a job that holds cards was given up");
  waiting_milli_ -= trace_.jobs[job].milli_cards();
  outcome.end_ms = now_ms;
  outcome.is_abandoned = true;
  ++finished_;
}

void Recorder::note_stranded(TimeMs now_ms, std::int64_t milli) {
  result_.stranded.add(stranded_since_ms_, now_ms, milli);
  stranded_since_ms_ = now_ms;
}

RunResult Recorder::take(TimeMs now_ms, std::string policy) {
  advance(now_ms);
  for (std::size_t job = 0; job < holding_since_ms_.size(); ++job) {
    if (holding_since_ms_[job] >= 0) {
      result_.jobs[job].held_ms += now_ms - holding_since_ms_[job];
    }
  }
  for (std::size_t queue = 0; queue < held_of_queue_.size(); ++queue) {
    result_.held_by_queue[queue].add(queue_settled_ms_[queue], now_ms, held_of_queue_[queue]);
    result_.held_by_queue[queue].coarsen(result_.held.span_ms());
  }
  result_.end_ms = now_ms;
  result_.policy = std::move(policy);
  return std::move(result_);
}

}  // namespace busbar::sim
