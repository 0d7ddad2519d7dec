#pragma once

#include <cstdint>
#include <string_view>

namespace busbar {

/// CRC-32C (Castagnoli, RFC 3720 appendix B.4), as used in journal frames. `seed` chains calls.
std::uint32_t crc32c(std::string_view bytes, std::uint32_t seed = 0);

/// Finaliser of splitmix64 (Steele, Lea, Flood 2014): a bijection that spreads every bit.
constexpr std::uint64_t mix64(std::uint64_t x) {
  x += 0x9e3779b97f4a7c15ULL;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

/// 64-bit hash of bytes, the same on every machine and in every version (state hashes and journals rest on it).
std::uint64_t stable_hash64(std::string_view bytes, std::uint64_t seed = 0);

}  // namespace busbar
