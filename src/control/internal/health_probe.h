#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/error.h"
#include "control/health_checker.h"
#include "os/unique_fd.h"

namespace busbar::control {

/// One check under way: a non-blocking connection, a request, the first line of the answer. The owner polls `fd()` for
/// `wants_write() ? EPOLLOUT : EPOLLIN` and calls `advance`.
class HealthProbe {
 public:
  /// The outcome of a check; the error's message is what users are told.
  using Outcome = Result<void>;

  /// An outcome at once where the connection is refused or (without a path) made at once.
  std::optional<Outcome> begin(const HealthTarget& target);
  std::optional<Outcome> advance();
  void cancel() { fd_.reset(); }

  bool is_running() const { return fd_.is_valid(); }
  int fd() const { return fd_.get(); }
  bool wants_write() const { return !is_sent_; }

 private:
  std::optional<Outcome> connected();
  std::optional<Outcome> read_answer();
  Outcome end(Outcome outcome);

  os::UniqueFd fd_;
  std::string where_;
  std::string request_;
  std::string answer_;
  bool is_sent_ = false;
};

}  // namespace busbar::control
