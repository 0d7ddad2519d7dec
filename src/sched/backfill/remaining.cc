#include "sched/backfill/remaining.h"

#include <algorithm>

namespace busbar::sched::backfill {

using internal::JobRecord;
using internal::RunTimes;
using internal::State;

namespace {

std::int64_t ran_ms(const State& state, const JobRecord& record) {
  return record.started_ms > 0 ? state.now_ms() - record.started_ms : 0;
}

}  // namespace

std::vector<std::int64_t> remaining_times(const State& state, const JobRecord& record) {
  const std::int64_t limit_ms = record.request().time_limit_ms;
  const std::int64_t so_far_ms = ran_ms(state, record);
  const std::int64_t to_limit_ms = std::max<std::int64_t>(limit_ms - so_far_ms, 0);
  const RunTimes* times = state.run_times().find(record.request().queue);
  const std::vector<std::uint32_t> none;
  const auto& known = times == nullptr ? none : limit_ms > 0 ? times->permille : times->seconds;
  if (known.empty()) {
    return limit_ms > 0 ? std::vector{to_limit_ms} : std::vector<std::int64_t>{};
  }
  // Those that ran shorter than this one has run already say nothing about it.
  std::vector<std::int64_t> longer;
  for (const std::uint32_t value : known) {
    const std::int64_t whole_ms = limit_ms > 0 ? limit_ms / 1000 * std::int64_t{value} : std::int64_t{value} * 1000;
    if (whole_ms > so_far_ms) {
      longer.push_back(whole_ms - so_far_ms);
    }
  }
  if (longer.empty()) {
    longer.push_back(limit_ms > 0 ? to_limit_ms : so_far_ms);
  }
  return longer;
}

std::int64_t expected_remaining_ms(const State& state, const JobRecord& record) {
  std::vector<std::int64_t> times = remaining_times(state, record);
  if (times.empty()) {
    return ran_ms(state, record);
  }
  const auto middle = times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2);
  std::nth_element(times.begin(), middle, times.end());
  return *middle;
}

}  // namespace busbar::sched::backfill
