#pragma once

#include <algorithm>
#include <cstdint>

#include "model/rate.h"

namespace busbar::route {

/// The arithmetic of a token bucket whose whole state is one number: the time at which it is full again (GCRA, ITU-T
/// I.371). So a bucket that many threads share is one atomic integer. Integers only; times are nanoseconds of any clock
/// that does not step back. Immutable, so thread-safe. Cost: one multiplication, no division but in `left`.
class Bucket {
 public:
  /// Not bounded: everything is granted.
  Bucket() = default;
  /// `sharers`: how many such buckets the rate is divided among.
  explicit Bucket(const model::Rate& rate, std::uint32_t sharers = 1) {
    if (!rate.is_bounded()) return;
    count_ = std::max<std::uint64_t>(1, rate.count / std::max(sharers, 1U));
    period_ns_ = rate.period_ms * 1'000'000;
    scaled_ns_each_ = (static_cast<std::uint64_t>(period_ns_) << kScaleBits) / count_;
  }

  bool is_bounded() const { return count_ > 0; }
  std::uint64_t count() const { return count_; }

  struct Take {
    bool is_granted = true;
    std::int64_t state = 0;    ///< The new one; unchanged where it is refused.
    std::int64_t wait_ns = 0;  ///< Refused: when it may be asked for again.
  };
  /// More than the bucket can hold is granted when it is full, and is then owed.
  Take take(std::int64_t state, std::int64_t now_ns, std::uint64_t amount) const {
    if (!is_bounded()) return {.state = state};
    const std::int64_t base = std::max(state, now_ns);
    const std::int64_t cost = cost_ns(amount);
    const std::int64_t allowed = std::max(period_ns_, cost);
    if (base - now_ns + cost > allowed) {
      return {.is_granted = false, .state = state, .wait_ns = base - now_ns + cost - allowed};
    }
    return {.state = base + cost};
  }
  /// After the fact: `more` was used than was taken (negative: less). May leave a debt, never more than a full bucket.
  std::int64_t settle(std::int64_t state, std::int64_t now_ns, std::int64_t more) const {
    if (!is_bounded() || more == 0) return state;
    if (more < 0) return state - cost_ns(static_cast<std::uint64_t>(-more));
    return std::max(state, now_ns) + cost_ns(static_cast<std::uint64_t>(more));
  }
  /// What may be taken at once.
  std::uint64_t left(std::int64_t state, std::int64_t now_ns) const {
    const std::int64_t free_ns = period_ns_ - std::max<std::int64_t>(0, state - now_ns);
    if (!is_bounded() || free_ns <= 0) return 0;
    return (static_cast<std::uint64_t>(free_ns) << kScaleBits) / scaled_ns_each_;
  }
  /// Until it is full.
  static std::int64_t full_in_ns(std::int64_t state, std::int64_t now_ns) {
    return std::max<std::int64_t>(0, state - now_ns);
  }

 private:
  using Wide = unsigned __int128;
  /// Fractions of a nanosecond: at 10^9 a second the rate is still exact to a thousandth, and a day fits.
  static constexpr int kScaleBits = 10;
  static constexpr Wide kMostNs = std::int64_t{1} << 60;

  std::int64_t cost_ns(std::uint64_t amount) const {
    return static_cast<std::int64_t>(std::min(static_cast<Wide>(amount) * scaled_ns_each_ >> kScaleBits, kMostNs));
  }

  std::uint64_t count_ = 0;
  std::int64_t period_ns_ = 0;
  std::uint64_t scaled_ns_each_ = 1;
};

}  // namespace busbar::route
