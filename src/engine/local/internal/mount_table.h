#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace busbar::engine {

/// One line of /proc/self/mountinfo (proc(5)), octal escapes resolved.
struct MountPoint {
  std::string path = {};
  std::string fs_type = {};
  std::string source = {};
  std::string super_options = {};
};

/// Lines that cannot be read are left out.
std::vector<MountPoint> parse_mountinfo(std::string_view text);

/// Mounts below / that hold files of the machine (its own disk for /usr or /home, NFS ...) and so belong to
/// `image: host`, whose overlay shows only the root file system itself: in mount order. `hidden`: paths that stay out,
/// with what lies below them.
std::vector<std::string> host_data_mounts(const std::vector<MountPoint>& mounts, std::span<const std::string> hidden);

/// True for `path` itself and for what lies below it. Both absolute, no trailing slash.
bool is_at_or_below(std::string_view path, std::string_view ancestor);

}  // namespace busbar::engine
