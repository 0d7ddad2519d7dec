#pragma once

#include <chrono>

#include "base/error.h"
#include "os/unique_fd.h"

namespace busbar::os {

/// A flag that threads can set and poll loops can wait for (eventfd). Thread-safe.
class EventFd {
 public:
  static Result<EventFd> create();

  /// Readable while the flag is set.
  int fd() const { return fd_.get(); }
  void set();
  /// Clears the flag; true if it was set.
  bool take();
  /// False when `timeout` passed first. Leaves the flag as it is.
  bool wait(std::chrono::milliseconds timeout) const;

 private:
  explicit EventFd(UniqueFd fd) : fd_(std::move(fd)) {}

  UniqueFd fd_;
};

/// poll(2) for reading on one descriptor, with EINTR handled: false when `timeout` passed first.
bool wait_readable(int fd, std::chrono::milliseconds timeout);

}  // namespace busbar::os
