#pragma once

#include <cstdint>
#include <memory>

#include "gateway/internal/http2_session.h"
#include "gateway/internal/tls.h"

namespace busbar::gateway::internal {

/// What lies between a client's socket and its requests, where that is more than plain HTTP/1.
struct Channel {
  std::uint32_t index = 0;
  bool is_dirty = false;  ///< Has frames to be sent: in the worker's list.
  std::unique_ptr<TlsConnection> tls = {};
  std::unique_ptr<Http2Session> http2 = {};
};

}  // namespace busbar::gateway::internal
