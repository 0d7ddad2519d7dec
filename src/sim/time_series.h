#pragma once

#include <cstdint>
#include <vector>

#include "base/units.h"

namespace busbar::sim {

/// How much of something there was over time, as sums in equal spans. Spans double when there would be more than
/// `kMaxSpans`, so a run of unknown length has between half of and all of that resolution. A plain value.
class TimeSeries {
 public:
  static constexpr std::size_t kMaxSpans = 1024;
  static constexpr std::int64_t kFirstSpanMs = 60'000;

  /// `value` from one time to the next; times from 0 on.
  void add(TimeMs from_ms, TimeMs to_ms, std::int64_t value);
  /// Makes spans at least this long (a span of another series).
  void coarsen(std::int64_t span_ms);

  std::int64_t span_ms() const { return span_ms_; }
  std::size_t size() const { return sums_.size(); }
  /// Mean over the span that begins at index * span_ms().
  double mean(std::size_t index) const;

 private:
  void double_span();

  std::int64_t span_ms_ = kFirstSpanMs;
  std::vector<std::int64_t> sums_;  ///< Value times milliseconds.
};

}  // namespace busbar::sim
