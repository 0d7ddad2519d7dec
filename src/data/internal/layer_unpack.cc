#include "data/internal/layer_unpack.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <memory>
#include <string_view>
#include <vector>

#include "base/text.h"
#include "os/errno_error.h"
#include "os/files.h"
#include "os/unique_fd.h"

namespace busbar::data {
namespace {

constexpr std::size_t kReadBlock = 1 << 18;
constexpr std::string_view kWhiteout = ".wh.";
constexpr std::string_view kOpaque = ".wh..wh..opq";
constexpr std::string_view kAufsPrefix = ".wh..wh.";

struct ArchiveDeleter {
  void operator()(archive* reader) const { archive_read_free(reader); }
};
using Archive = std::unique_ptr<archive, ArchiveDeleter>;

/// A path of the archive, checked: plain names only.
using Path = std::vector<std::string>;

Result<Path> parse_path(std::string_view text) {
  Path path;
  for (const std::string_view part : split(text, '/')) {
    if (part.empty() || part == ".") {
      continue;
    }
    if (part == "..") {
      return make_error(ErrorCode::kInvalidArgument,
                        "the layer holds the name \"" + std::string(text) + "\", which leads out of it");
    }
    path.emplace_back(part);
  }
  return path;
}

class Unpacker {
 public:
  Unpacker(archive* reader, os::UniqueFd root) : reader_(reader), root_(std::move(root)) {}

  Result<void> run() {
    while (true) {
      archive_entry* entry = nullptr;
      const int code = archive_read_next_header(reader_, &entry);
      if (code == ARCHIVE_EOF) {
        return {};
      }
      if (code != ARCHIVE_OK && code != ARCHIVE_WARN) {
        return broken();
      }
      const char* name = archive_entry_pathname(entry);
      if (name == nullptr) {
        return make_error(ErrorCode::kDataCorrupt, "the layer holds an entry without a name");
      }
      const auto done = unpack(entry, name);
      if (!done) {
        return with_context(std::string("layer entry ") + name, done.error());
      }
    }
  }

 private:
  tl::unexpected<Error> broken() const {
    const char* text = archive_error_string(reader_);
    return make_error(ErrorCode::kDataCorrupt, "the layer cannot be read", text == nullptr ? "" : text);
  }

  Result<void> unpack(archive_entry* entry, const char* name) {
    TRY_ASSIGN(Path path, parse_path(name));
    if (path.empty()) {
      return set_attributes(entry, root_.get(), ".");
    }
    const std::string last = path.back();
    path.pop_back();
    TRY_ASSIGN(const os::UniqueFd parent, open_parent(path));
    if (last.starts_with(kWhiteout)) {
      return make_whiteout(parent.get(), last);
    }
    if (const char* target = archive_entry_hardlink(entry)) {
      return make_hard_link(target, parent.get(), last);
    }
    return make_entry(entry, parent.get(), last);
  }

