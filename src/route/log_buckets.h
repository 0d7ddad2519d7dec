#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

/// Log-linear buckets of durations, as HdrHistogram has them: eight to each power of two, so a value is known to within
/// 12.5 %. Gateways count in them, and the server adds up what they say: both sides must mean the same.
namespace busbar::route {

constexpr std::size_t log_bucket_of(std::uint64_t us) {
  if (us < 8) return us;
  const auto log = static_cast<std::size_t>(std::bit_width(us)) - 1;
  return (log - 2) * 8 + ((us >> (log - 3)) & 7);
}

/// The smallest duration beyond the bucket.
constexpr std::uint64_t log_bucket_end(std::size_t bucket) {
  if (bucket < 8) return bucket + 1;
  return (8 + bucket % 8 + 1) << (bucket / 8 - 1);
}

}  // namespace busbar::route
