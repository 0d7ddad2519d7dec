#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <vector>

#include "sched/order/run_time_model.h"
#include "sim/trace.h"

namespace busbar::sim::internal {

/// The scheduling core's model of run times, asked for each job of a load. Knows of a job its queue and size, and of
/// those that ended how long they ran. Borrows the trace.
class LearnedOrder {
 public:
  /// A waiting job takes a running one's cards only if it is worth this much more, in percent: stops are not free.
  static constexpr std::int64_t kMarginPercent = 150;

  explicit LearnedOrder(const Trace& trace) : trace_(trace), model_({}) {
    std::map<sched::order::JobKind, std::size_t> known;
    for (const TraceJob& job : trace.jobs) {
      sched::order::JobKind kind{.queue = trace.queues[job.queue],
                                 .size_class = sched::order::size_class_of(job.milli_cards())};
      const auto [found, is_new] = known.emplace(kind, kinds_.size());
      if (is_new) {
        kinds_.push_back(std::move(kind));
      }
      kind_of_.push_back(found->second);
    }
    rates_.assign(kinds_.size(), nullptr);
  }

  void ended(std::size_t job) {
    model_.ended(kinds_[kind_of_[job]], trace_.jobs[job].work_ms);
    rates_.assign(kinds_.size(), nullptr);
  }

  /// Chance to end, for each card and hour that it costs.
  std::int64_t value_of(std::size_t job, std::int64_t progress_ms, bool is_running) {
    const sched::order::RunTimeModel::RatesByAge*& rates = rates_[kind_of_[job]];
    if (rates == nullptr) {
      rates = &model_.rates(kinds_[kind_of_[job]]);
    }
    const std::uint64_t rate = (*rates)[sched::order::RunTimeModel::bucket_of(progress_ms)];
    constexpr std::uint64_t kMost = INT64_MAX / 1'000'000;
    const auto bounded = static_cast<std::int64_t>(std::min(rate, kMost));
    const std::int64_t value = bounded * 1000 / std::max<std::int64_t>(trace_.jobs[job].milli_cards(), 1);
    return is_running ? value * kMarginPercent / 100 : value;
  }

 private:
  const Trace& trace_;
  sched::order::RunTimeModel model_;
  std::vector<sched::order::JobKind> kinds_;
  std::vector<std::size_t> kind_of_;
  std::vector<const sched::order::RunTimeModel::RatesByAge*> rates_;  ///< By kind; nullptr: ask again.
};

}  // namespace busbar::sim::internal
