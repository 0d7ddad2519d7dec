#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.h"

namespace busbar::net {

/// Where a client's server is: "http://host[:port][/prefix]", "https://..." or "unix:/path".
struct BaseUrl {
  bool is_tls = false;
  std::string unix_path = {};  ///< Not empty: a unix socket; host is "localhost" then.
  std::string host = {};       ///< Without brackets.
  std::uint16_t port = 80;
  std::string prefix = {};  ///< "" or "/...", no slash at the end; goes in front of every target.

  bool is_local() const;          ///< Unix or loopback: no proxy, no DNS.
  std::string authority() const;  ///< "host:port" with brackets round IPv6; what `Host` says.
};

Result<BaseUrl> parse_base_url(std::string_view text);

/// Connects to it: a non-blocking, close-on-exec descriptor that the caller owns. Blocks for up to `timeout_ms`.
Result<int> connect_socket(const BaseUrl& url, std::int64_t timeout_ms);

/// The error for a server that nobody answers at; the same words whichever client notices.
Error unreachable_error(const BaseUrl& url, std::string cause);

}  // namespace busbar::net
