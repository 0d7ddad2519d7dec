#include "engine/log_line.h"

#include <chrono>

namespace busbar::engine {
namespace {

/// Takes `count` digits off the front.
std::optional<int> take_digits(std::string_view& text, std::size_t count) {
  if (text.size() < count) {
    return std::nullopt;
  }
  int value = 0;
  for (std::size_t i = 0; i < count; ++i) {
    if (text[i] < '0' || text[i] > '9') {
      return std::nullopt;
    }
    value = value * 10 + (text[i] - '0');
  }
  text.remove_prefix(count);
  return value;
}

bool take(std::string_view& text, std::string_view expected) {
  if (!text.starts_with(expected)) {
    return false;
  }
  text.remove_prefix(expected.size());
  return true;
}

/// The fraction's first three digits; the rest is skipped.
int take_millis(std::string_view& text) {
  int millis = 0;
  int digits = 0;
  while (!text.empty() && text.front() >= '0' && text.front() <= '9') {
    if (digits < 3) {
      millis = millis * 10 + (text.front() - '0');
      ++digits;
    }
    text.remove_prefix(1);
  }
  for (; digits < 3; ++digits) {
    millis *= 10;
  }
  return millis;
}

/// "Z", "+02:00", "-05:30" in minutes.
std::optional<int> take_zone(std::string_view& text) {
  if (take(text, "Z")) {
    return 0;
  }
  const int sign = text.starts_with('-') ? -1 : 1;
  if (!take(text, "+") && !take(text, "-")) {
    return std::nullopt;
  }
  const auto hours = take_digits(text, 2);
  if (!hours || !take(text, ":")) {
    return std::nullopt;
  }
  const auto minutes = take_digits(text, 2);
  return minutes ? std::optional(sign * (*hours * 60 + *minutes)) : std::nullopt;
}

/// RFC 3339.
std::optional<TimeMs> take_time(std::string_view& text) {
  const auto year = take_digits(text, 4);
  if (!year || !take(text, "-")) {
    return std::nullopt;
  }
  const auto month = take_digits(text, 2);
  if (!month || !take(text, "-")) {
    return std::nullopt;
  }
  const auto day = take_digits(text, 2);
  if (!day || !take(text, "T")) {
    return std::nullopt;
  }
  const auto hour = take_digits(text, 2);
  if (!hour || !take(text, ":")) {
    return std::nullopt;
  }
  const auto minute = take_digits(text, 2);
  if (!minute || !take(text, ":")) {
    return std::nullopt;
  }
  const auto second = take_digits(text, 2);
  if (!second) {
    return std::nullopt;
  }
  const int millis = take(text, ".") ? take_millis(text) : 0;
  const auto zone_minutes = take_zone(text);
  const std::chrono::year_month_day date{std::chrono::year(*year), std::chrono::month(static_cast<unsigned>(*month)),
                                         std::chrono::day(static_cast<unsigned>(*day))};
  if (!zone_minutes || !date.ok() || *hour > 23 || *minute > 59 || *second > 60) {
    return std::nullopt;
  }
  const std::int64_t days = std::chrono::sys_days(date).time_since_epoch().count();
  const std::int64_t seconds = ((days * 24 + *hour) * 60 + *minute - *zone_minutes) * 60 + *second;
  return seconds * 1000 + millis;
}

}  // namespace

std::optional<LogLine> parse_log_line(std::string_view line) {
  LogLine result;
  const auto time = take_time(line);
  if (!time) {
    return std::nullopt;
  }
  result.time_ms = *time;
  if (take(line, " stderr ")) {
    result.stream = 2;
  } else if (!take(line, " stdout ")) {
    return std::nullopt;
  }
  result.is_partial = line.starts_with("P ");
  if (!take(line, "P ") && !take(line, "F ")) {
    return std::nullopt;
  }
  result.text = line;
  return result;
}

}  // namespace busbar::engine
