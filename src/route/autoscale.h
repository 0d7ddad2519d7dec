#pragma once

#include <cstdint>
#include <deque>
#include <optional>

#include "base/units.h"

/// How many replicas a service should have. Pure: time comes with each call.
namespace busbar::route {

struct ScalePolicy {
  std::uint32_t min = 1;
  std::uint32_t max = 1;
  std::uint32_t target = 8;             ///< Requests that one replica should have at once; at least 1.
  std::int64_t down_after_ms = 60'000;  ///< How long less must have been enough.
};

/// What all gateways together say at one moment, and what went by since the last such message of one of them.
struct LoadSample {
  std::uint32_t waiting = 0;
  std::uint32_t running = 0;
  std::uint64_t arrivals = 0;
  std::uint64_t finished = 0;
  std::uint64_t busy_us = 0;
};

/// Requests at once by Little's law (arrivals a second x the mean time that a replica has one), over a window of 2 s
/// and one of 30 s, and as counted; the largest, divided by the target, is what is needed now. Up at once, down to the
/// most that was needed within `down_after_ms`.
///
/// What is counted: the mean over the short window while nobody waits, so that a burst of very short requests starts
/// nothing; all of it at once as soon as somebody waits or twice what the replicas should have is on them.
/// Not thread-safe. Cost of a call: O(buckets of the long window).
class Autoscaler {
 public:
  /// Takes a service over that has `replicas` now.
  Autoscaler(ScalePolicy policy, std::uint32_t replicas, TimeMs now_ms);

  void set_policy(ScalePolicy policy) { policy_ = policy; }
  void observe(TimeMs now_ms, const LoadSample& sample);
  /// `replicas`: that it has, ready or not.
  std::uint32_t desired(TimeMs now_ms, std::uint32_t replicas);
  /// How many will be needed `within_ms` from now if arrivals go on growing as from the long window to the short one:
  /// at most twice what arrives now, none where chance explains it (two standard deviations of a Poisson process). The
  /// most of the last `down_after_ms`, within the bounds. A guess: to get ready by, not to serve by.
  std::uint32_t expected(TimeMs now_ms, std::int64_t within_ms);
  /// When `desired` or `expected` may fall without another sample; nullopt: never.
  std::optional<TimeMs> next_change_ms() const;

  /// Arrivals a second over the long window, in thousandths; for people.
  std::int64_t arrivals_per_second_milli(TimeMs now_ms) const;

 private:
  struct Bucket {
    std::int64_t number = 0;  ///< Time / kBucketMs.
    std::uint64_t arrivals = 0;
    std::uint64_t finished = 0;
    std::uint64_t busy_us = 0;
    std::uint64_t running = 0;  ///< Summed over `samples`.
    std::uint64_t samples = 0;
  };
  struct Need {
    TimeMs time_ms = 0;
    std::uint32_t replicas = 0;
  };
  using Needs = std::deque<Need>;  ///< Falling: the first is the most that was needed within the hold.
  std::uint32_t hold(Needs& needs, TimeMs now_ms, std::uint32_t need) const;
  std::uint64_t grown_concurrency_milli(TimeMs now_ms, std::int64_t within_ms) const;
  Bucket sum(TimeMs now_ms, std::int64_t window_ms) const;
  std::int64_t span_ms(TimeMs now_ms, std::int64_t window_ms) const;
  std::uint64_t concurrency_milli(TimeMs now_ms, std::uint32_t replicas) const;

  ScalePolicy policy_;
  TimeMs since_ms_;
  std::deque<Bucket> buckets_;
  Needs needs_;
  Needs ahead_;  ///< The same of what was expected.
  std::uint32_t waiting_ = 0;
  std::uint32_t running_ = 0;
};

}  // namespace busbar::route
