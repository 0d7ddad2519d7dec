#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace busbar::engine {

struct ReportChunk {
  std::uint64_t offset = 0;  ///< After the lines.
  std::vector<std::string> lines = {};
  bool has_more = false;  ///< Call again.
};

/// Whole lines of a task's report.jsonl after `offset`, at most about 1 MiB of them. A line that is longer than that is
/// skipped; a missing file has no lines. The file belongs to the task: nothing in it is trusted.
ReportChunk read_report(const std::string& path, std::uint64_t offset);

}  // namespace busbar::engine
