#include "sim/policy_run.h"

#include <algorithm>
#include <array>
#include <queue>

#include <fmt/format.h>

#include "base/check.h"
#include "sched/learn/habits.h"
#include "sim/internal/policy_jobs.h"

namespace busbar::sim {
namespace {

using internal::PolicyJobs;

constexpr std::uint64_t kProgressEvery = 1000;
constexpr std::array<std::string_view, 8> kNames = {"fifo", "first-fit", "easy",    "fair",
                                                    "sjf",  "srtf",      "learned", "las"};

bool is_preemptive(PolicyKind kind) {
  return kind == PolicyKind::kSrtf || kind == PolicyKind::kLas || kind == PolicyKind::kLearned;
}

/// Decides at each submission, end and (for LAS) crossing of the threshold.
class PolicyRun {
 public:
  PolicyRun(const Trace& trace, const std::vector<model::Node>& nodes, RoomKind kind, const PolicySpec& policy,
            const MachineModel& machine, const RunControl& control)
      : trace_(trace),
        policy_(policy),
        control_(control),
        jobs_(trace, Room(kind, nodes), machine),
        is_chosen_(trace.jobs.size(), false),
        crossing_of_(trace.jobs.size(), 0) {}

  RunResult run() {
    while (jobs_.finished() < trace_.jobs.size()) {
      const std::optional<TimeMs> next_ms = next_time();
      if (!next_ms || (control_.until_ms && *next_ms > *control_.until_ms)) {
        break;
      }
      jobs_.set_now(*next_ms);
      for (const std::size_t job : jobs_.end_due()) {
        learned_.learn(trace_.queues[trace_.jobs[job].queue], trace_.jobs[job].milli_cards(), jobs_.served_ms(job));
      }
      while (next_submit_ < trace_.jobs.size() && trace_.jobs[next_submit_].submit_ms <= jobs_.now_ms()) {
        jobs_.submit(next_submit_++);
      }
      pass_crossings();
      decide();
      report();
    }
    return jobs_.take(control_.until_ms, std::string(policy_kind_name(policy_.kind)));
  }

 private:
  std::optional<TimeMs> next_time() const {
    std::optional<TimeMs> next_ms = jobs_.next_end_ms();
    const auto earlier = [&](TimeMs at_ms) { next_ms = next_ms ? std::min(*next_ms, at_ms) : at_ms; };
    if (next_submit_ < trace_.jobs.size()) {
      earlier(trace_.jobs[next_submit_].submit_ms);
    }
    if (!crossings_.empty()) {
      earlier(crossings_.top().first);
    }
    return next_ms;
  }

  // Those that run on come to the next.
  void pass_crossings() {
    while (!crossings_.empty() && crossings_.top().first <= jobs_.now_ms()) {
      const auto [at_ms, job] = crossings_.top();
      crossings_.pop();
      if (jobs_.is_running(job) && crossing_of_[job] == at_ms) {
        plan_crossing(job);
      }
    }
  }

  void report() {
    if (control_.on_progress && ++steps_ % kProgressEvery == 0) {
      control_.on_progress({.finished = jobs_.finished(), .jobs = trace_.jobs.size(), .now_ms = jobs_.now_ms()});
    }
  }

  void decide() {
    if (is_preemptive(policy_.kind)) {
      decide_preemptive();
      return;
    }
    switch (policy_.kind) {
      case PolicyKind::kFifo:
      case PolicyKind::kFirstFit:
        walk(jobs_.waiting());
        break;
      case PolicyKind::kSjf:
        walk(sorted_by([&](std::size_t job) { return trace_.jobs[job].work_ms; }));
        break;
      case PolicyKind::kEasy:
        backfill(jobs_.waiting());
        break;
      case PolicyKind::kFair:
        decide_fair();
        break;
      case PolicyKind::kSrtf:
      case PolicyKind::kLearned:
      case PolicyKind::kLas:
        break;
    }
  }

  template <class Key>
  std::vector<std::size_t> sorted_by(Key key) {
    std::vector<std::size_t> order = jobs_.waiting();
    std::ranges::stable_sort(order, {}, key);
    return order;
  }

