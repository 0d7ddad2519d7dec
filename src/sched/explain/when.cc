#include "sched/explain/when.h"

#include <algorithm>
#include <set>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "base/hash.h"
#include "base/units.h"
#include "sched/backfill/remaining.h"
#include "sched/internal/step.h"
#include "sched/place/feasible.h"

namespace busbar::sched::explain {
namespace {

using internal::JobRecord;
using internal::RunTimes;
using internal::State;

constexpr std::uint32_t kTrials = 11;
/// Ends of jobs that one trial plays; bounds the cost of an answer.
constexpr std::size_t kMaxEnds = 400;

/// One future: who ends when is drawn by the trial's number and the job's.
class Future {
 public:
  Future(const State& state, model::JobId job, std::uint32_t number) : fork_(state), job_(job), number_(number) {}

  /// When the job starts; nullopt: not within kMaxEnds ends.
  std::optional<TimeMs> play() {
    std::vector<model::JobId> live;
    for (const auto& [id, nothing] : fork_.live()) {
      live.push_back(id);
    }
    for (const model::JobId id : live) {
      const JobRecord& record = *fork_.jobs().find(id);
      if (record.staying > 0) {
        apply(fork_.now_ms(), TasksGone{.attempt = record.attempt_id(), .kept = record.staying});
      }
    }
    for (const model::JobId id : live) {
      const JobRecord& record = *fork_.jobs().find(id);
      if (record.state == model::JobState::kStarting) {
        start(record.attempt_id());
      } else {
        expect_end(id);
      }
    }
    for (std::size_t ends = 0; ends < kMaxEnds && !has_started(); ++ends) {
      const std::optional<TimeMs> timer = next_timer();
      if (ends_.empty() && !timer.has_value()) {
        return std::nullopt;
      }
      if (timer.has_value() && (ends_.empty() || *timer < ends_.begin()->first)) {
        apply(*timer, Tick{});
      } else {
        const auto [at_ms, attempt] = *ends_.begin();
        ends_.erase(ends_.begin());
        end(at_ms, attempt);
      }
    }
    return has_started() ? std::optional(fork_.now_ms()) : std::nullopt;
  }

 private:
  bool has_started() const { return fork_.jobs().find(job_) != nullptr && fork_.jobs().find(job_)->granted != nullptr; }

  // Backoffs, holds, windows. Deadlines and limits of running jobs are played by expect_end().
  std::optional<TimeMs> next_timer() const {
    std::optional<TimeMs> next = fork_.next_edge_ms();
    for (auto at = fork_.timers().begin(); at != fork_.timers().end(); ++at) {
      if (fork_.jobs().find(at->first.second)->state == model::JobState::kQueued) {
        return next.has_value() ? std::min(*next, at->first.first) : at->first.first;
      }
    }
    return next;
  }

  void apply(TimeMs at_ms, EventBody body) {
    const auto decisions = internal::step(fork_, {.time_ms = at_ms, .body = std::move(body)});
    if (!decisions) {
      return;
    }
    for (const Decision& decision : *decisions) {
      if (const Place* place = std::get_if<Place>(&decision)) {
        start(place->attempt);
      } else if (const Stop* stop = std::get_if<Stop>(&decision)) {
        ends_.insert({fork_.now_ms(), stop->attempt});
      } else if (const Shrink* shrink = std::get_if<Shrink>(&decision)) {
        apply(fork_.now_ms(), TasksGone{.attempt = shrink->attempt, .kept = shrink->kept});
      }
    }
  }

  void start(model::AttemptId attempt) {
    if (attempt.job == job_) {
      return;
    }
    apply(fork_.now_ms(), GangStarted{.attempt = attempt});
    expect_end(attempt.job);
  }

  void end(TimeMs at_ms, model::AttemptId attempt) {
    const JobRecord* record = fork_.jobs().find(attempt.job);
    if (record == nullptr || record->granted == nullptr || record->attempt != attempt.number) {
      return;
    }
    if (record->stop == std::nullopt && record->exited.front() == 0) {
      apply(at_ms, TaskExited{.task = {.attempt = attempt, .rank = 0}, .ends_gang = true});
    }
    apply(at_ms, GangGone{.attempt = attempt});
  }

  void expect_end(model::JobId id) {
    const JobRecord& record = *fork_.jobs().find(id);
    if (record.state == model::JobState::kStopping) {
      ends_.insert({fork_.now_ms(), record.attempt_id()});
    } else if (const auto remaining_ms = remaining(record)) {
      ends_.insert({fork_.now_ms() + *remaining_ms, record.attempt_id()});
    }
  }

  std::optional<std::int64_t> remaining(const JobRecord& record) const {
    const std::vector<std::int64_t> times = backfill::remaining_times(fork_, record);
    if (times.empty()) {
      return std::nullopt;
    }
    const std::uint64_t draw = mix64(mix64(record.id().value) + number_);
    return times[draw % times.size()];
  }

  State fork_;
  model::JobId job_;
  std::uint32_t number_;
  std::set<std::pair<TimeMs, model::AttemptId>> ends_;
};

std::string basis_text(const State& state, const JobRecord& record) {
  const RunTimes* times = state.run_times().find(record.request().queue);
  const std::size_t learnt = times == nullptr ? 0 : times->permille.size() + times->seconds.size();
  return fmt::format("{} trials; run times: {} learnt in queue \"{}\", else time limits; later submissions not counted",
                     kTrials, learnt, record.request().queue);
}

}  // namespace

Result<When> foresee_start(const State& state, model::JobId id) {
  const JobRecord* record = state.jobs().find(id);
  if (record == nullptr) {
    return make_error(ErrorCode::kNotFound, fmt::format("no job {}, or it is over", id.value));
  }
  if (record->granted) {
    return When{.p50_ms = record->placed_ms, .p90_ms = record->placed_ms, .text = "it has its cards already"};
  }
  if (record->state == model::JobState::kBlocked) {
    return When{.text = "it does not fit the declared cluster; busbar why says what it lacks"};
  }
  std::vector<TimeMs> starts;
  for (std::uint32_t number = 0; number < kTrials; ++number) {
    if (const auto start = Future(state, id, number).play()) {
      starts.push_back(*start);
    }
  }
  std::sort(starts.begin(), starts.end());
  When when = {
      .trials = kTrials, .starts = static_cast<std::uint32_t>(starts.size()), .text = basis_text(state, *record)};
  constexpr std::size_t kMedian = kTrials / 2;
  constexpr std::size_t kNinetieth = (kTrials * 9 + 9) / 10 - 1;
  if (starts.size() > kMedian) when.p50_ms = starts[kMedian];
  if (starts.size() > kNinetieth) when.p90_ms = starts[kNinetieth];
  return when;
}

}  // namespace busbar::sched::explain
