#pragma once

#include <sys/types.h>

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "os/unique_fd.h"

namespace busbar::os {

/// File operations that say what failed on which path. All block; all are thread-safe. Descriptors are close-on-exec.

enum class Durability {
  kSynced,  ///< On disk before the call returns: state that must survive a power cut.
  kCached,  ///< Only in the page cache: files that are made again after a crash of the machine. A sync costs 1-20 ms.
};

enum class FileKind { kFile, kDirectory, kLink, kOther };

struct DirEntry {
  std::string name;
  FileKind kind = FileKind::kOther;
};

/// The whole file, also from /proc where sizes are not known. kResourceExhausted when it is longer than `max_bytes`.
Result<std::string> read_file(const std::string& path, std::size_t max_bytes);

/// Readers see the old bytes or the new ones, never a mixture. `mode` is set exactly, whatever the umask.
Result<void> write_file_atomic(const std::string& path, std::string_view bytes, mode_t mode = 0644,
                               Durability durability = Durability::kSynced);

/// Like `mkdir -p`; every directory that it makes has `mode` (less the umask).
Result<void> make_dirs(const std::string& path, mode_t mode = 0755);

/// Removes a file or a whole tree; an absent path is fine. Follows no links and enters no mounts: a mount inside is an
/// error (kFailedPrecondition or kUnavailable) and what it shows stays. Trees of any depth.
Result<void> remove_tree(const std::string& path);

/// Sorted by name, without . and ..
Result<std::vector<DirEntry>> list_dir(const std::string& path);

Result<std::string> read_link(const std::string& path);

/// Follows links. False also where a parent may not be searched.
bool file_exists(const std::string& path);

/// open(2) with O_CLOEXEC; retries EINTR.
Result<UniqueFd> open_file(const std::string& path, int flags, mode_t mode = 0644);

/// Writes every byte, however many calls it takes. `what` names the file in the error.
Result<void> write_all(int fd, std::string_view bytes, std::string_view what);

/// Makes a rename or a new name in `dir` durable.
Result<void> sync_dir(const std::string& dir);

/// "a", "/b" -> "a/b".
std::string join_path(std::string_view parent, std::string_view child);
/// "/a/b" -> "/a"; "b" -> ".".
std::string parent_path(std::string_view path);

}  // namespace busbar::os
