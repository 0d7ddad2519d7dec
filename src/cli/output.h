#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/units.h"

/// Where text goes and how it looks: terminal or pipe, colours or none, how wide.
namespace busbar::cli {

/// Reads an environment variable; nullopt when it is not set. A function, so that tests have their own environment.
using Environment = std::function<std::optional<std::string>(const char* name)>;

enum class Style { kPlain, kBold, kDim, kRed, kGreen, kYellow, kCyan };

/// One of the two output streams. Not buffered: callers build a text and write it whole. Not thread-safe.
class Output {
 public:
  struct Traits {
    bool is_terminal = false;
    bool has_colour = false;
    int width = 0;  ///< Columns; 0: no limit (a pipe).
  };
  Output(std::function<void(std::string_view)> sink, Traits traits) : sink_(std::move(sink)), traits_(traits) {}
  /// Writes to a descriptor, which is not closed. Colours on a terminal unless NO_COLOR is set or TERM is "dumb".
  static Output to_descriptor(int descriptor, const Environment& environment);

  void write(std::string_view text) { sink_(text); }
  void line(std::string_view text);

  bool is_terminal() const { return traits_.is_terminal; }
  bool has_colour() const { return traits_.has_colour; }
  int width() const { return traits_.width; }
  void set_colour(bool has_colour) { traits_.has_colour = has_colour; }
  void set_width(int width) { traits_.width = width; }

  /// The text in that style, or as it is where there are no colours.
  std::string paint(std::string_view text, Style style) const;

 private:
  std::function<void(std::string_view)> sink_;
  Traits traits_;
};

std::string paint(std::string_view text, Style style, bool has_colour);

/// Columns of the terminal at this descriptor; 0 if it is none.
int terminal_width(int descriptor);

/// Control characters, which could drive a terminal, become '?'; for names and messages that came over the network.
std::string printable(std::string_view text);
/// Columns that a UTF-8 text takes: two for East Asian wide characters and emoji, none for combining marks.
int display_width(std::string_view text);
/// The text cut to at most `width` columns, with an ellipsis as its last character if something was cut.
std::string ellipsis(std::string_view text, int width);

/// "3m ago", "just now"; "-" for 0.
std::string time_ago(TimeMs time_ms, TimeMs now_ms);
/// "2026-01-02 03:04:05Z"; "-" for 0.
std::string short_time(TimeMs time_ms);
/// 1234.5 -> "1,234", 12.34 -> "12.3", 0.4119 -> "0.4119": what a person wants to read.
std::string human_number(double value);
/// 1234567 -> "1,234,567".
std::string human_count(std::int64_t value);

}  // namespace busbar::cli
