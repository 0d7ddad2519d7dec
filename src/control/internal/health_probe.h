#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "control/health_checker.h"
#include "control/internal/http2_check.h"
#include "os/unique_fd.h"

namespace busbar::control {

/// One check under way: a non-blocking connection, a request, the first line of the answer. The owner polls `fd()` for
/// `wants_write() ? EPOLLOUT : EPOLLIN` and calls `advance`.
class HealthProbe {
 public:
  /// The outcome of a check; the error's message is what users are told.
  using Outcome = Result<void>;

  /// An outcome at once where the connection is refused, or made at once and enough.
  std::optional<Outcome> begin(const HealthTarget& target);
  std::optional<Outcome> advance();
  void cancel();

  bool is_running() const { return fd_.is_valid(); }
  int fd() const { return fd_.get(); }
  bool wants_write() const { return !is_sent_; }

 private:
  std::optional<Outcome> connected();
  std::optional<Outcome> send(std::string_view bytes);
  std::optional<Outcome> read_answer();
  std::optional<Outcome> read_status_line(std::string_view bytes);
  Outcome end(Outcome outcome);

  os::UniqueFd fd_;
  std::string where_;
  std::string request_;                ///< Empty: a connection is enough.
  std::unique_ptr<Http2Check> http2_;  ///< Of a check over HTTP/2.
  std::string answer_;
  bool is_sent_ = false;
};

}  // namespace busbar::control
