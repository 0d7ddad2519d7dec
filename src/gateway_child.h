#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "os/process.h"
#include "os/unique_fd.h"

namespace busbar {

/// The gateway of `busbar up`: a process of its own, so that it goes on serving when the server dies. One that an
/// earlier server of the same state directory left behind is taken over. Not thread-safe.
class GatewayChild {
 public:
  /// Waits until it listens, as `busbar gateway` with these flags. An error (its port is taken) is for the caller to
  /// report: jobs run without a gateway.
  static Result<GatewayChild> start(const std::string& state_dir, const std::vector<std::string>& flags);
  GatewayChild(GatewayChild&&) noexcept = default;
  GatewayChild& operator=(GatewayChild&&) = delete;
  ~GatewayChild() = default;

  const std::string& url() const { return url_; }
  /// SIGTERM; waits for it to drain, at most 35 s.
  void stop();

 private:
  GatewayChild(std::string url, os::UniqueFd pidfd) : url_(std::move(url)), pidfd_(std::move(pidfd)) {}
  static std::optional<GatewayChild> take_over(const std::string& state_dir);

  std::string url_;
  os::UniqueFd pidfd_;
};

}  // namespace busbar
