#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "base/error.h"
#include "os/unique_fd.h"

namespace busbar::control {

/// Who wants to know of a directory: a stream and one of its tails.
struct LogWatcher {
  std::uint64_t stream = 0;
  std::size_t tail = 0;
  friend auto operator<=>(const LogWatcher&, const LogWatcher&) = default;
};

enum class LogChange {
  kWritten,  ///< A file got longer.
  kNames,    ///< Files were made, renamed or removed; or the kernel dropped events.
};

/// Watches any number of directories through one inotify instance. Watchers of the same directory share one watch.
/// Not thread-safe.
class LogWatch {
 public:
  static Result<LogWatch> create();

  int fd() const { return fd_.get(); }
  /// False when the kernel gives no watch (limit reached, directory absent): the caller has to poll.
  bool add(const std::string& directory, LogWatcher watcher);
  void remove(std::uint64_t stream);
  /// Tells each watcher concerned; `name` is empty where all files may have changed. Never blocks.
  void dispatch(const std::function<void(LogWatcher, LogChange, std::string_view name)>& tell);

 private:
  struct Directory {
    std::string path = {};
    std::set<LogWatcher> watchers = {};
  };

  explicit LogWatch(os::UniqueFd fd) : fd_(std::move(fd)) {}

  os::UniqueFd fd_;
  std::map<int, Directory> directories_;  ///< By watch descriptor.
};

}  // namespace busbar::control
