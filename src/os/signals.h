#pragma once

#include <chrono>
#include <csignal>
#include <optional>
#include <vector>

#include "base/error.h"
#include "os/unique_fd.h"

namespace busbar::os {

/// Turns signals into events of a descriptor (signalfd). Made once, in main before any thread starts, because the
/// signals are blocked for the calling thread and for those that it starts. Children from Process::spawn start with
/// nothing blocked. Also ignores SIGPIPE for the process: a peer that has gone is an error of write(2), not the end.
class SignalFd {
 public:
  static Result<SignalFd> create(std::vector<int> signals = {SIGTERM, SIGINT});
  SignalFd(SignalFd&&) noexcept = default;
  SignalFd& operator=(SignalFd&&) = delete;
  /// Unblocks them again in the calling thread.
  ~SignalFd();

  int fd() const { return fd_.get(); }
  /// The next signal's number; nullopt when none is waiting. Never blocks.
  std::optional<int> take();
  /// Waits; nullopt when `timeout` passed.
  std::optional<int> wait(std::chrono::milliseconds timeout);

 private:
  SignalFd(UniqueFd fd, sigset_t blocked) : fd_(std::move(fd)), blocked_(blocked) {}

  UniqueFd fd_;
  sigset_t blocked_;
};

}  // namespace busbar::os
