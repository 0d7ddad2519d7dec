#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"
#include "launch/job_file.h"

namespace busbar::launch {
namespace {

constexpr std::size_t kWidestExcerpt = 160;

/// The n-th line, from 1, without its end.
std::string_view line_of(std::string_view text, int number) {
  for (int line = 1; line < number; ++line) {
    const auto end = text.find('\n');
    if (end == std::string_view::npos) {
      return {};
    }
    text.remove_prefix(end + 1);
  }
  std::string_view line = text.substr(0, text.find('\n'));
  return line.ends_with('\r') ? line.substr(0, line.size() - 1) : line;
}

/// The source line and a caret under the place; "" where there is none to show. Tabs stay, so that the caret fits.
std::string excerpt(std::string_view text, TextPosition position) {
  const std::string_view line = position.line > 0 ? line_of(text, position.line) : std::string_view();
  if (line.empty() || line.size() > kWidestExcerpt || !is_valid_utf8(line)) {
    return {};
  }
  const auto column = static_cast<std::size_t>(std::max(position.column, 1));
  std::string shown;
  std::string caret;
  for (std::size_t at = 0; at < line.size(); ++at) {
    const auto byte = static_cast<unsigned char>(line[at]);
    const bool is_control = byte != '\t' && (byte < 0x20 || byte == 0x7f);
    shown += is_control ? '?' : line[at];
    const bool is_continuation = (byte & 0xc0) == 0x80;
    if (at + 1 < column && !is_continuation) {
      caret += byte == '\t' ? '\t' : ' ';
    }
  }
  return fmt::format("    {}\n    {}^\n", shown, caret);
}

}  // namespace

std::string format_diagnostics(std::string_view file_name, std::string_view text,
                               const std::vector<Diagnostic>& diagnostics) {
  std::string out;
  for (const Diagnostic& diagnostic : diagnostics) {
    const TextPosition at = diagnostic.position;
    out += at.line > 0 ? fmt::format("{}:{}:{}: ", file_name, at.line, at.column) : fmt::format("{}: ", file_name);
    out += diagnostic.is_warning ? "warning: " : "error: ";
    out += diagnostic.field.empty() ? diagnostic.message : diagnostic.field + ": " + diagnostic.message;
    out += "\n" + excerpt(text, at);
    if (!diagnostic.hint.empty()) {
      out += "    hint: " + diagnostic.hint + "\n";
    }
  }
  return out;
}

}  // namespace busbar::launch
