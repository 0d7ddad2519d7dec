#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "engine/engine.h"
#include "engine/local/internal/mount_table.h"

namespace busbar::engine {

/// How this machine's control groups are laid out. Version 1 (each controller mounted by itself), hybrid (version 1
/// with an empty version 2 tree beside it) or version 2.
struct CgroupFacts {
  std::map<std::string, std::string> v1 = {};  ///< Controller -> where it is mounted; also "name=systemd".
  std::string unified = {};                    ///< Where version 2 is mounted; empty: nowhere.
  std::set<std::string> unified_controllers = {};
  bool has_swap_limit = false;

  /// Containers use version 2: no controller is taken by version 1.
  bool is_v2() const;
  bool has(const std::string& controller) const;
  /// "cgroup v1 memory controller", or why there is none and what to do.
  std::string describe(const std::string& controller) const;
};

/// Pure. `unified_controllers`: the text of cgroup.controllers at the top of version 2's tree.
CgroupFacts cgroup_facts(const std::vector<MountPoint>& mounts, std::string_view unified_controllers);
/// Of this machine, now.
Result<CgroupFacts> read_cgroup_facts();

/// The control group of one container, by its path from the top of every tree ("/busbar-1a2b/17.1/0"). The runtime
/// makes it; here it is read, frozen and removed. Cheap to make; stateless.
class Cgroup {
 public:
  /// Borrows `facts`.
  Cgroup(const CgroupFacts& facts, std::string path) : facts_(facts), path_(std::move(path)) {}

  /// How often the kernel killed for memory in this group; 0 where that cannot be told.
  std::uint64_t oom_kills() const;
  TaskStats stats() const;
  /// Returns when every process is frozen or thawed, or after five seconds with kDeadlineExceeded.
  Result<void> freeze();
  Result<void> thaw();
  /// Process ids in the group; empty when it is gone.
  std::vector<std::int64_t> processes() const;
  /// Removes it and what is below it from every tree; the processes must have gone.
  void remove() const;

 private:
  std::string dir(const std::string& controller) const;
  Result<void> set_frozen(std::string_view wanted, std::string_view seen);

  const CgroupFacts& facts_;
  std::string path_;
};

/// True if /proc/<pid>/cgroup names `path`: tells a recorded pid from another process that got the same number.
bool is_in_cgroup(std::int64_t pid, const std::string& path);

/// Directories in the trees by which service managers end a service, made below `path`: a container's monitor is moved
/// there so that it does not end with the server. Empty where there are none or they may not be made.
std::vector<std::string> make_monitor_cgroups(const CgroupFacts& facts, const std::string& path);
/// Best effort.
void move_to_cgroups(const std::vector<std::string>& dirs, std::int64_t pid);

}  // namespace busbar::engine
