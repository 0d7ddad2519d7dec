#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace busbar::route {

struct HashKey {
  std::uint64_t low = 0;
  std::uint64_t high = 0;
};

struct Hash128 {
  std::uint64_t low = 0;
  std::uint64_t high = 0;
  friend bool operator==(const Hash128&, const Hash128&) = default;
};

namespace detail {

/// In registers from beginning to end, so everything is inlined by hand.
struct SipState {
  std::uint64_t v0;
  std::uint64_t v1;
  std::uint64_t v2;
  std::uint64_t v3;

  explicit SipState(const HashKey& key)
      : v0(key.low ^ 0x736f6d6570736575U),
        v1(key.high ^ 0x646f72616e646f6dU ^ 0xee),
        v2(key.low ^ 0x6c7967656e657261U),
        v3(key.high ^ 0x7465646279746573U) {}

  [[gnu::always_inline]] void round() {
    v0 += v1;
    v1 = std::rotl(v1, 13) ^ v0;
    v0 = std::rotl(v0, 32);
    v2 += v3;
    v3 = std::rotl(v3, 16) ^ v2;
    v0 += v3;
    v3 = std::rotl(v3, 21) ^ v0;
    v2 += v1;
    v1 = std::rotl(v1, 17) ^ v2;
    v2 = std::rotl(v2, 32);
  }
  [[gnu::always_inline]] void absorb(std::uint64_t word) {
    v3 ^= word;
    round();
    round();
    v0 ^= word;
  }
  [[gnu::always_inline]] Hash128 finish() {
    v2 ^= 0xee;
    for (int count = 0; count < 4; ++count) round();
    const std::uint64_t low = v0 ^ v1 ^ v2 ^ v3;
    v1 ^= 0xdd;
    for (int count = 0; count < 4; ++count) round();
    return {.low = low, .high = v0 ^ v1 ^ v2 ^ v3};
  }
};

}  // namespace detail

/// SipHash-2-4 with 128 bits of result (Aumasson and Bernstein 2012): a pseudo-random function, so whoever does not
/// know the key can neither find two texts with one hash nor learn from a hash what was hashed. Cost: 14 instructions a
/// byte.
inline Hash128 keyed_hash(const HashKey& key, std::string_view text) {
  detail::SipState state(key);
  std::size_t at = 0;
  for (; at + 8 <= text.size(); at += 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, text.data() + at, 8);
    state.absorb(word);
  }
  std::uint64_t last = static_cast<std::uint64_t>(text.size()) << 56;
  for (std::size_t index = 0; at + index < text.size(); ++index) {
    last |= std::uint64_t{static_cast<unsigned char>(text[at + index])} << (8 * index);
  }
  state.absorb(last);
  return state.finish();
}

}  // namespace busbar::route