  /// Step by step and never through a link, so that nothing can lead outside.
  Result<os::UniqueFd> open_parent(const Path& path) {
    os::UniqueFd dir(::openat(root_.get(), ".", O_PATH | O_DIRECTORY | O_CLOEXEC));
    for (const std::string& name : path) {
      if (::mkdirat(dir.get(), name.c_str(), 0755) != 0 && errno != EEXIST) {
        return os::errno_failure("cannot make the directory " + name);
      }
      os::UniqueFd next(::openat(dir.get(), name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
      if (!next.is_valid()) {
        if (errno == ELOOP || errno == ENOTDIR) {
          return make_error(ErrorCode::kInvalidArgument, "its parent " + name + " is no directory in this layer");
        }
        return os::errno_failure("cannot open the directory " + name);
      }
      dir = std::move(next);
    }
    return dir;
  }

  static Result<void> make_whiteout(int parent, const std::string& name) {
    if (name == kOpaque) {
      const std::string path = "/proc/self/fd/" + std::to_string(parent);
      const char* attribute = ::geteuid() == 0 ? "trusted.overlay.opaque" : "user.overlay.opaque";
      if (::setxattr(path.c_str(), attribute, "y", 1, 0) != 0) {
        return os::errno_failure("cannot mark a directory opaque");
      }
      return {};
    }
    if (name.starts_with(kAufsPrefix)) {
      return {};  // aufs' own bookkeeping, which some tools left in layers
    }
    const std::string hidden = name.substr(kWhiteout.size());
    if (hidden.empty() || hidden == "." || hidden == "..") {
      return make_error(ErrorCode::kInvalidArgument, "it hides no name");
    }
    if (::mknodat(parent, hidden.c_str(), S_IFCHR | 0600, 0) != 0 && errno != EEXIST) {
      return os::errno_failure("cannot make the whiteout of " + hidden);
    }
    return {};
  }

  Result<void> make_hard_link(const char* target, int parent, const std::string& name) {
    TRY_ASSIGN(Path path, parse_path(target));
    if (path.empty()) {
      return make_error(ErrorCode::kInvalidArgument, "it links to nothing");
    }
    const std::string last = path.back();
    path.pop_back();
    TRY_ASSIGN(const os::UniqueFd from, open_parent(path));
    ::unlinkat(parent, name.c_str(), 0);
    if (::linkat(from.get(), last.c_str(), parent, name.c_str(), 0) != 0) {
      return os::errno_failure(std::string("cannot link it to ") + target);
    }
    return {};
  }

  Result<void> make_entry(archive_entry* entry, int parent, const std::string& name) {
    const mode_t type = archive_entry_filetype(entry);
    if (type == AE_IFDIR) {
      if (::mkdirat(parent, name.c_str(), 0755) != 0 && errno != EEXIST) {
        return os::errno_failure("cannot make the directory");
      }
      return set_attributes(entry, parent, name);
    }
    // A later entry of the same name replaces the earlier one.
    if (::unlinkat(parent, name.c_str(), 0) != 0 && errno == EISDIR) {
      return make_error(ErrorCode::kInvalidArgument, "it would replace a directory of the same layer");
    }
    if (type == AE_IFREG) {
      TRY(write_file(parent, name));
      return set_attributes(entry, parent, name);
    }
    if (type == AE_IFLNK) {
      const char* target = archive_entry_symlink(entry);
      if (target == nullptr || ::symlinkat(target, parent, name.c_str()) != 0) {
        return os::errno_failure("cannot make the link");
      }
      return set_attributes(entry, parent, name);
    }
    if (type == AE_IFIFO) {
      if (::mkfifoat(parent, name.c_str(), 0600) != 0) {
        return os::errno_failure("cannot make the FIFO");
      }
      return set_attributes(entry, parent, name);
    }
    return {};
  }

  Result<void> write_file(int parent, const std::string& name) {
    const os::UniqueFd fd(::openat(parent, name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (!fd.is_valid()) {
      return os::errno_failure("cannot make the file");
    }
    la_int64_t end = 0;
    while (true) {
      const void* bytes = nullptr;
      std::size_t size = 0;
      la_int64_t offset = 0;
      const int code = archive_read_data_block(reader_, &bytes, &size, &offset);
      if (code == ARCHIVE_EOF) {
        // Sparse files may end in a hole.
        return ::ftruncate(fd.get(), end) == 0 ? Result<void>() : os::errno_failure("cannot set the file's size");
      }
      if (code != ARCHIVE_OK && code != ARCHIVE_WARN) {
        return broken();
      }
      if (::lseek(fd.get(), offset, SEEK_SET) < 0) {
        return os::errno_failure("cannot write the file");
      }
      TRY(os::write_all(fd.get(), {static_cast<const char*>(bytes), size}, name));
      end = offset + static_cast<la_int64_t>(size);
    }
  }

  static Result<void> set_attributes(archive_entry* entry, int parent, const std::string& name) {
    const bool is_link = archive_entry_filetype(entry) == AE_IFLNK;
    // Owner first: changing it clears setuid bits and capabilities.
    if (::geteuid() == 0 && ::fchownat(parent, name.c_str(), static_cast<uid_t>(archive_entry_uid(entry)),
                                       static_cast<gid_t>(archive_entry_gid(entry)), AT_SYMLINK_NOFOLLOW) != 0) {
      return os::errno_failure("cannot set its owner");
    }
    if (!is_link && ::fchmodat(parent, name.c_str(), archive_entry_perm(entry) & 07777, 0) != 0) {
      return os::errno_failure("cannot set its mode");
    }
    if (!is_link) {
      set_extended_attributes(entry, "/proc/self/fd/" + std::to_string(parent) + "/" + name);
    }
    if (archive_entry_mtime_is_set(entry) != 0) {
      const std::array<timespec, 2> times{
          timespec{.tv_sec = archive_entry_mtime(entry), .tv_nsec = 0},
          timespec{.tv_sec = archive_entry_mtime(entry), .tv_nsec = archive_entry_mtime_nsec(entry)}};
      ::utimensat(parent, name.c_str(), times.data(), AT_SYMLINK_NOFOLLOW);
    }
    return {};
  }

  /// Best effort, as tar itself: a file system without them still holds the files. trusted.* is overlay's own.
  static void set_extended_attributes(archive_entry* entry, const std::string& path) {
    archive_entry_xattr_reset(entry);
    const char* name = nullptr;
    const void* value = nullptr;
    std::size_t size = 0;
    while (archive_entry_xattr_next(entry, &name, &value, &size) == ARCHIVE_OK) {
      if (!std::string_view(name).starts_with("trusted.") && !std::string_view(name).starts_with("user.overlay.")) {
        ::lsetxattr(path.c_str(), name, value, size, 0);
      }
    }
  }

  archive* reader_;
  os::UniqueFd root_;
};

}  // namespace

Result<void> unpack_layer(const std::string& archive_path, const std::string& target_dir) {
  TRY_ASSIGN(os::UniqueFd root, os::open_file(target_dir, O_RDONLY | O_DIRECTORY));
  const int sync_fd = root.get();
  const Archive reader(archive_read_new());
  archive_read_support_filter_gzip(reader.get());
  archive_read_support_filter_zstd(reader.get());
  archive_read_support_format_tar(reader.get());
  archive_read_support_format_empty(reader.get());
  if (archive_read_open_filename(reader.get(), archive_path.c_str(), kReadBlock) != ARCHIVE_OK) {
    const char* text = archive_error_string(reader.get());
    return make_error(ErrorCode::kDataCorrupt, "cannot read the layer " + archive_path, text == nullptr ? "" : text);
  }
  Unpacker unpacker(reader.get(), std::move(root));
  TRY(unpacker.run());
  // The caller renames the directory into place: all of it must be on disk before that.
  if (::syncfs(sync_fd) != 0) {
    return os::errno_failure("cannot sync " + target_dir);
  }
  return {};
}

}  // namespace busbar::data
