#include "engine/local/internal/root_assembly.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <map>

#include "os/errno_error.h"
#include "os/files.h"

namespace busbar::engine {
namespace {

/// Fresh in each container, whatever the image has there.
constexpr std::array kOwn{"dev", "proc", "root", "run", "sys", "tmp"};
/// Of the host, but nobody's business.
constexpr std::array kHostOnly{"boot", "lost+found", "media", "mnt"};

bool is_one_of(const auto& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

bool has_mounts_below(const std::string& path, const std::vector<MountPoint>& mounts) {
  return std::any_of(mounts.begin(), mounts.end(),
                     [&](const MountPoint& mount) { return mount.path != path && is_at_or_below(mount.path, path); });
}

Result<void> make_dir(const std::string& path, mode_t mode) {
  if ((::mkdir(path.c_str(), mode) != 0 && errno != EEXIST) || ::chmod(path.c_str(), mode) != 0) {
    return os::errno_failure("cannot make " + path);
  }
  return {};
}

}  // namespace

Result<RootAssembly> assemble_root(const std::vector<std::string>& lower_dirs, bool is_host,
                                   const std::vector<MountPoint>& mounts) {
  RootAssembly assembly;
  std::map<std::string, std::vector<std::string>> dirs;
  std::map<std::string, std::string> links;
  for (const std::string& layer : lower_dirs) {
    // A short link: overlay needs what it means, list_dir too.
    TRY_ASSIGN(const std::vector<os::DirEntry> entries, os::list_dir(layer));
    for (const os::DirEntry& entry : entries) {
      if (is_one_of(kOwn, entry.name) || (is_host && is_one_of(kHostOnly, entry.name)) || links.contains(entry.name)) {
        continue;
      }
      const std::string path = os::join_path(layer, entry.name);
      if (entry.kind == os::FileKind::kDirectory && ::access(path.c_str(), R_OK | X_OK) == 0) {
        dirs[entry.name].push_back(path);
      } else if (entry.kind == os::FileKind::kLink && !dirs.contains(entry.name)) {
        TRY_ASSIGN(links[entry.name], os::read_link(path));
      }
    }
  }
  for (auto& [name, lowers] : dirs) {
    if (is_host && has_mounts_below("/" + name, mounts)) {
      assembly.bound_dirs.push_back("/" + name);
    } else {
      assembly.overlay_dirs.push_back({.name = name, .lower_dirs = std::move(lowers)});
    }
  }
  assembly.links.assign(links.begin(), links.end());
  return assembly;
}

bool is_shown(const RootAssembly& assembly, std::string_view path) {
  return std::any_of(assembly.overlay_dirs.begin(), assembly.overlay_dirs.end(),
                     [&](const RootAssembly::Dir& dir) { return is_at_or_below(path, "/" + dir.name); }) ||
         std::any_of(assembly.bound_dirs.begin(), assembly.bound_dirs.end(),
                     [&](const std::string& dir) { return is_at_or_below(path, dir); });
}

Result<void> make_assembled_root(const RootAssembly& assembly, const std::string& task_dir) {
  const std::string root = task_dir + "/rootfs/";
  for (const char* name : kOwn) {
    TRY(make_dir(root + name, std::string_view(name) == "tmp" ? 01777 : 0755));
  }
  for (const RootAssembly::Dir& dir : assembly.overlay_dirs) {
    TRY(make_dir(root + dir.name, 0755));
    TRY(make_dir(task_dir + "/upper/" + dir.name, 0755));
    TRY(make_dir(task_dir + "/work/" + dir.name, 0755));
  }
  for (const std::string& dir : assembly.bound_dirs) {
    TRY(make_dir(root + dir.substr(1), 0755));
  }
  for (const auto& [name, target] : assembly.links) {
    if (::symlink(target.c_str(), (root + name).c_str()) != 0 && errno != EEXIST) {
      return os::errno_failure("cannot make the link " + root + name);
    }
  }
  return {};
}

void unlock_work_dirs(const std::string& work_dir) {
  const auto entries = os::list_dir(work_dir);
  if (!entries) {
    return;
  }
  for (const os::DirEntry& entry : *entries) {
    ::chmod(os::join_path(work_dir, entry.name + "/work").c_str(), 0700);
  }
}

}  // namespace busbar::engine
