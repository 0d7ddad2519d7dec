#include "os/files.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <memory>

#include "os/errno_error.h"

namespace busbar::os {
namespace {

FileKind kind_of(unsigned char type) {
  switch (type) {
    case DT_REG:
      return FileKind::kFile;
    case DT_DIR:
      return FileKind::kDirectory;
    case DT_LNK:
      return FileKind::kLink;
    default:
      return FileKind::kOther;
  }
}

/// For file systems that leave d_type out.
FileKind kind_by_stat(int dir_fd, const char* name) {
  struct stat status{};
  if (fstatat(dir_fd, name, &status, AT_SYMLINK_NOFOLLOW) != 0) {
    return FileKind::kOther;
  }
  return S_ISREG(status.st_mode)   ? FileKind::kFile
         : S_ISDIR(status.st_mode) ? FileKind::kDirectory
         : S_ISLNK(status.st_mode) ? FileKind::kLink
                                   : FileKind::kOther;
}

Result<void> fill_new_file(const std::string& path, std::string_view bytes, mode_t mode, Durability durability) {
  TRY_ASSIGN(const UniqueFd file, open_file(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode));
  if (fchmod(file.get(), mode) != 0) {
    return errno_failure(fmt::format("cannot set the mode of {}", path));
  }
  TRY(write_all(file.get(), bytes, path));
  if (durability == Durability::kSynced && fsync(file.get()) != 0) {
    return errno_failure(fmt::format("cannot sync {}", path));
  }
  return {};
}

}  // namespace

void UniqueFd::reset() {
  if (fd_ >= 0) {
    ::close(std::exchange(fd_, -1));  // on Linux the descriptor is gone even when close() reports EINTR
  }
}

Result<UniqueFd> open_file(const std::string& path, int flags, mode_t mode) {
  while (true) {
    const int fd = ::open(path.c_str(), flags | O_CLOEXEC, mode);
    if (fd >= 0) {
      return UniqueFd(fd);
    }
    if (errno != EINTR) {
      return errno_failure(fmt::format("cannot open {}", path));
    }
  }
}

Result<std::string> read_file(const std::string& path, std::size_t max_bytes) {
  TRY_ASSIGN(const UniqueFd file, open_file(path, O_RDONLY));
  struct stat status{};
  const bool has_size = fstat(file.get(), &status) == 0 && status.st_size > 0;
  std::string bytes;
  std::size_t used = 0;
  bytes.resize(std::min(max_bytes, has_size ? static_cast<std::size_t>(status.st_size) : std::size_t{4096}) + 1);
  while (true) {
    if (used == bytes.size()) {
      bytes.resize(std::min(bytes.size() * 2, max_bytes + 1));
    }
    const ssize_t got = ::read(file.get(), bytes.data() + used, bytes.size() - used);
    if (got < 0 && errno == EINTR) {
      continue;
    }
    if (got < 0) {
      return errno_failure(fmt::format("cannot read {}", path));
    }
    if (got == 0) {
      bytes.resize(used);
      return bytes;
    }
    used += static_cast<std::size_t>(got);
    if (used > max_bytes) {
      return make_error(ErrorCode::kResourceExhausted, fmt::format("{} is longer than {} bytes", path, max_bytes));
    }
  }
}

Result<void> write_all(int fd, std::string_view bytes, std::string_view what) {
  while (!bytes.empty()) {
    const ssize_t put = ::write(fd, bytes.data(), bytes.size());
    if (put < 0 && errno == EINTR) {
      continue;
    }
    if (put < 0) {
      return errno_failure(fmt::format("cannot write {}", what));
    }
    bytes.remove_prefix(static_cast<std::size_t>(put));
  }
  return {};
}

Result<void> sync_dir(const std::string& dir) {
  TRY_ASSIGN(const UniqueFd opened, open_file(dir, O_RDONLY | O_DIRECTORY));
  if (fsync(opened.get()) != 0) {
    return errno_failure(fmt::format("cannot sync directory {}", dir));
  }
  return {};
}

Result<void> write_file_atomic(const std::string& path, std::string_view bytes, mode_t mode, Durability durability) {
  // In the same directory, so that the rename stays inside one file system; unique, so that writers do not meet.
  static std::atomic<unsigned> counter{0};
  const std::string temporary = fmt::format("{}.tmp-{}-{}", path, getpid(), counter.fetch_add(1));
  if (const auto filled = fill_new_file(temporary, bytes, mode, durability); !filled) {
    ::unlink(temporary.c_str());
    return with_context(fmt::format("cannot replace {}", path), filled.error());
  }
  if (::rename(temporary.c_str(), path.c_str()) != 0) {
    auto failure = errno_failure(fmt::format("cannot rename {} to {}", temporary, path));
    ::unlink(temporary.c_str());
    return failure;
  }
  return durability == Durability::kSynced ? sync_dir(parent_path(path)) : Result<void>{};
}

Result<void> make_dirs(const std::string& path, mode_t mode) {
  if (path.empty()) {
    return make_error(ErrorCode::kInvalidArgument, "cannot make a directory without a name");
  }
  // From the top down; most calls find all but the last there, so that one is tried first.
  if (::mkdir(path.c_str(), mode) == 0) {
    return {};
  }
  if (errno == ENOENT) {
    const std::string parent = parent_path(path);
    if (parent == path || parent == ".") {
      return errno_failure(fmt::format("cannot make directory {}", path));
    }
    TRY(make_dirs(parent, mode));
    if (::mkdir(path.c_str(), mode) == 0) {
      return {};
    }
  }
  if (errno != EEXIST) {
    return errno_failure(fmt::format("cannot make directory {}", path));
  }
  struct stat status{};
  if (::stat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode)) {
    return {};
  }
  return make_error(ErrorCode::kFailedPrecondition, fmt::format("{} is in the way: it is not a directory", path));
}

