#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/error.h"
#include "gateway/gateway.h"
#include "net/client.h"

namespace busbar::gateway {

struct RouteFeedOptions {
  /// Where the server is and with which token, asked again for each attempt: a server that comes back may have moved.
  std::function<Result<net::HttpClientOptions>()> locate = {};
  /// The last table, kept for a gateway that starts while the server is away; "": not kept.
  std::string cache_file = {};
  std::int64_t demand_every_ms = 200;
};

/// Keeps a gateway in touch with its server, on two threads: tables come by SSE (GET /v1/routes/watch), demand goes by
/// POST /v1/demand: at once when a request begins to wait, else every `demand_every_ms` where anything happened. A
/// server that is away is asked again after 50 ms, doubling to 2 s; meanwhile the gateway routes by what it has.
class RouteFeed {
 public:
  /// Borrows `gateway`, which must outlive it. Reads the cache first.
  static Result<std::unique_ptr<RouteFeed>> start(Gateway& gateway, RouteFeedOptions options);
  virtual ~RouteFeed() = default;  ///< Stops and joins.
  virtual bool is_connected() const = 0;
};

}  // namespace busbar::gateway
