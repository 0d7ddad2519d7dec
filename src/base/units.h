#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.h"

namespace busbar {

/// Milliseconds since the Unix epoch, or a span of them where the name says `_ms`.
using TimeMs = std::int64_t;

/// A strong integer: no mixing of kinds, no floating point.
template <class Tag>
struct Quantity {
  std::int64_t value = 0;

  friend constexpr auto operator<=>(const Quantity&, const Quantity&) = default;
  constexpr Quantity& operator+=(Quantity other) {
    value += other.value;
    return *this;
  }
  constexpr Quantity& operator-=(Quantity other) {
    value -= other.value;
    return *this;
  }
  friend constexpr Quantity operator+(Quantity a, Quantity b) { return {a.value + b.value}; }
  friend constexpr Quantity operator-(Quantity a, Quantity b) { return {a.value - b.value}; }
  friend constexpr Quantity operator*(Quantity a, std::int64_t n) { return {a.value * n}; }
};

using Bytes = Quantity<struct BytesTag>;
/// 1000 = one card.
using MilliCards = Quantity<struct MilliCardsTag>;
/// 1000 = one logical CPU.
using MilliCpus = Quantity<struct MilliCpusTag>;

/// "64GiB", "64Gi", "64G", "64GB", "512M", "1.5T", "4096": K/M/G/T/P are binary with or without `i` and `B`, as Slurm
/// and Docker read them; a bare number is bytes. Negative or overflowing values are kInvalidArgument.
Result<Bytes> parse_bytes(std::string_view text);
/// "64GiB", "1.5GiB", "512KiB", "17B": the largest unit that is at least 1, at most one decimal.
std::string format_bytes(Bytes bytes);

/// "90", "90s", "15m", "4h", "2d", "1h30m", "250ms", and Slurm's "MM:SS", "HH:MM:SS", "D-HH", "D-HH:MM", "D-HH:MM:SS".
/// A bare number is seconds (Slurm's minutes would surprise everybody else; `#SBATCH --time=90` is read as minutes by
/// the sbatch reader, which calls `parse_slurm_duration_ms`).
Result<std::int64_t> parse_duration_ms(std::string_view text);
/// sbatch's reading of --time: a bare number is minutes, "MM:SS", "HH:MM:SS", "D-HH" ....
Result<std::int64_t> parse_slurm_duration_ms(std::string_view text);
/// "340ms", "12.3s", "4m05s", "2h03m", "3d04h".
std::string format_duration_ms(std::int64_t duration_ms);

/// "1", "0.5", "2.25" to milli units; at most three decimals, else kInvalidArgument.
Result<std::int64_t> parse_milli(std::string_view text);
/// 1000 -> "1", 500 -> "0.5".
std::string format_milli(std::int64_t milli);

/// RFC 3339 in UTC with milliseconds: "2026-01-02T03:04:05.678Z".
std::string format_time(TimeMs time_ms);

}  // namespace busbar
