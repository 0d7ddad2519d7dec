#include "engine/local/internal/rootfs_mount.h"

#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <memory>

#include "base/hash.h"
#include "base/text.h"
#include "engine/local/internal/mount_table.h"
#include "os/errno_error.h"
#include "os/files.h"

namespace busbar::engine {
namespace {

/// mount(2) takes one page of options.
constexpr std::size_t kMaxOptions = 4095;

std::string real_path(const std::string& path) {
  const std::unique_ptr<char, decltype(&std::free)> resolved(::realpath(path.c_str(), nullptr), &std::free);
  return resolved ? std::string(resolved.get()) : std::string();
}

bool is_directory(const std::string& path) {
  struct stat info{};
  return ::stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
}

Result<void> set_attributes(const std::string& path, uid_t uid, gid_t gid, mode_t mode) {
  if (::chown(path.c_str(), uid, gid) != 0 || ::chmod(path.c_str(), mode & 07777) != 0) {
    return os::errno_failure("cannot set owner and mode of " + path);
  }
  return {};
}

/// Makes layer + "/a", layer + "/a/b" ... for the parents of `path`, looking like the host's.
Result<void> make_parents(const std::string& layer, const std::string& path) {
  std::size_t slash = path.find('/', 1);
  while (slash != std::string::npos) {
    const std::string parent = path.substr(0, slash);
    if (::mkdir((layer + parent).c_str(), 0755) == 0) {
      TRY(copy_attributes(parent, layer + parent));
    } else if (errno != EEXIST) {
      return os::errno_failure("cannot make " + layer + parent);
    }
    slash = path.find('/', slash + 1);
  }
  return {};
}

Result<void> hide(const std::string& layer, const std::string& path) {
  const std::string target = layer + path;
  TRY(make_parents(layer, path));
  if (!is_directory(path)) {
    TRY(os::write_file_atomic(target, "", 0600, os::Durability::kCached));
    return {};
  }
  if (::mkdir(target.c_str(), 0755) != 0 && errno != EEXIST) {
    return os::errno_failure("cannot make " + target);
  }
  TRY(copy_attributes(path, target));
  if (::setxattr(target.c_str(), "trusted.overlay.opaque", "y", 1, 0) != 0) {
    return os::errno_failure("cannot mark " + target + " opaque");
  }
  return {};
}

}  // namespace

Result<void> copy_attributes(const std::string& from, const std::string& to) {
  struct stat info{};
  if (::stat(from.c_str(), &info) != 0) {
    return os::errno_failure("cannot look at " + from);
  }
  return set_attributes(to, info.st_uid, info.st_gid, info.st_mode);
}

MaskPlan plan_masks(const std::vector<std::string>& paths, std::span<const std::string> host_mounts) {
  MaskPlan plan;
  for (const std::string& each : paths) {
    const std::string path = real_path(each);
    if (path.empty() || path == "/") {
      continue;
    }
    const bool is_on_other_mount = std::any_of(host_mounts.begin(), host_mounts.end(),
                                               [&](const std::string& mount) { return is_at_or_below(path, mount); });
    auto& list = !is_on_other_mount ? plan.in_layer : is_directory(path) ? plan.covered_dirs : plan.covered_files;
    list.push_back(path);
  }
  for (auto* list : {&plan.in_layer, &plan.covered_dirs, &plan.covered_files}) {
    std::sort(list->begin(), list->end());
    list->erase(std::unique(list->begin(), list->end()), list->end());
  }
  // What lies below a hidden directory is hidden with it.
  std::vector<std::string> tops;
  for (const std::string& path : plan.in_layer) {
    if (tops.empty() || !is_at_or_below(path, tops.back())) {
      tops.push_back(path);
    }
  }
  plan.in_layer = std::move(tops);
  return plan;
}

Result<MaskLayer> make_mask_layer(const std::string& parent_dir, const std::vector<std::string>& paths) {
  if (paths.empty()) {
    return MaskLayer{};
  }
  const std::string name = std::to_string(stable_hash64(join(paths, "\n")));
  const std::string dir = os::join_path(parent_dir, name);
  if (os::file_exists(dir)) {
    return MaskLayer{.dir = dir};
  }
  std::string staging = os::join_path(parent_dir, ".XXXXXX");
  if (::mkdtemp(staging.data()) == nullptr) {
    return os::errno_failure("cannot make a directory in " + parent_dir);
  }
  TRY(copy_attributes("/", staging));
  for (const std::string& path : paths) {
    TRY(hide(staging, path));
  }
  if (::rename(staging.c_str(), dir.c_str()) != 0 && errno != EEXIST && errno != ENOTEMPTY) {
    return os::errno_failure("cannot put the mask layer " + dir + " into place");
  }
  return MaskLayer{.dir = dir};
}

Result<void> mount_overlay(const OverlayMount& overlay) {
  std::string options =
      "lowerdir=" + join(overlay.lower_dirs, ":") + ",upperdir=" + overlay.upper_dir + ",workdir=" + overlay.work_dir;
  if (options.size() > kMaxOptions) {
    return make_error(ErrorCode::kResourceExhausted, "the image has too many layers for one overlay mount (" +
                                                         std::to_string(overlay.lower_dirs.size()) +
                                                         "); squash it, or shorten the state directory");
  }
  // volatile: no sync of the upper layer, which is thrown away with the task anyway (kernel 5.10).
  const std::string fast = options + ",volatile";
  if (::mount("overlay", overlay.target.c_str(), "overlay", MS_NODEV, fast.c_str()) == 0) {
    return {};
  }
  const int error = errno;
  if (error == EINVAL && ::mount("overlay", overlay.target.c_str(), "overlay", MS_NODEV, options.c_str()) == 0) {
    return {};
  }
  std::string hint = "cannot mount the root file system on " + overlay.target;
  if (error == EINVAL) {
    hint += " (the state directory must lie on ext4, xfs, btrfs or tmpfs, not on overlay or NFS; see --state-dir)";
  } else if (error == EPERM) {
    hint += " (mounting needs root or CAP_SYS_ADMIN)";
  } else if (error == ENODEV) {
    hint += " (the kernel has no overlay file system: modprobe overlay)";
  }
  return tl::unexpected<Error>(os::errno_error(hint, error));
}

Result<void> mount_mask_tmpfs(const std::string& target) {
  struct stat here{};
  struct stat parent{};
  if (::stat(target.c_str(), &here) == 0 && ::stat(os::parent_path(target).c_str(), &parent) == 0 &&
      here.st_dev != parent.st_dev) {
    return {};  // left by an engine that was killed
  }
  if (::mount("tmpfs", target.c_str(), "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0700,size=16m") == 0) {
    return {};
  }
  return os::errno_failure("cannot mount memory for mask layers on " + target);
}

Result<void> mount_secrets_tmpfs(const std::string& target) {
  constexpr unsigned long kFlags = MS_NOSUID | MS_NODEV | MS_NOEXEC;
  if (::mount("tmpfs", target.c_str(), "tmpfs", kFlags, "mode=0700,size=16m,noswap") == 0 ||
      ::mount("tmpfs", target.c_str(), "tmpfs", kFlags, "mode=0700,size=16m") == 0) {
    return {};
  }
  return os::errno_failure("cannot mount memory for secrets on " + target);
}

Result<void> unmount(const std::string& target) {
  while (::umount2(target.c_str(), UMOUNT_NOFOLLOW) == 0) {
  }
  if (errno == EBUSY && ::umount2(target.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW) == 0) {
    return {};
  }
  if (errno == EINVAL || errno == ENOENT) {
    return {};
  }
  return os::errno_failure("cannot unmount " + target);
}

}  // namespace busbar::engine
