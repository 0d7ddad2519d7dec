#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "route/log_buckets.h"

namespace busbar::gateway::internal {

/// A counter with one writer and any number of readers: no locked instruction.
class Counter {
 public:
  void add(std::uint64_t by) { value_.store(value_.load(std::memory_order_relaxed) + by, std::memory_order_relaxed); }
  std::uint64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> value_ = 0;
};

/// Durations in log-linear buckets (route/log_buckets.h). One writer, any reader.
class Histogram {
 public:
  static constexpr std::size_t kBuckets = 8 * 30;  ///< Up to 2^32 us, 71 minutes; more counts as that.

  void record(std::uint64_t us) {
    buckets_[bucket_of(us)].add(1);
    sum_us_.add(us);
  }
  static std::size_t bucket_of(std::uint64_t us) {
    const std::size_t index = route::log_bucket_of(us);
    return index < kBuckets ? index : kBuckets - 1;
  }
  /// The smallest duration beyond the bucket.
  static std::uint64_t bucket_end_us(std::size_t bucket) { return route::log_bucket_end(bucket); }
  std::uint64_t count_in(std::size_t bucket) const { return buckets_[bucket].value(); }
  std::uint64_t sum_us() const { return sum_us_.value(); }

 private:
  std::array<Counter, kBuckets> buckets_ = {};
  Counter sum_us_ = {};
};

}  // namespace busbar::gateway::internal
