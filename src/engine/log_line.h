#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/units.h"

namespace busbar::engine {

/// One line of a task's log file, in the format that Kubernetes calls CRI and conmon calls k8s-file:
/// `2026-01-02T03:04:05.678901234+00:00 stdout F text`. `P` marks a part: the program's line was longer than conmon's
/// buffer (8 KiB), its rest follows in the next lines up to one with `F`.
struct LogLine {
  TimeMs time_ms = 0;
  int stream = 1;              ///< 1 stdout, 2 stderr.
  bool is_partial = false;     ///< No line end here: join with the next line of the same stream.
  std::string_view text = {};  ///< Points into what was parsed.
};

/// nullopt if the text (without its '\n') is not such a line, e.g. the torn end of a file on a full disk.
std::optional<LogLine> parse_log_line(std::string_view line);

}  // namespace busbar::engine
