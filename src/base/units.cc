#include "base/units.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <limits>
#include <optional>

#include "base/text.h"

namespace busbar {
namespace {

using Wide = __int128;

constexpr std::int64_t kSecondMs = 1000;
constexpr std::int64_t kMinuteMs = 60 * kSecondMs;
constexpr std::int64_t kHourMs = 60 * kMinuteMs;
constexpr std::int64_t kDayMs = 24 * kHourMs;
constexpr Wide kMaxValue = std::numeric_limits<std::int64_t>::max();

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

/// "12" or "1.25" as digits / 10^decimals, exactly; what follows stays in the text it was taken from.
struct Decimal {
  std::int64_t digits = 0;
  int decimals = 0;

  /// nullopt above int64. Rounds down.
  std::optional<std::int64_t> times(std::int64_t unit) const {
    Wide value = Wide{digits} * unit;
    for (int i = 0; i < decimals; ++i) {
      value /= 10;
    }
    return value > kMaxValue ? std::nullopt : std::optional(static_cast<std::int64_t>(value));
  }
};

std::optional<Decimal> take_decimal(std::string_view& text) {
  Decimal decimal;
  bool has_digit = false;
  bool has_point = false;
  std::size_t at = 0;
  for (; at < text.size(); ++at) {
    if (text[at] == '.' && !has_point && has_digit && at + 1 < text.size() && is_digit(text[at + 1])) {
      has_point = true;
      continue;
    }
    if (!is_digit(text[at])) {
      break;
    }
    const Wide next = Wide{decimal.digits} * 10 + (text[at] - '0');
    if (next > kMaxValue) {
      return std::nullopt;
    }
    decimal.digits = static_cast<std::int64_t>(next);
    decimal.decimals += has_point ? 1 : 0;
    has_digit = true;
  }
  if (!has_digit) {
    return std::nullopt;
  }
  text.remove_prefix(at);
  return decimal;
}

/// Digits only; the whole text.
std::optional<std::int64_t> parse_count(std::string_view text) {
  return text.empty() || !is_digit(text.front()) ? std::nullopt : parse_int(text);
}

std::optional<std::int64_t> byte_unit(std::string_view suffix) {
  const std::string unit = to_lower(suffix);
  if (unit.empty() || unit == "b") {
    return 1;
  }
  const std::size_t power = std::string_view("kmgtp").find(unit.front());
  const std::string_view rest = std::string_view(unit).substr(1);
  if (power == std::string_view::npos || !(rest.empty() || rest == "i" || rest == "b" || rest == "ib")) {
    return std::nullopt;
  }
  return std::int64_t{1} << (10 * (power + 1));
}

tl::unexpected<Error> bad_duration(std::string_view text) {
  return make_error(
      ErrorCode::kInvalidArgument,
      fmt::format("\"{}\" is not a duration; write 90s, 15m, 4h, 1h30m, 2d, HH:MM:SS or D-HH:MM:SS", text));
}

/// Up to four counts with the unit of each; the sum, or nullopt on overflow or a malformed count.
std::optional<std::int64_t> sum_of(std::span<const std::string_view> parts, std::span<const std::int64_t> units) {
  Wide sum = 0;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const auto count = parse_count(parts[i]);
    if (!count) {
      return std::nullopt;
    }
    sum += Wide{*count} * units[i];
  }
  return sum > kMaxValue ? std::nullopt : std::optional(static_cast<std::int64_t>(sum));
}

/// "MM:SS", "HH:MM:SS", "D-HH", "D-HH:MM", "D-HH:MM:SS". Any part may be large ("90:00"), as in Slurm.
std::optional<std::int64_t> parse_clock_form(std::string_view text) {
  constexpr std::array kWithDays{kDayMs, kHourMs, kMinuteMs, kSecondMs};
  const std::size_t dash = text.find('-');
  std::vector<std::string_view> parts = split(text.substr(dash == std::string_view::npos ? 0 : dash + 1), ':');
  if (dash != std::string_view::npos) {
    parts.insert(parts.begin(), text.substr(0, dash));
    return parts.size() > 4 ? std::nullopt : sum_of(parts, kWithDays);
  }
  if (parts.size() < 2 || parts.size() > 3) {
    return std::nullopt;
  }
  return sum_of(parts, std::span(kWithDays).last(parts.size()));
}

struct DurationUnit {
  std::string_view name;
  std::int64_t ms;
};
// Largest first: units must come in this order in a text, each once.
constexpr std::array kDurationUnits{DurationUnit{"d", kDayMs}, DurationUnit{"h", kHourMs}, DurationUnit{"m", kMinuteMs},
                                    DurationUnit{"s", kSecondMs}, DurationUnit{"ms", 1}};

std::optional<std::int64_t> parse_unit_form(std::string_view text) {
  Wide sum = 0;
  std::size_t next_unit = 0;
  while (!text.empty()) {
    const auto number = take_decimal(text);
    if (!number) {
      return std::nullopt;
    }
    const auto is_letter = [](char c) { return c >= 'a' && c <= 'z'; };
    const auto end = std::find_if_not(text.begin(), text.end(), is_letter);
    const std::string_view name = text.substr(0, static_cast<std::size_t>(end - text.begin()));
    const auto unit =
        std::find_if(kDurationUnits.begin() + static_cast<std::ptrdiff_t>(next_unit), kDurationUnits.end(),
                     [&](const DurationUnit& candidate) { return candidate.name == name; });
    if (unit == kDurationUnits.end()) {
      return std::nullopt;
    }
    const auto part = number->times(unit->ms);
    if (!part) {
      return std::nullopt;
    }
    sum += *part;
    next_unit = static_cast<std::size_t>(unit - kDurationUnits.begin()) + 1;
    text.remove_prefix(name.size());
  }
  return sum > kMaxValue ? std::nullopt : std::optional(static_cast<std::int64_t>(sum));
}

Result<std::int64_t> parse_duration(std::string_view original, std::int64_t bare_unit_ms) {
  const std::string_view text = trim(original);
  if (text.empty()) {
    return bad_duration(original);
  }
  std::optional<std::int64_t> value;
  if (text.find_first_of(":-") != std::string_view::npos) {
    value = parse_clock_form(text);
  } else if (std::string_view rest = text; const auto bare = take_decimal(rest)) {
    value = rest.empty() ? bare->times(bare_unit_ms) : parse_unit_form(text);
  }
  if (!value) {
    return bad_duration(original);
  }
  return *value;
}

}  // namespace

