#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "engine/local/internal/mount_table.h"

namespace busbar::engine {

/// A root file system for an engine that is not root. A user namespace may not use "/" as an overlay's lower directory,
/// because mounts that it may not take away lie below; its top-level directories it may. So the root is a plain
/// directory with one overlay for each of them, all mounted by the runtime inside the container.
struct RootAssembly {
  struct Dir {
    std::string name = {};
    std::vector<std::string> lower_dirs = {};  ///< Topmost first.
  };
  std::vector<Dir> overlay_dirs = {};
  std::vector<std::string> bound_dirs = {};  ///< Host directories with mounts below: shown read-only.
  std::vector<std::pair<std::string, std::string>> links = {};  ///< Name and target: bin -> usr/bin.
};

/// Looks at the layers. `mounts`: of the host. Files at the top of an image are left out.
Result<RootAssembly> assemble_root(const std::vector<std::string>& lower_dirs, bool is_host,
                                   const std::vector<MountPoint>& mounts);

/// True if the host's `path` can be seen in the container.
bool is_shown(const RootAssembly& assembly, std::string_view path);

/// Makes the directories and links below `task_dir`: rootfs, upper and work.
Result<void> make_assembled_root(const RootAssembly& assembly, const std::string& task_dir);

/// Overlay leaves directories that only root may enter; their owner makes them removable.
void unlock_work_dirs(const std::string& work_dir);

}  // namespace busbar::engine