  void walk(const std::vector<std::size_t>& order) {
    std::vector<bool> has_failed = jobs_.no_shape_failed();
    for (const std::size_t job : order) {
      if (jobs_.room().free_milli() == 0) {
        return;
      }
      // A shape that found no room finds none later in the same walk.
      if (has_failed[jobs_.shape_of(job)] || !jobs_.try_start(job)) {
        if (policy_.kind == PolicyKind::kFifo) {
          return;
        }
        has_failed[jobs_.shape_of(job)] = true;
      }
    }
  }

  // The first job that finds no room gets a reservation at the earliest time at which it will, given true run times;
  // those behind it start if they end by then or leave it its room.
  void backfill(const std::vector<std::size_t>& order) {
    std::optional<Reserved> reserved;
    std::vector<bool> has_failed = jobs_.no_shape_failed();
    for (const std::size_t job : order) {
      if (jobs_.room().free_milli() == 0) {
        return;
      }
      const std::size_t shape = jobs_.shape_of(job);
      if (!reserved) {
        if (!jobs_.try_start(job)) {
          reserved = reserve(job);
          has_failed[shape] = true;
        }
        continue;
      }
      if (has_failed[shape]) {
        continue;
      }
      std::optional<Spot> spot = jobs_.room().find(trace_, job);
      if (!spot) {
        has_failed[shape] = true;
        continue;
      }
      if (jobs_.now_ms() + jobs_.remaining_ms(job) > reserved->start_ms) {
        reserved->future.claim(*spot);
        if (!reserved->future.fits(trace_, reserved->head)) {
          reserved->future.release(*spot);
          continue;
        }
      }
      jobs_.start(job, *std::move(spot));
    }
  }

  struct Reserved {
    std::size_t head = 0;
    TimeMs start_ms = 0;
    Room future;
  };

  std::optional<Reserved> reserve(std::size_t head) const {
    Reserved reserved{.head = head, .start_ms = jobs_.now_ms(), .future = jobs_.room()};
    const auto& endings = jobs_.endings();
    for (auto ending = endings.begin(); ending != endings.end();) {
      reserved.start_ms = ending->first;
      // All that end at one time.
      for (; ending != endings.end() && ending->first == reserved.start_ms; ++ending) {
        reserved.future.release(jobs_.spot_of(ending->second));
      }
      if (reserved.future.fits(trace_, head)) {
        return reserved;
      }
    }
    // It fits no cluster; nothing is kept for it.
    return std::nullopt;
  }

  // The queue that holds the least goes first; its oldest job counts for it.
  void decide_fair() {
    std::vector<std::vector<std::size_t>> by_queue(trace_.queues.size());
    for (const std::size_t job : jobs_.waiting()) {
      by_queue[trace_.jobs[job].queue].push_back(job);
    }
    std::vector<std::int64_t> held = jobs_.held_by_queue();
    std::vector<std::size_t> next(by_queue.size(), 0);
    std::vector<std::size_t> order;
    using Entry = std::pair<std::int64_t, std::size_t>;
    std::priority_queue<Entry, std::vector<Entry>, std::greater<>> heap;
    for (std::size_t queue = 0; queue < by_queue.size(); ++queue) {
      if (!by_queue[queue].empty()) {
        heap.emplace(held[queue], queue);
      }
    }
    while (!heap.empty()) {
      const std::size_t queue = heap.top().second;
      heap.pop();
      const std::size_t job = by_queue[queue][next[queue]++];
      order.push_back(job);
      held[queue] += trace_.jobs[job].milli_cards();
      if (next[queue] < by_queue[queue].size()) {
        heap.emplace(held[queue], queue);
      }
    }
    backfill(order);
  }

  /// Place in the order of a preemptive policy; the smallest first.
  struct Rank {
    std::int64_t first = 0;
    std::int64_t second = 0;
    std::size_t job = 0;
    friend auto operator<=>(const Rank&, const Rank&) = default;
  };

  Rank rank_of(std::size_t job) {
    const TimeMs submit_ms = trace_.jobs[job].submit_ms;
    if (policy_.kind == PolicyKind::kSrtf) {
      return {.first = jobs_.remaining_ms(job), .second = submit_ms, .job = job};
    }
    if (policy_.kind == PolicyKind::kLearned) {
      // Whoever runs gives way only to one that is clearly more urgent: a stop costs work and a restart.
      const std::uint64_t index =
          learned_.urgency(trace_.queues[trace_.jobs[job].queue], trace_.jobs[job].milli_cards(), jobs_.served_ms(job));
      const std::uint64_t favour = jobs_.is_running(job) ? policy_.learned_favour : 1;
      return {.first = -static_cast<std::int64_t>(std::min(index * favour, std::uint64_t{1} << 62)),
              .second = submit_ms,
              .job = job};
    }
    // Within a level, by first start; those that never started, by submission, behind.
    const bool is_demoted = served_card_ms(job) >= policy_.las_threshold_card_ms;
    return {.first = is_demoted ? 1 : 0, .second = is_demoted ? jobs_.first_start_ms(job) : submit_ms, .job = job};
  }