Result<Bytes> parse_bytes(std::string_view original) {
  std::string_view text = trim(original);
  const auto number = take_decimal(text);
  const auto unit = byte_unit(trim(text));
  if (!number || !unit) {
    return make_error(ErrorCode::kInvalidArgument,
                      fmt::format("\"{}\" is not a size; write 4096, 512M, 1.5T or 64GiB", original));
  }
  const auto bytes = number->times(*unit);
  if (!bytes) {
    return make_error(ErrorCode::kInvalidArgument, fmt::format("\"{}\" is more than 8EiB - 1", original));
  }
  return Bytes{*bytes};
}

std::string format_bytes(Bytes bytes) {
  constexpr std::array<std::string_view, 7> kNames{"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  const bool is_negative = bytes.value < 0;
  const std::uint64_t size =
      is_negative ? 0 - static_cast<std::uint64_t>(bytes.value) : static_cast<std::uint64_t>(bytes.value);
  std::size_t unit = 0;
  while (unit + 1 < kNames.size() && (size >> (10 * (unit + 1))) > 0) {
    ++unit;
  }
  const std::uint64_t whole = size >> (10 * unit);
  const std::uint64_t rest = size - (whole << (10 * unit));
  const auto tenths = static_cast<unsigned>((static_cast<unsigned __int128>(rest) * 10) >> (10 * unit));
  const std::string_view sign = is_negative ? "-" : "";
  return tenths == 0 ? fmt::format("{}{}{}", sign, whole, kNames[unit])
                     : fmt::format("{}{}.{}{}", sign, whole, tenths, kNames[unit]);
}

Result<std::int64_t> parse_duration_ms(std::string_view text) {
  return parse_duration(text, kSecondMs);
}

Result<std::int64_t> parse_slurm_duration_ms(std::string_view text) {
  return parse_duration(text, kMinuteMs);
}

std::string format_duration_ms(std::int64_t duration_ms) {
  if (duration_ms < 0) {
    // The smallest int64 has no positive twin; a millisecond does not matter there.
    return "-" + format_duration_ms(duration_ms == std::numeric_limits<std::int64_t>::min()
                                        ? std::numeric_limits<std::int64_t>::max()
                                        : -duration_ms);
  }
  if (duration_ms < kSecondMs) {
    return fmt::format("{}ms", duration_ms);
  }
  if (duration_ms < kMinuteMs) {
    return fmt::format("{}.{}s", duration_ms / kSecondMs, duration_ms % kSecondMs / 100);
  }
  if (duration_ms < kHourMs) {
    return fmt::format("{}m{:02}s", duration_ms / kMinuteMs, duration_ms % kMinuteMs / kSecondMs);
  }
  if (duration_ms < kDayMs) {
    return fmt::format("{}h{:02}m", duration_ms / kHourMs, duration_ms % kHourMs / kMinuteMs);
  }
  return fmt::format("{}d{:02}h", duration_ms / kDayMs, duration_ms % kDayMs / kHourMs);
}

Result<std::int64_t> parse_milli(std::string_view original) {
  std::string_view text = trim(original);
  const auto number = take_decimal(text);
  if (!number || !text.empty()) {
    return make_error(ErrorCode::kInvalidArgument,
                      fmt::format("\"{}\" is not a number; write 1, 0.5 or 2.25", original));
  }
  if (number->decimals > 3) {
    return make_error(ErrorCode::kInvalidArgument, fmt::format("\"{}\" has more than three decimals", original));
  }
  const auto milli = number->times(1000);
  if (!milli) {
    return make_error(ErrorCode::kInvalidArgument, fmt::format("\"{}\" is too large", original));
  }
  return *milli;
}

std::string format_milli(std::int64_t milli) {
  const std::uint64_t magnitude = milli < 0 ? 0 - static_cast<std::uint64_t>(milli) : static_cast<std::uint64_t>(milli);
  std::string text = fmt::format("{}{}", milli < 0 ? "-" : "", magnitude / 1000);
  if (magnitude % 1000 != 0) {
    text += fmt::format(".{:03}", magnitude % 1000);
    text.erase(text.find_last_not_of('0') + 1);
  }
  return text;
}

std::string format_time(TimeMs time_ms) {
  // RFC 3339 knows the years 0000 to 9999.
  constexpr TimeMs kYear0 = -62'167'219'200'000;
  constexpr TimeMs kYear9999End = 253'402'300'799'999;
  const std::chrono::milliseconds since_epoch(std::clamp(time_ms, kYear0, kYear9999End));
  const auto day = std::chrono::floor<std::chrono::days>(since_epoch);
  const std::chrono::year_month_day date{std::chrono::sys_days(day)};
  const std::chrono::hh_mm_ss time(since_epoch - day);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", static_cast<int>(date.year()),
                     static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()), time.hours().count(),
                     time.minutes().count(), time.seconds().count(), time.subseconds().count());
}

}  // namespace busbar
