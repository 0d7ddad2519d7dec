#pragma once

#include <cstdint>
#include <vector>

#include "base/units.h"

namespace busbar::sched::fairshare {

__extension__ using Wide = unsigned __int128;

/// What a queue has used is settled at multiples of this, whatever events come in between.
inline constexpr std::int64_t kEpochMs = 60'000;

/// 2^(numerator / denominator) for 0 <= numerator < denominator < 2^32, with 24 fractional bits, rounded down. Integers
/// only: the product of a table of 2^(1/2), 2^(1/4), ... by the fraction's bits (Knuth, TAOCP 1, 1.2.2, exercise 28).
std::uint64_t exp2_fixed(std::uint64_t numerator, std::uint64_t denominator);

/// The weights by which use fades.
///
/// Forward decay (Cormode, Shkapenyuk, Srivastava, Xu 2009): instead of shrinking what is old, epoch i of a half-life
/// weighs 2^(i/H), and at the end of each half-life everything is halved. Between queues only ratios matter, so nothing
/// needs to be touched in between; and because halving rounds down at fixed times only, the sums do not depend on when
/// they were looked at.
class Decay {
 public:
  explicit Decay(std::int64_t half_life_ms);

  std::int64_t epochs() const { return static_cast<std::int64_t>(sums_.size()) - 1; }
  /// Sum of the weights of the first `count` epochs of a half-life.
  std::uint64_t sum(std::int64_t count) const { return sums_[static_cast<std::size_t>(count)]; }
  /// What a rate of 1 a millisecond since ever has come to at the beginning of this epoch: divide by it for the mean.
  Wide weight_at(std::int64_t epoch) const;

 private:
  std::vector<std::uint64_t> sums_;
};

/// Use of a queue over time: milli-cards x chip weight x ms, faded. A plain value, part of the hashed state.
struct History {
  Wide settled = 0;  ///< Of all epochs that are over, by `Decay`.
  Wide open = 0;     ///< Of the current epoch, until `since_ms`; not weighed yet.
  TimeMs since_ms = 0;
  friend bool operator==(const History&, const History&) = default;
};

constexpr std::int64_t epoch_of(TimeMs time_ms) {
  return time_ms >= 0 ? time_ms / kEpochMs : -((-time_ms + kEpochMs - 1) / kEpochMs);
}

/// The rate was `rate` from `history.since_ms` to `now_ms`, in the same epoch.
void accrue(History& history, std::int64_t rate, TimeMs now_ms);
/// The same across the end of one or more epochs: settles those that are over. Any way of cutting the time into calls
/// gives the same value. Cost: half-lives passed, at most a few hundred.
void settle(History& history, const Decay& decay, std::int64_t rate, TimeMs now_ms);

}  // namespace busbar::sched::fairshare
