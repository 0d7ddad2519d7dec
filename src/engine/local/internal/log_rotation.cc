#include "engine/local/internal/log_rotation.h"

#include <sys/stat.h>

#include <algorithm>
#include <cstdio>

#include "os/files.h"

namespace busbar::engine {
namespace {

std::string numbered(const std::string& path, std::uint32_t number) {
  return number == 0 ? path : path + "." + std::to_string(number);
}

}  // namespace

bool is_log_full(const std::string& path, std::int64_t max_bytes) {
  struct stat info{};
  return max_bytes > 0 && ::stat(path.c_str(), &info) == 0 && info.st_size >= max_bytes;
}

void shift_logs(const std::string& path, std::uint32_t files) {
  // rename replaces the oldest. With one file only, its content goes.
  for (std::uint32_t number = std::max<std::uint32_t>(files, 2) - 1; number > 0; --number) {
    (void)std::rename(numbered(path, number - 1).c_str(), numbered(path, number).c_str());
  }
  if (files < 2) {
    (void)std::remove(numbered(path, 1).c_str());
  }
}

std::vector<std::string> existing_logs(const std::string& path, std::uint32_t files) {
  std::vector<std::string> found;
  for (std::uint32_t number = std::max<std::uint32_t>(files, 2); number-- > 0;) {
    if (os::file_exists(numbered(path, number))) {
      found.push_back(numbered(path, number));
    }
  }
  return found;
}

}  // namespace busbar::engine
