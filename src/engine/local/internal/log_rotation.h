#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace busbar::engine {

/// True when the file has reached `max_bytes`; false when it is smaller, missing, or `max_bytes` is not positive.
bool is_log_full(const std::string& path, std::int64_t max_bytes);

/// task.log -> task.log.1 -> task.log.2 ...: at most `files` files in all. The writer goes on in the renamed file until
/// it is told to open `path` again, so no line is lost.
void shift_logs(const std::string& path, std::uint32_t files);

/// The files that exist, oldest first.
std::vector<std::string> existing_logs(const std::string& path, std::uint32_t files);

}  // namespace busbar::engine
