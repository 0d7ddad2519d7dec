#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace busbar::bench {

/// Durations in nanoseconds, in log-linear buckets as HdrHistogram has them: 64 to each power of two, so that a value
/// is known to within 1.6 %; up to 2^42 ns (73 minutes), more counts as that.
class Latencies {
 public:
  void record(std::int64_t duration_ns) {
    const auto ns = static_cast<std::uint64_t>(std::clamp<std::int64_t>(duration_ns, 0, kMostNs));
    ++buckets_[bucket_of(ns)];
    ++count_;
    sum_ns_ += ns;
    most_ns_ = std::max(most_ns_, ns);
  }
  std::uint64_t count() const { return count_; }
  double mean_us() const { return count_ == 0 ? 0 : static_cast<double>(sum_ns_) / static_cast<double>(count_) / 1e3; }
  double most_us() const { return static_cast<double>(most_ns_) / 1e3; }

  /// The end of the bucket below which `share` of all lie.
  double quantile_us(double share) const {
    const auto wanted = static_cast<std::uint64_t>(share * static_cast<double>(count_));
    std::uint64_t seen = 0;
    for (std::size_t at = 0; at < kBuckets; ++at) {
      seen += buckets_[at];
      if (seen > wanted) return std::min(static_cast<double>(end_of(at)) / 1e3, most_us());
    }
    return most_us();
  }

 private:
  static constexpr std::int64_t kMostNs = (std::int64_t{1} << 42) - 1;
  static constexpr std::size_t kBuckets = std::size_t{64} * 37;

  static std::size_t bucket_of(std::uint64_t ns) {
    if (ns < 64) return ns;
    const auto log = static_cast<std::size_t>(std::bit_width(ns)) - 1;
    return (log - 5) * 64 + ((ns >> (log - 6)) & 63);
  }
  static std::uint64_t end_of(std::size_t bucket) {
    if (bucket < 64) return bucket + 1;
    return (64 + bucket % 64 + 1) << (bucket / 64 - 1);
  }

  std::array<std::uint64_t, kBuckets> buckets_ = {};
  std::uint64_t count_ = 0;
  std::uint64_t sum_ns_ = 0;
  std::uint64_t most_ns_ = 0;
};

}  // namespace busbar::bench