Result<std::vector<DirEntry>> list_dir(const std::string& path) {
  const std::unique_ptr<DIR, int (*)(DIR*)> dir(::opendir(path.c_str()), ::closedir);
  if (!dir) {
    return errno_failure(fmt::format("cannot list {}", path));
  }
  std::vector<DirEntry> entries;
  errno = 0;
  while (const dirent* entry = ::readdir(dir.get())) {
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") {
      const FileKind kind =
          entry->d_type == DT_UNKNOWN ? kind_by_stat(dirfd(dir.get()), entry->d_name) : kind_of(entry->d_type);
      entries.push_back({.name = std::string(name), .kind = kind});
    }
    errno = 0;
  }
  if (errno != 0) {
    return errno_failure(fmt::format("cannot list {}", path));
  }
  std::sort(entries.begin(), entries.end(), [](const DirEntry& a, const DirEntry& b) { return a.name < b.name; });
  return entries;
}

Result<std::string> read_link(const std::string& path) {
  std::array<char, 4096> target{};  // PATH_MAX: the kernel makes no longer ones
  const ssize_t size = ::readlink(path.c_str(), target.data(), target.size());
  if (size < 0) {
    return errno_failure(fmt::format("cannot read link {}", path));
  }
  return std::string(target.data(), static_cast<std::size_t>(size));
}

bool file_exists(const std::string& path) {
  return ::access(path.c_str(), F_OK) == 0;
}

std::string join_path(std::string_view parent, std::string_view child) {
  while (!child.empty() && child.front() == '/') {
    child.remove_prefix(1);
  }
  if (parent.empty()) {
    return std::string(child);
  }
  std::string joined(parent);
  if (joined.back() != '/') {
    joined += '/';
  }
  return joined.append(child);
}

std::string parent_path(std::string_view path) {
  while (path.size() > 1 && path.back() == '/') {
    path.remove_suffix(1);
  }
  const std::size_t slash = path.rfind('/');
  if (slash == std::string_view::npos) {
    return ".";
  }
  return std::string(path.substr(0, std::max<std::size_t>(slash, 1)));
}

}  // namespace busbar::os
