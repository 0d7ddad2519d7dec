#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace busbar::route {

/// How long answers took, in log-linear buckets (eight to each power of two, so a value is known to within 12.5 %):
/// what gateways tell of a revision, and the server adds up. A plain value.
class LatencySketch {
 public:
  static constexpr std::size_t kBuckets = 8 * 28;  ///< Up to 2^30 us, 18 minutes; more counts as that.

  static std::size_t bucket_of(std::uint64_t us) {
    if (us < 8) return us;
    const auto log = static_cast<std::size_t>(std::bit_width(us)) - 1;
    const std::size_t index = (log - 2) * 8 + ((us >> (log - 3)) & 7);
    return index < kBuckets ? index : kBuckets - 1;
  }
  /// The smallest time beyond the bucket.
  static std::uint64_t bucket_end_us(std::size_t bucket) {
    if (bucket < 8) return bucket + 1;
    return (8 + bucket % 8 + 1) << (bucket / 8 - 1);
  }

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
