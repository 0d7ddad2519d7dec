#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/json.h"
#include "engine/engine.h"
#include "engine/rootfs.h"

namespace busbar::engine {

/// A device node as it is on the host.
struct HostDevice {
  std::string path = {};  ///< In the container.
  char type = 'c';
  std::int64_t major = 0;
  std::int64_t minor = 0;
  std::uint32_t mode = 0666;
  std::string permissions = "rw";
};

/// Which limits the machine can hold. A limit that it cannot is left out of the configuration (capabilities() says so).
struct LimitSupport {
  bool memory = false;
  bool swap = false;
  bool cpu = false;
  bool cpu_set = false;
  bool processes = false;
};

/// Ids of a user namespace for an engine that does not run as root: the caller becomes root inside.
struct UserNamespace {
  std::uint32_t host_uid = 0;
  std::uint32_t host_gid = 0;
  friend bool operator==(const UserNamespace&, const UserNamespace&) = default;
};

/// A directory of the root that is an overlay of its own, mounted by the runtime inside the container.
struct OverlayDir {
  std::string target = {};
  std::vector<std::string> lower_dirs = {};  ///< Topmost first.
  std::string upper_dir = {};
  std::string work_dir = {};
};

/// Everything that goes into one container's config.json besides the launch itself.
struct ConfigInput {
  const AttemptLaunch& launch;
  const TaskLaunch& task;
  const Rootfs& rootfs;
  std::string task_dir = {};     ///< Host directory shown as /run/busbar.
  std::string gang_dir = {};     ///< Shown as /run/busbar/gang, shared by the attempt; empty: a gang of one.
  std::string secrets_dir = {};  ///< Memory file system shown as /run/secrets; empty: no secrets.
  std::string helper_dir = {};   ///< Shown as /run/busbar/lib.
  bool has_python = false;       ///< helper_dir holds python/.
  std::string cgroup_path = {};
  LimitSupport limits = {};
  std::vector<OverlayDir> overlay_dirs = {};   ///< Without root: what the root file system is made of.
  std::vector<std::string> host_mounts = {};   ///< Shown read-only at their own place: host_data_mounts().
  std::vector<std::string> masked_dirs = {};   ///< Covered by an empty file system, after host_mounts.
  std::vector<std::string> masked_files = {};  ///< Covered by /dev/null.
  std::vector<HostDevice> devices = {};
  std::uint64_t max_open_files = 0;  ///< 0: as the engine.
  std::optional<UserNamespace> user_namespace = {};
};

/// The OCI runtime configuration 1.0.2 of one task. Pure. kInvalidArgument for a launch that cannot be run: no argv, a
/// relative path, a malformed user.
Result<Json> make_config(const ConfigInput& input);

/// What `runc exec --process` takes, for another process in a running container: user, capabilities and limits as in
/// `config`; the task's own environment with `env` on top; `secrets` as the task has them.
Json make_exec_process(const Json& config, const std::vector<SecretFile>& secrets, const ExecRequest& request);

/// The checks of make_config alone, so that start() can refuse before anything is made.
Result<void> check_launch(const AttemptLaunch& launch);

inline constexpr const char* kHelperInContainer = "/run/busbar/lib/busbar-rsh";

}  // namespace busbar::engine
