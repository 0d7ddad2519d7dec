#pragma once

#include <cstdint>
#include <string>

#include "base/error.h"

namespace busbar::net {

/// A listening descriptor (non-blocking, close-on-exec). Owns the descriptor and, for unix sockets, the file.
struct ListenSocket {
  ListenSocket() = default;
  ListenSocket(ListenSocket&& other) noexcept;
  ListenSocket& operator=(ListenSocket&& other) noexcept;
  ~ListenSocket();

  int fd = -1;
  std::uint16_t port = 0;
  std::string unix_path = {};
};

/// "127.0.0.1", "::1", "0.0.0.0", "localhost"; port 0 lets the kernel choose.
Result<ListenSocket> listen_tcp(const std::string& address, std::uint16_t port);
/// Mode 0600 from its first moment. Replaces a socket file that nobody listens on, never another kind of file.
Result<ListenSocket> listen_unix(const std::string& path);

}  // namespace busbar::net
