#include "sim/report.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

namespace busbar::sim {
namespace {

constexpr std::size_t kMaxExactSizes = 12;
constexpr std::int64_t kHourMs = 3'600'000;

double percentile(const std::vector<std::int64_t>& sorted, int percent) {
  // Nearest rank: the smallest value that at least so many percent do not exceed.
  const std::size_t rank = (sorted.size() * static_cast<std::size_t>(percent) + 99) / 100;
  return static_cast<double>(sorted[std::max<std::size_t>(rank, 1) - 1]) / 1000;
}

std::int64_t whole_cards(const TraceJob& job) {
  return (job.milli_cards() + 999) / 1000;
}

/// To the next power of two, when there are too many sizes to list each.
std::int64_t size_class(std::int64_t cards, bool is_exact) {
  if (is_exact) {
    return cards;
  }
  std::int64_t power = 1;
  while (power < cards) {
    power *= 2;
  }
  return power;
}

struct Group {
  std::vector<std::int64_t> waits_ms;
  std::vector<std::int64_t> completions_ms;
  double held = 0;
};

GroupSummary summarise_group(Group group, double held_of_all) {
  return {.jobs = group.waits_ms.size(),
          .wait = summarise_times(std::move(group.waits_ms)),
          .completion = summarise_times(std::move(group.completions_ms)),
          .held_percent = held_of_all > 0 ? 100 * group.held / held_of_all : 0};
}

std::int64_t wait_of(const TraceJob& job, const JobOutcome& outcome, TimeMs end_ms) {
  return std::max<std::int64_t>(
      outcome.end_ms.value_or(std::max(end_ms, job.submit_ms)) - job.submit_ms - outcome.held_ms, 0);
}

Json times_json(const TimesSummary& times) {
  return Json::object({{"mean", times.mean_s}, {"p50", times.p50_s}, {"p99", times.p99_s}});
}

Json group_json(const GroupSummary& group, bool is_size) {
  return Json::object({is_size ? Json::Member("cards", group.cards) : Json::Member("queue", group.name),
                       {"jobs", static_cast<std::int64_t>(group.jobs)},
                       {"wait_s", times_json(group.wait)},
                       {"jct_s", times_json(group.completion)},
                       {"held_percent", group.held_percent}});
}

}  // namespace

TimesSummary summarise_times(std::vector<std::int64_t> times_ms) {
  if (times_ms.empty()) {
    return {};
  }
  std::ranges::sort(times_ms);
  double sum = 0;
  for (const std::int64_t time_ms : times_ms) {
    sum += static_cast<double>(time_ms);
  }
  return {.mean_s = sum / static_cast<double>(times_ms.size()) / 1000,
          .p50_s = percentile(times_ms, 50),
          .p99_s = percentile(times_ms, 99)};
}

RunSummary summarise(const Trace& trace, const RunResult& result) {
  RunSummary summary{.policy = result.policy,
                     .trace = trace.name,
                     .cards = static_cast<double>(result.capacity_milli) / 1000,
                     .makespan_s = static_cast<double>(result.end_ms) / 1000,
                     .events = result.events};
  std::set<std::int64_t> distinct;
  for (const TraceJob& job : trace.jobs) {
    distinct.insert(whole_cards(job));
  }
  std::map<std::int64_t, Group> by_size;
  std::vector<Group> by_queue(trace.queues.size());
  Group all;
  double restart = 0;
  double lost = 0;
  std::uint64_t preemptions = 0;
  for (std::size_t i = 0; i < trace.jobs.size(); ++i) {
    const TraceJob& job = trace.jobs[i];
    const JobOutcome& outcome = result.jobs[i];
    if (outcome.is_refused) {
      ++summary.refused;
      continue;
    }
    if (job.submit_ms > result.end_ms) {
      continue;
    }
    ++summary.jobs;
    const double cards = static_cast<double>(job.milli_cards());
    restart += cards * static_cast<double>(outcome.restart_ms);
    lost += cards * static_cast<double>(outcome.lost_ms);
    preemptions += outcome.preemptions;
    summary.abandoned += outcome.is_abandoned ? 1 : 0;
    summary.finished += outcome.end_ms && !outcome.is_abandoned ? 1 : 0;
    summary.preempted_twice_in_an_hour += outcome.least_gap_ms >= 0 && outcome.least_gap_ms < kHourMs ? 1 : 0;
    for (Group* group :
         {&all, &by_size[size_class(whole_cards(job), distinct.size() <= kMaxExactSizes)], &by_queue[job.queue]}) {
      group->waits_ms.push_back(wait_of(job, outcome, result.end_ms));
      if (outcome.end_ms) {
        group->completions_ms.push_back(*outcome.end_ms - job.submit_ms);
      }
      group->held += cards * static_cast<double>(outcome.held_ms);
    }
  }
  const double held = all.held;
  const double capacity = static_cast<double>(result.capacity_milli) * static_cast<double>(result.end_ms);
  const auto percent = [&](double part) { return capacity > 0 ? 100 * part / capacity : 0; };
  summary.utilisation_percent = percent(held);
  summary.useful_percent = percent(held - restart - lost);
  const RunResult::Saturated& full = result.saturated;
  if (full.time_ms > 0) {
    const double of = static_cast<double>(result.capacity_milli) * static_cast<double>(full.time_ms);
    summary.saturated_time_percent = 100 * static_cast<double>(full.time_ms) / static_cast<double>(result.end_ms);
    summary.saturated_utilisation_percent = 100 * static_cast<double>(full.held_milli_ms) / of;
    summary.saturated_useful_percent = 100 * static_cast<double>(full.held_milli_ms - full.wasted_milli_ms) / of;
  }
  summary.lost_percent = percent(lost);
  summary.restart_percent = percent(restart);
  summary.preemptions_per_job =
      summary.jobs > 0 ? static_cast<double>(preemptions) / static_cast<double>(summary.jobs) : 0;
  for (auto& [cards, group] : by_size) {
    summary.sizes.push_back(summarise_group(std::move(group), held));
    summary.sizes.back().cards = cards;
  }
  for (std::size_t queue = 0; queue < by_queue.size(); ++queue) {
    summary.queues.push_back(summarise_group(std::move(by_queue[queue]), held));
    summary.queues.back().name = trace.queues[queue];
  }
  std::ranges::stable_sort(summary.queues, std::ranges::greater(), &GroupSummary::held_percent);
  summary.wait = summarise_times(std::move(all.waits_ms));
  summary.completion = summarise_times(std::move(all.completions_ms));
  return summary;
}

Json to_json(const RunSummary& summary) {
  Json sizes = Json::array();
  for (const GroupSummary& group : summary.sizes) {
    sizes.push(group_json(group, true));
  }
  Json queues = Json::array();
  for (const GroupSummary& group : summary.queues) {
    queues.push(group_json(group, false));
  }
  const auto count = [](std::size_t value) { return static_cast<std::int64_t>(value); };
  return Json::object({{"policy", summary.policy},
                       {"trace", summary.trace},
                       {"cards", static_cast<std::int64_t>(std::llround(summary.cards))},
                       {"jobs", count(summary.jobs)},
                       {"finished", count(summary.finished)},
                       {"refused", count(summary.refused)},
                       {"abandoned", count(summary.abandoned)},
                       {"jct_s", times_json(summary.completion)},
                       {"wait_s", times_json(summary.wait)},
                       {"makespan_s", summary.makespan_s},
                       {"utilisation_percent", summary.utilisation_percent},
                       {"useful_percent", summary.useful_percent},
                       {"saturated_time_percent", summary.saturated_time_percent},
                       {"saturated_utilisation_percent", summary.saturated_utilisation_percent},
                       {"saturated_useful_percent", summary.saturated_useful_percent},
                       {"lost_percent", summary.lost_percent},
                       {"restart_percent", summary.restart_percent},
                       {"preemptions_per_job", summary.preemptions_per_job},
                       {"preempted_twice_in_an_hour", count(summary.preempted_twice_in_an_hour)},
                       {"events", summary.events},
                       {"sizes", std::move(sizes)},
                       {"queues", std::move(queues)}});
}

}  // namespace busbar::sim
