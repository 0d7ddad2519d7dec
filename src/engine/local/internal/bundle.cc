#include "engine/local/internal/bundle.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>

#include "base/text.h"
#include "engine/local/internal/rootfs_mount.h"
#include "os/errno_error.h"
#include "os/files.h"

namespace busbar::engine {
namespace {

constexpr std::size_t kMaxSmallFile = 1 << 20;
constexpr std::size_t kExitMarkSize = 16;

Result<HostDevice> find_device(const chip::DeviceNode& wanted) {
  const std::string host_path = wanted.host_path.empty() ? wanted.path : wanted.host_path;
  struct stat info = {};
  if (::stat(host_path.c_str(), &info) != 0) {
    return os::errno_failure("the card's device " + host_path + " is missing");
  }
  if (!S_ISCHR(info.st_mode) && !S_ISBLK(info.st_mode)) {
    return make_error(ErrorCode::kFailedPrecondition, host_path + " is not a device");
  }
  return HostDevice{.path = wanted.path,
                    .type = S_ISCHR(info.st_mode) ? 'c' : 'b',
                    .major = major(info.st_rdev),
                    .minor = minor(info.st_rdev),
                    .mode = info.st_mode & 0777,
                    .permissions = wanted.permissions};
}

/// Files that the engine makes belong to the user that the image runs as.
struct Owner {
  uid_t uid = 0;
  gid_t gid = 0;
};

Owner owner_of(const Json& config) {
  return {.uid = static_cast<uid_t>(config["process"]["user"]["uid"].as_int()),
          .gid = static_cast<gid_t>(config["process"]["user"]["gid"].as_int())};
}

Result<void> give_to(const std::string& path, Owner owner) {
  if (owner.uid != 0 && ::lchown(path.c_str(), owner.uid, owner.gid) != 0) {
    return os::errno_failure("cannot give " + path + " to uid " + std::to_string(owner.uid));
  }
  return {};
}

/// A plain new file: no rename, since nobody reads it before the container starts.
Result<void> write_new(const std::string& path, std::string_view content, mode_t mode, Owner owner) {
  TRY_ASSIGN(const os::UniqueFd fd, os::open_file(path, O_WRONLY | O_CREAT | O_TRUNC, mode));
  if (::fchmod(fd.get(), mode) != 0) {
    return os::errno_failure("cannot set the mode of " + path);
  }
  TRY(os::write_all(fd.get(), content, path));
  return give_to(path, owner);
}

Result<void> make_dir(const std::string& path, mode_t mode, Owner owner = {}) {
  if (::mkdir(path.c_str(), mode) != 0 && errno != EEXIST) {
    return os::errno_failure("cannot make " + path);
  }
  if (::chmod(path.c_str(), mode) != 0) {
    return os::errno_failure("cannot set the mode of " + path);
  }
  return give_to(path, owner);
}

Result<void> make_link(const std::string& target, const std::string& path) {
  if (::symlink(target.c_str(), path.c_str()) != 0 && errno != EEXIST) {
    return os::errno_failure("cannot make the link " + path);
  }
  return {};
}

bool has_gang(const AttemptLaunch& launch) {
  return launch.tasks.size() > 1 || launch.is_live;
}

Result<void> make_task_files(const EngineContext& context, model::TaskId id, const TaskLaunch& task, Owner owner) {
  const std::string dir = context.paths.task_files(id);
  TRY(make_dir(dir, 0755, owner));
  TRY(make_dir(dir + "/lib", 0755));
  TRY(make_link("lib/busbar-rsh", dir + "/rsh"));
  TRY(write_new(context.paths.report(id), "", 0644, owner));
  TRY(write_new(context.paths.exit_mark(id), std::string(kExitMarkSize, ' '), 0644, owner));
  for (const auto& [name, content] : task.files) {
    TRY(write_new(dir + "/" + name, content, 0755, owner));
  }
  return {};
}

Result<void> make_secrets(const EngineContext& context, model::TaskId id, const TaskLaunch& task, Owner owner) {
  if (task.secrets.empty()) {
    return {};
  }
  const std::string dir = context.paths.secrets(id);
  TRY(os::make_dirs(dir, 0700));
  if (!context.is_rootless) {
    TRY(mount_secrets_tmpfs(dir));
  }
  for (const SecretFile& secret : task.secrets) {
    TRY(write_new(dir + "/" + secret.name, secret.value, 0400, owner));
  }
  return give_to(dir, owner);
}

/// The container's /etc/hosts knows its own name. Not those of the rest of the gang: OpenMPI takes a name that resolves
/// to an address of this machine for this very container, and would start both ranks here; rsh knows them all.
Result<void> make_hosts_file(const std::string& upper, const TaskLaunch& task, const PreparedRootfs& rootfs) {
  std::string text = "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n";
  if (const auto host = os::read_file("/etc/hosts", kMaxSmallFile); host && rootfs.rootfs.is_host) {
    text = *host + (host->ends_with('\n') ? "" : "\n");
  }
  if (task.peers.empty()) {
    text += "127.0.0.1 " + task.hostname + "\n";
  } else {
    // Its own name first: it is what the address is called by whoever asks, and each task of a gang must have another.
    text = "127.0.0.1 " + task.hostname + "\n" + text;
    for (const std::string& peer : task.peers) {
      if (peer != task.hostname) text += "127.0.0.1 " + peer + "\n";
    }
  }
  TRY(make_dir(upper + "/etc", 0755));
  TRY(write_new(upper + "/etc/hosts", text, 0644, {}));
  if (const auto resolv = os::read_file("/etc/resolv.conf", kMaxSmallFile); resolv && !rootfs.rootfs.is_host) {
    TRY(write_new(upper + "/etc/resolv.conf", *resolv, 0644, {}));
  }
  return {};
}

}  // namespace

Result<Json> task_config(const EngineContext& context, const AttemptLaunch& launch, const TaskLaunch& task,
                         const PreparedRootfs& rootfs) {
  const model::TaskId id{launch.id, task.rank};
  ConfigInput input{.launch = launch,
                    .task = task,
                    .rootfs = rootfs.rootfs,
                    .task_dir = context.paths.task_files(id),
                    .gang_dir = has_gang(launch) ? context.paths.gang(launch.id) : std::string(),
                    .secrets_dir = task.secrets.empty() ? std::string() : context.paths.secrets(id),
                    .helper_dir = context.options.helper_dir,
                    .has_python = context.has_python,
                    .cgroup_path = context.paths.cgroup(id),
                    .limits = context.limits,
                    .host_mounts = rootfs.host_mounts,
                    .masked_dirs = rootfs.masked_dirs,
                    .masked_files = rootfs.masked_files,
                    .max_open_files = context.max_open_files,
                    .user_namespace = user_namespace(context)};
  for (const RootAssembly::Dir& dir : rootfs.assembly.overlay_dirs) {
    const std::string task_dir = context.paths.task(id);
    input.overlay_dirs.push_back({.target = "/" + dir.name,
                                  .lower_dirs = dir.lower_dirs,
                                  .upper_dir = task_dir + "/upper/" + dir.name,
                                  .work_dir = task_dir + "/work/" + dir.name});
  }
  for (const chip::DeviceNode& device : task.device_edits.devices) {
    TRY_ASSIGN(HostDevice found, find_device(device));
    input.devices.push_back(std::move(found));
  }
  return make_config(input);
}

Result<void> make_bundle(const EngineContext& context, const AttemptLaunch& launch, const TaskLaunch& task,
                         const PreparedRootfs& rootfs) {
  const model::TaskId id{launch.id, task.rank};
  const std::string dir = context.paths.task(id);
  TRY_ASSIGN(const Json config, task_config(context, launch, task, rootfs));
  const Owner owner = owner_of(config);
  TRY(make_dir(dir, 0700));
  for (const char* name : {"/rootfs", "/upper", "/work"}) {
    TRY(make_dir(dir + name, 0755));
  }
  if (!context.is_rootless) {
    TRY(copy_attributes(rootfs.lower_dirs.back(), dir + "/upper"));
  }
  if (has_gang(launch)) {
    // Any user of any of the gang's images binds its socket here.
    TRY(make_dir(context.paths.gang(launch.id), 0777));
    // Names callers may wait for; see call_task in rsh/busbar_rsh.c.
    const std::string socket = context.paths.gang(launch.id) + "/" + task.hostname;
    TRY(os::remove_tree(socket));  // Of a former task of this rank.
    TRY(write_new(socket, "", 0666, owner));
  }
  TRY(make_task_files(context, id, task, owner));
  TRY(make_secrets(context, id, task, owner));
  TRY(make_hosts_file(dir + "/upper", task, rootfs));
  if (context.is_rootless) {
    TRY(make_assembled_root(rootfs.assembly, dir));
  } else {
    TRY(mount_overlay({.lower_dirs = rootfs.lower_dirs,
                       .upper_dir = dir + "/upper",
                       .work_dir = dir + "/work",
                       .target = dir + "/rootfs"}));
  }
  return write_new(dir + "/config.json", config.dump(), 0600, {});
}

Result<void> remove_bundle(const EngineContext& context, model::TaskId task) {
  const std::string dir = context.paths.task(task);
  if (context.is_rootless) {
    unlock_work_dirs(dir + "/work");
  } else {
    TRY(unmount(dir + "/rootfs"));
    TRY(unmount(context.paths.secrets(task)));
  }
  for (const char* name :
       {"/rootfs", "/upper", "/work", "/attach", "/ctl", "/winsz", "/init.pid", "/init.start", "/conmon.pid"}) {
    TRY(os::remove_tree(dir + name));
  }
  TRY(os::remove_tree(context.paths.exit_file(task)));
  return os::remove_tree(context.paths.task_run_dir(task));
}

Result<void> check_sources(const AttemptLaunch& launch) {
  for (const TaskLaunch& task : launch.tasks) {
    for (const Mount& mount : task.mounts) {
      if (!os::file_exists(mount.source)) {
        return make_error(ErrorCode::kInvalidArgument, "volume source " + mount.source +
                                                           " does not exist on this machine; make it or correct the "
                                                           "job's volumes");
      }
    }
  }
  return {};
}

}  // namespace busbar::engine
