#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>

#include "base/error.h"
#include "engine/local/internal/reactor.h"
#include "os/unique_fd.h"

namespace busbar::engine {

/// Tells when a file in a watched directory grows: one inotify instance for all tasks (users have 128 by default).
/// Thread-safe; callbacks come on the reactor's thread.
class ReportWatcher {
 public:
  /// Borrows the reactor.
  static Result<std::unique_ptr<ReportWatcher>> create(Reactor& reactor);
  ReportWatcher(const ReportWatcher&) = delete;
  ReportWatcher& operator=(const ReportWatcher&) = delete;
  ~ReportWatcher();

  /// Calls `on_change` after `name` in `dir` was written to or moved into place. Returns a handle for `unwatch`.
  Result<int> watch(const std::string& dir, std::string name, std::function<void()> on_change);
  void unwatch(int handle);

 private:
  struct Watch {
    std::string name = {};
    std::function<void()> on_change = {};
  };

  ReportWatcher(Reactor& reactor, os::UniqueFd fd) : reactor_(reactor), fd_(std::move(fd)) {}
  void read_events();

  Reactor& reactor_;
  os::UniqueFd fd_;
  std::mutex mutex_;
  std::unordered_map<int, Watch> watches_;
};

}  // namespace busbar::engine
