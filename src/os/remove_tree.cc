#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <memory>

#include "os/errno_error.h"
#include "os/files.h"

namespace busbar::os {
namespace {

/// Each level holds one descriptor. A directory this deep is moved to the top of the tree and removed from there, so
/// that a tree which a task made 10,000 deep uses up neither descriptors nor stack.
constexpr int kMaxLevel = 64;

/// Opens a directory for removal of what is in it, without following a link and without leaving the mount.
/// RESOLVE_NO_XDEV also sees bind mounts of the same file system, which a comparison of device numbers cannot.
Result<UniqueFd> open_dir_beneath(int parent_fd, const std::string& name) {
  open_how how{};
  how.flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
  how.resolve = RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS | RESOLVE_BENEATH;
  for (bool has_changed_mode = false;;) {
    const auto fd = static_cast<int>(syscall(SYS_openat2, parent_fd, name.c_str(), &how, sizeof(how)));
    if (fd >= 0) {
      return UniqueFd(fd);
    }
    if (errno == EACCES && !has_changed_mode) {
      // An unprivileged owner may have to give itself the right to look.
      has_changed_mode = fchmodat(parent_fd, name.c_str(), 0700, 0) == 0;
      if (has_changed_mode) {
        continue;
      }
      errno = EACCES;
    }
    if (errno == EXDEV) {
      return make_error(ErrorCode::kFailedPrecondition, fmt::format("{} is a mount point; unmount it first", name));
    }
    if (errno != EINTR && errno != EAGAIN) {
      return errno_failure(fmt::format("cannot open directory {}", name));
    }
  }
}

Result<std::vector<std::pair<std::string, bool>>> names_in(int dir_fd) {
  // fdopendir takes the descriptor over; ours is still needed for unlinkat.
  const std::unique_ptr<DIR, int (*)(DIR*)> dir(fdopendir(fcntl(dir_fd, F_DUPFD_CLOEXEC, 0)), closedir);
  if (!dir) {
    return errno_failure("cannot list a directory to remove");
  }
  rewinddir(dir.get());
  std::vector<std::pair<std::string, bool>> names;
  while (const dirent* entry = readdir(dir.get())) {
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") {
      names.emplace_back(name, entry->d_type == DT_DIR);
    }
  }
  return names;
}

class TreeRemover {
 public:
  /// `top_fd`: the directory that stays; too deep directories are parked in it.
  explicit TreeRemover(int top_fd) : top_fd_(top_fd) {}

  Result<void> remove(int parent_fd, const std::string& name, bool is_probably_directory, int level) {
    if (!is_probably_directory) {
      if (unlinkat(parent_fd, name.c_str(), 0) == 0 || errno == ENOENT) {
        return {};
      }
      if (errno != EISDIR && errno != EPERM) {
        return errno_failure(fmt::format("cannot remove {}", name));
      }
      struct stat status{};
      if (fstatat(parent_fd, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISDIR(status.st_mode)) {
        errno = EPERM;
        return errno_failure(fmt::format("cannot remove {}", name));
      }
    }
    if (level >= kMaxLevel) {
      return park(parent_fd, name);
    }
    TRY_ASSIGN(const UniqueFd dir, open_dir_beneath(parent_fd, name));
    TRY(remove_contents(dir.get(), level));
    return remove_dir(parent_fd, name);
  }

  Result<void> remove_contents(int dir_fd, int level) {
    if (geteuid() != 0) {
      fchmod(dir_fd, 0700);  // read-only directories of images; a failure shows in unlinkat
    }
    TRY_ASSIGN(const auto names, names_in(dir_fd));
    for (const auto& [name, is_directory] : names) {
      if (auto removed = remove(dir_fd, name, is_directory, level + 1); !removed) {
        return with_context(fmt::format("below {}", name), removed.error());
      }
    }
    return {};
  }

  /// Parked directories may hold deeper ones still: each round starts them at the top again.
  Result<void> remove_parked() {
    for (unsigned next = 0; next < parked_; ++next) {
      TRY(remove(top_fd_, parked_name(next), true, 1));
    }
    return {};
  }

 private:
  static std::string parked_name(unsigned number) { return fmt::format(".busbar-removing-{}-{}", getpid(), number); }

  Result<void> park(int parent_fd, const std::string& name) {
    const std::string parked = parked_name(parked_++);
    if (renameat(parent_fd, name.c_str(), top_fd_, parked.c_str()) != 0) {
      return errno_failure(fmt::format("cannot move {} up to remove it", name));
    }
    return {};
  }

  static Result<void> remove_dir(int parent_fd, const std::string& name) {
    if (unlinkat(parent_fd, name.c_str(), AT_REMOVEDIR) != 0 && errno != ENOENT) {
      return errno_failure(fmt::format("cannot remove directory {}", name));
    }
    return {};
  }

  int top_fd_;
  unsigned parked_ = 0;
};

Result<void> remove_directory_at(const std::string& path) {
  TRY_ASSIGN(const UniqueFd top, open_file(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  TreeRemover remover(top.get());
  TRY(remover.remove_contents(top.get(), 0));
  TRY(remover.remove_parked());
  if (::rmdir(path.c_str()) != 0 && errno != ENOENT) {
    return errno_failure("cannot remove the directory itself");
  }
  return {};
}

}  // namespace

Result<void> remove_tree(const std::string& path) {
  struct stat status{};
  if (::lstat(path.c_str(), &status) != 0) {
    return errno == ENOENT ? Result<void>{} : errno_failure(fmt::format("cannot remove {}", path));
  }
  if (!S_ISDIR(status.st_mode)) {
    return ::unlink(path.c_str()) == 0 || errno == ENOENT ? Result<void>{}
                                                          : errno_failure(fmt::format("cannot remove {}", path));
  }
  if (auto removed = remove_directory_at(path); !removed) {
    return with_context(fmt::format("cannot remove {}", path), removed.error());
  }
  return {};
}

}  // namespace busbar::os
