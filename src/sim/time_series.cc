#include "sim/time_series.h"

#include <algorithm>

namespace busbar::sim {

void TimeSeries::add(TimeMs from_ms, TimeMs to_ms, std::int64_t value) {
  if (to_ms <= from_ms) {
    return;
  }
  while (to_ms > span_ms_ * static_cast<std::int64_t>(kMaxSpans)) {
    double_span();
  }
  const auto last = static_cast<std::size_t>((to_ms - 1) / span_ms_);
  if (sums_.size() <= last) {
    sums_.resize(last + 1, 0);
  }
  for (auto i = static_cast<std::size_t>(from_ms / span_ms_); i <= last; ++i) {
    const TimeMs begin = std::max(from_ms, static_cast<TimeMs>(i) * span_ms_);
    const TimeMs end = std::min(to_ms, static_cast<TimeMs>(i + 1) * span_ms_);
    sums_[i] += value * (end - begin);
  }
}

void TimeSeries::coarsen(std::int64_t span_ms) {
  while (span_ms_ < span_ms) {
    double_span();
  }
}

double TimeSeries::mean(std::size_t index) const {
  return static_cast<double>(sums_[index]) / static_cast<double>(span_ms_);
}

void TimeSeries::double_span() {
  for (std::size_t i = 0; i < (sums_.size() + 1) / 2; ++i) {
    sums_[i] = sums_[2 * i] + (2 * i + 1 < sums_.size() ? sums_[2 * i + 1] : 0);
  }
  sums_.resize((sums_.size() + 1) / 2);
  span_ms_ *= 2;
}

}  // namespace busbar::sim
