#include "cli/output.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cmath>
#include <cstdlib>

#include "base/text.h"

namespace busbar::cli {
namespace {

void write_all(int descriptor, std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = ::write(descriptor, text.data(), text.size());
    if (written < 0 && errno == EINTR) {
      continue;
    }
    if (written <= 0) {
      return;  // A closed pipe or a full disk behind it: there is nobody left to tell.
    }
    text.remove_prefix(static_cast<std::size_t>(written));
  }
}

std::string_view style_code(Style style) {
  switch (style) {
    case Style::kPlain:
      return "";
    case Style::kBold:
      return "\x1b[1m";
    case Style::kDim:
      return "\x1b[2m";
    case Style::kRed:
      return "\x1b[31m";
    case Style::kGreen:
      return "\x1b[32m";
    case Style::kYellow:
      return "\x1b[33m";
    case Style::kCyan:
      return "\x1b[36m";
  }
  return "";
}

struct CodePoint {
  char32_t value = 0;
  std::size_t size = 1;
};

/// The first character; a byte that is not UTF-8 counts as one column of its own.
CodePoint first_code_point(std::string_view text) {
  const auto lead = static_cast<unsigned char>(text[0]);
  const std::size_t size = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
  if (size > text.size() || (size > 1 && !is_valid_utf8(text.substr(0, size)))) {
    return {.value = 0xfffd, .size = 1};
  }
  if (size == 1) {
    return {.value = lead, .size = 1};
  }
  char32_t value = lead & (0xffU >> (size + 1));
  for (std::size_t i = 1; i < size; ++i) {
    value = (value << 6U) | (static_cast<unsigned char>(text[i]) & 0x3fU);
  }
  return {.value = value, .size = size};
}

/// Unicode 15 East Asian Width W and F in blocks, and the combining marks that occur in names: enough for tables.
int code_point_width(char32_t value) {
  struct Range {
    char32_t first;
    char32_t last;
  };
  constexpr std::array kNone{Range{0x0300, 0x036f}, Range{0x200b, 0x200f}, Range{0xfe00, 0xfe0f}};
  constexpr std::array kWide{Range{0x1100, 0x115f},   Range{0x2e80, 0x303e},  Range{0x3041, 0xa4cf},
                             Range{0xac00, 0xd7a3},   Range{0xf900, 0xfaff},  Range{0xfe30, 0xfe6f},
                             Range{0xff00, 0xff60},   Range{0xffe0, 0xffe6},  Range{0x1f300, 0x1f64f},
                             Range{0x1f900, 0x1f9ff}, Range{0x20000, 0x3fffd}};
  for (const Range& range : kNone) {
    if (value >= range.first && value <= range.last) {
      return 0;
    }
  }
  for (const Range& range : kWide) {
    if (value >= range.first && value <= range.last) {
      return 2;
    }
  }
  return 1;
}

std::string with_thousands(std::string digits) {
  const std::size_t first = digits.starts_with('-') ? 1 : 0;
  for (std::size_t at = digits.size(); at > first + 3;) {
    at -= 3;
    digits.insert(at, 1, ',');
  }
  return digits;
}

}  // namespace

Output Output::to_descriptor(int descriptor, const Environment& environment) {
  const bool is_terminal = ::isatty(descriptor) == 1;
  const bool wants_plain = !environment("NO_COLOR").value_or("").empty() || environment("TERM").value_or("") == "dumb";
  return Output([descriptor](std::string_view text) { write_all(descriptor, text); },
                Traits{.is_terminal = is_terminal,
                       .has_colour = is_terminal && !wants_plain,
                       .width = is_terminal ? terminal_width(descriptor) : 0});
}

void Output::line(std::string_view text) {
  std::string whole(text);
  whole += '\n';
  write(whole);
}

std::string Output::paint(std::string_view text, Style style) const {
  return cli::paint(text, style, traits_.has_colour);
}

std::string paint(std::string_view text, Style style, bool has_colour) {
  if (!has_colour || style == Style::kPlain || text.empty()) {
    return std::string(text);
  }
  return fmt::format("{}{}\x1b[0m", style_code(style), text);
}

int terminal_width(int descriptor) {
  winsize size{};
  if (::ioctl(descriptor, TIOCGWINSZ, &size) != 0) {
    return 0;
  }
  // A pseudo-terminal that nobody sized says 0.
  return size.ws_col == 0 ? 80 : size.ws_col;
}

std::string printable(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const CodePoint point = first_code_point(text);
    const bool is_control = point.value < 0x20 || (point.value >= 0x7f && point.value < 0xa0);
    if (is_control || (point.value == 0xfffd && point.size == 1)) {
      out += point.value == '\n' || point.value == '\t' ? ' ' : '?';
    } else {
      out += text.substr(0, point.size);
    }
    text.remove_prefix(point.size);
  }
  return out;
}

int display_width(std::string_view text) {
  int width = 0;
  while (!text.empty()) {
    const CodePoint point = first_code_point(text);
    width += code_point_width(point.value);
    text.remove_prefix(point.size);
  }
  return width;
}

std::string ellipsis(std::string_view text, int width) {
  if (width <= 0) {
    return "";
  }
  if (display_width(text) <= width) {
    return std::string(text);
  }
  std::string out;
  int used = 0;
  while (!text.empty()) {
    const CodePoint point = first_code_point(text);
    const int columns = code_point_width(point.value);
    if (used + columns > width - 1) {
      break;
    }
    out += text.substr(0, point.size);
    used += columns;
    text.remove_prefix(point.size);
  }
  return out + "\u2026";
}

std::string time_ago(TimeMs time_ms, TimeMs now_ms) {
  if (time_ms == 0) {
    return "-";
  }
  const std::int64_t seconds = (now_ms - time_ms) / 1000;
  if (seconds < 1) {
    return "just now";
  }
  if (seconds < 60) {
    return fmt::format("{}s ago", seconds);
  }
  if (seconds < 3600) {
    return fmt::format("{}m ago", seconds / 60);
  }
  if (seconds < 86'400) {
    return fmt::format("{}h ago", seconds / 3600);
  }
  return fmt::format("{}d ago", seconds / 86'400);
}

std::string short_time(TimeMs time_ms) {
  if (time_ms == 0) {
    return "-";
  }
  // "2026-01-02T03:04:05.678Z" without the milliseconds.
  std::string text = format_time(time_ms);
  const std::size_t dot = text.find('.');
  if (dot != std::string::npos) {
    text = text.substr(0, dot) + "Z";
  }
  const std::size_t separator = text.find('T');
  if (separator != std::string::npos) {
    text[separator] = ' ';
  }
  return text;
}

std::string human_number(double value) {
  if (!std::isfinite(value)) {
    return "-";
  }
  const double size = std::fabs(value);
  if (size >= 1e15) {
    return fmt::format("{:.3g}", value);
  }
  if (size >= 100) {
    return human_count(std::llround(value));
  }
  if (size >= 10) {
    return fmt::format("{:.1f}", value);
  }
  return fmt::format("{:.4g}", value);
}

std::string human_count(std::int64_t value) {
  return with_thousands(std::to_string(value));
}

}  // namespace busbar::cli
