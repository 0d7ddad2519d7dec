#pragma once

#include <cstdint>
#include <span>

#include "base/units.h"

namespace busbar {

/// Where time comes from. The real one is os/system_clock.h; tests move a FakeClock by hand. Thread-safe.
class Clock {
 public:
  virtual ~Clock() = default;
  /// Wall clock, milliseconds since the Unix epoch. May step back.
  virtual TimeMs now_ms() const = 0;
  /// Never steps back; only differences mean anything. Nanoseconds.
  virtual std::int64_t monotonic_ns() const = 0;
};

/// Where randomness comes from, for tokens, keys and jitter. Thread-safe.
class Random {
 public:
  virtual ~Random() = default;
  virtual void fill(std::span<unsigned char> out) = 0;
};

/// Time by hand. Not thread-safe while it is being moved.
class FakeClock final : public Clock {
 public:
  explicit FakeClock(TimeMs start_ms = 1'700'000'000'000) : now_ms_(start_ms) {}
  TimeMs now_ms() const override { return now_ms_; }
  std::int64_t monotonic_ns() const override { return now_ms_ * 1'000'000; }
  void advance_ms(std::int64_t by_ms) { now_ms_ += by_ms; }

 private:
  TimeMs now_ms_;
};

}  // namespace busbar
