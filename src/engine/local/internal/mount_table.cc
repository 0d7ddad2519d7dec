#include "engine/local/internal/mount_table.h"

#include <algorithm>
#include <array>

#include "base/text.h"

namespace busbar::engine {
namespace {

std::string unescape(std::string_view text) {
  std::string result;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto digit = [&](std::size_t at) { return text[at] >= '0' && text[at] <= '7'; };
    if (text[i] == '\\' && i + 3 < text.size() && digit(i + 1) && digit(i + 2) && digit(i + 3)) {
      result += static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 + (text[i + 3] - '0'));
      i += 3;
    } else {
      result += text[i];
    }
  }
  return result;
}

bool holds_files(const MountPoint& mount) {
  static constexpr std::array kTypes{"zfs", "btrfs", "nfs", "nfs4", "cifs", "ceph", "9p", "virtiofs", "fuse.sshfs"};
  return mount.source.starts_with("/dev/") || std::find(kTypes.begin(), kTypes.end(), mount.fs_type) != kTypes.end();
}

}  // namespace

bool is_at_or_below(std::string_view path, std::string_view ancestor) {
  if (ancestor == "/") {
    return true;
  }
  return path.starts_with(ancestor) && (path.size() == ancestor.size() || path[ancestor.size()] == '/');
}

std::vector<MountPoint> parse_mountinfo(std::string_view text) {
  std::vector<MountPoint> mounts;
  for (const std::string_view line : split(text, '\n')) {
    const auto fields = split(line, ' ');
    const auto dash = std::find(fields.begin(), fields.end(), "-");
    if (fields.size() < 7 || fields.end() - dash < 4) {
      continue;
    }
    mounts.push_back({.path = unescape(fields[4]),
                      .fs_type = std::string(dash[1]),
                      .source = unescape(dash[2]),
                      .super_options = std::string(dash[3])});
  }
  return mounts;
}

std::vector<std::string> host_data_mounts(const std::vector<MountPoint>& mounts, std::span<const std::string> hidden) {
  static constexpr std::array kNever{"/proc", "/sys", "/dev", "/run"};
  std::vector<std::string> paths;
  for (const MountPoint& mount : mounts) {
    const auto hides = [&](std::string_view ancestor) { return is_at_or_below(mount.path, ancestor); };
    if (mount.path == "/" || !holds_files(mount) || std::any_of(kNever.begin(), kNever.end(), hides) ||
        std::any_of(hidden.begin(), hidden.end(), hides) ||
        std::find(paths.begin(), paths.end(), mount.path) != paths.end()) {
      continue;
    }
    paths.push_back(mount.path);
  }
  return paths;
}

}  // namespace busbar::engine
