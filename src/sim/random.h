#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "base/hash.h"

namespace busbar::sim {

/// Random numbers that are the same on every machine and with every standard library: splitmix64.
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(mix64(seed)) {}

  std::uint64_t next() {
    state_ += 0x9e3779b97f4a7c15ULL;
    return mix64(state_);
  }
  /// Below `end`, which must not be 0. The bias of at most end / 2^64 does not matter here.
  std::size_t below(std::size_t end) {
    return static_cast<std::size_t>((static_cast<unsigned __int128>(next()) * end) >> 64U);
  }

 private:
  std::uint64_t state_;
};

/// Every order equally likely (Fisher and Yates).
template <class T>
void shuffle(std::vector<T>& items, Random& random) {
  for (std::size_t left = items.size(); left > 1; --left) {
    std::swap(items[left - 1], items[random.below(left)]);
  }
}

}  // namespace busbar::sim
