#pragma once

#include <cstdint>
#include <span>

#include "base/clock.h"

namespace busbar::os {

/// The machine's clocks. Thread-safe.
class SystemClock final : public Clock {
 public:
  TimeMs now_ms() const override;
  std::int64_t monotonic_ns() const override;
};

/// The kernel's generator (getrandom), fit for keys. Thread-safe; blocks only before the machine's pool is first ready.
class SystemRandom final : public Random {
 public:
  void fill(std::span<unsigned char> out) override;
};

}  // namespace busbar::os
