#include "engine/local/internal/process_stats.h"

#include <unistd.h>

#include <string>
#include <vector>

#include "base/text.h"
#include "os/files.h"

namespace busbar::engine {
namespace {

std::string pid_namespace(const std::string& process) {
  return os::read_link("/proc/" + process + "/ns/pid").value_or("");
}

/// Adds one process's line of /proc/PID/stat (proc(5)), fields counted after the name in parentheses.
void add_process(const std::string& stat, TaskStats& stats) {
  const std::size_t name_end = stat.rfind(')');
  if (name_end == std::string::npos) {
    return;
  }
  const auto fields = split(std::string_view(stat).substr(name_end + 2), ' ');
  constexpr std::size_t kUserTicks = 11;  // then system, children's user, children's system
  constexpr std::size_t kResidentPages = 21;
  if (fields.size() <= kResidentPages) {
    return;
  }
  for (std::size_t i = kUserTicks; i < kUserTicks + 4; ++i) {
    stats.cpu_usage_ms += parse_int(fields[i]).value_or(0) * 1000 / ::sysconf(_SC_CLK_TCK);
  }
  stats.memory.value += parse_int(fields[kResidentPages]).value_or(0) * ::sysconf(_SC_PAGESIZE);
  ++stats.processes;
}

}  // namespace

TaskStats process_stats(pid_t init_pid) {
  TaskStats stats;
  const std::string wanted = pid_namespace(std::to_string(init_pid));
  const auto entries = os::list_dir("/proc");
  if (wanted.empty() || !entries) {
    return stats;
  }
  for (const os::DirEntry& entry : *entries) {
    if (parse_int(entry.name) && pid_namespace(entry.name) == wanted) {
      add_process(os::read_file("/proc/" + entry.name + "/stat", 4096).value_or(""), stats);
    }
  }
  stats.memory_peak = stats.memory;
  return stats;
}

}  // namespace busbar::engine
