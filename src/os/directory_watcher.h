#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "base/error.h"
#include "os/unique_fd.h"

namespace busbar::os {

struct DirectoryEvent {
  enum class Kind {
    kCreated,   ///< A new name; its writer may not be done.
    kWritten,   ///< Closed after writing.
    kMovedIn,   ///< Renamed into place: whole, if its writer works that way.
    kRemoved,   ///< Deleted or moved away.
    kOverflow,  ///< The kernel dropped events: list the directory again.
    kGone,      ///< The directory itself is gone or unmounted; nothing more will come.
  };
  Kind kind = Kind::kCreated;
  std::string name = {};  ///< Empty for kOverflow and kGone.

  friend bool operator==(const DirectoryEvent&, const DirectoryEvent&) = default;
};

/// Tells of names that appear, are written and vanish in one directory (inotify; not below it). Start to watch first,
/// then list the directory: nothing is missed, some names come twice. Thread-compatible; `fd()` fits any poll loop.
class DirectoryWatcher {
 public:
  static Result<DirectoryWatcher> open(const std::string& path);

  int fd() const { return fd_.get(); }
  /// What has happened so far, oldest first; empty when nothing has. Never blocks.
  Result<std::vector<DirectoryEvent>> read_events();
  /// Waits for the first event; empty when `timeout` passed.
  Result<std::vector<DirectoryEvent>> wait_events(std::chrono::milliseconds timeout);

 private:
  DirectoryWatcher(UniqueFd fd, std::string path) : fd_(std::move(fd)), path_(std::move(path)) {}

  UniqueFd fd_;
  std::string path_;
};

}  // namespace busbar::os