  // Whoever is first in order runs; who is not among the first that fit, stops. A heap, since most of those that wait
  // are never looked at.
  void decide_preemptive() {
    std::vector<Rank> heap;
    for (const std::size_t job : jobs_.waiting()) {
      heap.push_back(rank_of(job));
    }
    std::vector<std::size_t> running;
    for (const auto& [end_ms, job] : jobs_.endings()) {
      running.push_back(job);
      heap.push_back(rank_of(job));
    }
    std::ranges::make_heap(heap, std::ranges::greater());
    std::int64_t room = jobs_.room().capacity_milli();
    std::vector<std::size_t> starting;
    while (room > 0 && !heap.empty()) {
      std::ranges::pop_heap(heap, std::ranges::greater());
      const std::size_t job = heap.back().job;
      heap.pop_back();
      const std::int64_t milli = trace_.jobs[job].milli_cards();
      if (milli > room) {
        continue;
      }
      room -= milli;
      is_chosen_[job] = true;
      if (!jobs_.is_running(job)) {
        starting.push_back(job);
      }
    }
    for (const std::size_t job : running) {
      if (!is_chosen_[job]) {
        jobs_.preempt(job);
      }
      is_chosen_[job] = false;
    }
    for (const std::size_t job : starting) {
      is_chosen_[job] = false;
      CHECK(jobs_.try_start(job), "a chosen job finds no room");
      plan_crossing(job);
    }
  }

  std::int64_t served_card_ms(std::size_t job) const {
    return jobs_.served_ms(job) * trace_.jobs[job].milli_cards() / 1000;
  }

  // When its place in the order changes next, if it runs on.
  void plan_crossing(std::size_t job) {
    std::int64_t in_ms = 0;
    if (policy_.kind == PolicyKind::kLearned) {
      in_ms = sched::learn::Habits::next_step_ms(jobs_.served_ms(job)) - jobs_.served_ms(job);
    } else if (policy_.kind == PolicyKind::kLas && served_card_ms(job) < policy_.las_threshold_card_ms) {
      const std::int64_t missing = policy_.las_threshold_card_ms - served_card_ms(job);
      in_ms = missing * 1000 / trace_.jobs[job].milli_cards() + 1;
    }
    if (in_ms > 0) {
      crossing_of_[job] = jobs_.now_ms() + in_ms;
      crossings_.emplace(crossing_of_[job], job);
    }
  }

  const Trace& trace_;
  const PolicySpec& policy_;
  const RunControl& control_;
  sched::learn::Habits learned_;
  PolicyJobs jobs_;
  std::vector<bool> is_chosen_;
  std::size_t next_submit_ = 0;
  std::uint64_t steps_ = 0;
  using Crossing = std::pair<TimeMs, std::size_t>;
  std::priority_queue<Crossing, std::vector<Crossing>, std::greater<>> crossings_;
  std::vector<TimeMs> crossing_of_;  ///< The latest planned; earlier ones are of attempts that were stopped.
};

}  // namespace

std::string_view policy_kind_name(PolicyKind kind) {
  return kNames[static_cast<std::size_t>(kind)];
}

std::optional<PolicyKind> policy_kind_from_name(std::string_view name) {
  const auto found = std::ranges::find(kNames, name);
  return found == kNames.end() ? std::nullopt : std::optional(static_cast<PolicyKind>(found - kNames.begin()));
}

Result<RunResult> run_policy(const Trace& trace, const std::vector<model::Node>& nodes, RoomKind room,
                             const PolicySpec& policy, const MachineModel& machine, const RunControl& control) {
  if (is_preemptive(policy.kind) && room != RoomKind::kCount) {
    return make_error(
        ErrorCode::kInvalidArgument,
        fmt::format("policy {} counts cards and knows no fabric; leave --fabric out", policy_kind_name(policy.kind)));
  }
  return PolicyRun(trace, nodes, room, policy, machine, control).run();
}

}  // namespace busbar::sim
