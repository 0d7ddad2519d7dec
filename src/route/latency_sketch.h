#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "route/log_buckets.h"

namespace busbar::route {

/// How long answers took, in log-linear buckets:
/// what gateways tell of a revision, and the server adds up. A plain value.
class LatencySketch {
 public:
  static constexpr std::size_t kBuckets = 8 * 28;  ///< Up to 2^30 us, 18 minutes; more counts as that.

  static std::size_t bucket_of(std::uint64_t us) {
    const std::size_t index = log_bucket_of(us);
    return index < kBuckets ? index : kBuckets - 1;
  }
  /// The smallest time beyond the bucket.
  static std::uint64_t bucket_end_us(std::size_t bucket) { return log_bucket_end(bucket); }

  void add(std::size_t bucket, std::uint64_t count) {
    counts_[bucket < kBuckets ? bucket : kBuckets - 1] += count;
    total_ += count;
  }
  std::uint64_t total() const { return total_; }
  /// The end of the bucket in which it lies; 0 where there is nothing.
  std::uint64_t percentile_us(std::uint64_t permille) const {
    std::uint64_t left = (total_ * permille + 999) / 1'000;
    for (std::size_t bucket = 0; bucket < kBuckets; ++bucket) {
      if (counts_[bucket] > 0 && counts_[bucket] >= left) return bucket_end_us(bucket);
      left -= counts_[bucket];
    }
    return 0;
  }

 private:
  std::array<std::uint64_t, kBuckets> counts_ = {};
  std::uint64_t total_ = 0;
};

}  // namespace busbar::route
