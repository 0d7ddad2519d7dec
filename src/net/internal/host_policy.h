#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace busbar::net {

/// Which `Host` headers a server answers to. A page on evil.example may let its DNS name resolve to 127.0.0.1 and then
/// speak to a loopback server as same-origin; its requests still carry `Host: evil.example`.
class HostPolicy {
 public:
  /// `allowed` empty: loopback names only if `bind_address` is loopback, else everything.
  HostPolicy(std::string_view bind_address, std::vector<std::string> allowed);
  bool allows(std::string_view host_header) const;

 private:
  bool allows_all_ = false;
  bool allows_loopback_ = false;
  std::vector<std::string> allowed_;
};

/// "localhost", "x.localhost", 127.0.0.0/8, "::1"; without port or brackets.
bool is_loopback_host(std::string_view host);
/// "[::1]:80" -> "::1", "a:80" -> "a", lower-case, without a final dot.
std::string host_without_port(std::string_view host_header);

}  // namespace busbar::net
