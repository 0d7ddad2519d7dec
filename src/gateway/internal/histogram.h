#pragma once

#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace busbar::gateway::internal {

/// A counter with one writer and any number of readers: no locked instruction.
class Counter {
 public:
  void add(std::uint64_t by) { value_.store(value_.load(std::memory_order_relaxed) + by, std::memory_order_relaxed); }
  std::uint64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> value_ = 0;
};

/// Durations in log-linear buckets, as HdrHistogram has them: eight to each power of two, so a value is known to within
/// 12.5 %. One writer, any reader.
class Histogram {
 public:
  static constexpr std::size_t kBuckets = 8 * 30;  ///< Up to 2^32 us, 71 minutes; more counts as that.

  void record(std::uint64_t us) {
    buckets_[bucket_of(us)].add(1);
    sum_us_.add(us);
  }
  static std::size_t bucket_of(std::uint64_t us) {
    if (us < 8) return us;
    const auto log = static_cast<std::size_t>(std::bit_width(us)) - 1;
    const std::size_t index = (log - 2) * 8 + ((us >> (log - 3)) & 7);
    return index < kBuckets ? index : kBuckets - 1;
  }
  /// The smallest duration beyond the bucket.
  static std::uint64_t bucket_end_us(std::size_t bucket) {
    if (bucket < 8) return bucket + 1;
    return (8 + bucket % 8 + 1) << (bucket / 8 - 1);
  }
  std::uint64_t count_in(std::size_t bucket) const { return buckets_[bucket].value(); }
  std::uint64_t sum_us() const { return sum_us_.value(); }

 private:
  std::array<Counter, kBuckets> buckets_ = {};
  Counter sum_us_ = {};
};

}  // namespace busbar::gateway::internal
