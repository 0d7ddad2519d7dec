#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/error.h"
#include "net/http.h"
#include "net/sse.h"
#include "net/websocket.h"

namespace busbar::net {

struct HttpClientOptions {
  std::string base_url = {};      ///< "http://host:port", "https://host:port" or "unix:/path/of.sock".
  std::string bearer_token = {};  ///< Sent as `Authorization: Bearer ...`; "" for none.
  std::string user_agent = "busbar";
  std::int64_t connect_timeout_ms = 5'000;
  std::int64_t timeout_ms = 30'000;              ///< For `request`, unless it has its own.
  std::int64_t stream_idle_timeout_ms = 45'000;  ///< `stream` without bytes: three heartbeats of the server.
  std::size_t max_response_bytes = 64 << 20;     ///< Of `request`; beyond: kResourceExhausted.
};

struct ClientRequest {
  std::string method = "GET";
  std::string target = "/";  ///< Path and query, encoded (`make_target`, `percent_encode`).
  HttpHeaders headers = {};
  std::string body = {};
  std::int64_t timeout_ms = 0;  ///< 0: the client's.
};

/// An HTTP client for one server (libcurl); keeps its connection between calls. One call at a time; `cancel` from any
/// thread. Loopback and unix servers are reached without DNS and without proxies. Redirects are not followed.
class HttpClient {
 public:
  static Result<std::unique_ptr<HttpClient>> create(HttpClientOptions options);
  virtual ~HttpClient() = default;

  /// Any status is a response. kUnavailable (retryable): nobody answers there; kDeadlineExceeded; kCancelled.
  virtual Result<HttpResponse> request(const ClientRequest& request) = 0;
  /// Gives the body in pieces as they come, until the server ends it or the callback gives false; both are success. A
  /// status that is no success is an error (`error_from_response`). No limit in total time unless `request.timeout_ms`.
  virtual Result<void> stream(const ClientRequest& request, const std::function<bool(std::string_view)>& on_bytes) = 0;
  /// `stream` through an SseParser.
  Result<void> stream_events(const ClientRequest& request, const std::function<bool(const SseEvent&)>& on_event);

  /// The running call and later ones end with kCancelled. Thread-safe.
  virtual void cancel() = 0;
};

struct WebSocketConnectOptions {
  HttpClientOptions client = {};  ///< base_url ("http://" or "unix:"), token and connect timeout are used.
  std::string target = "/";
  HttpHeaders headers = {};
  WebSocketOptions socket = {};
};

/// A WebSocket client on its own thread. Destroying it drops the connection and joins the thread.
class WebSocketClient {
 public:
  /// Blocks until the server has accepted; `handler->on_open` has been called then. A refusal is the server's own error
  /// (`error_from_response`).
  static Result<std::unique_ptr<WebSocketClient>> connect(WebSocketConnectOptions options,
                                                          std::unique_ptr<WebSocketHandler> handler);
  virtual ~WebSocketClient() = default;
  virtual WebSocket& socket() = 0;  ///< Valid as long as the client.
  /// Blocks until the connection has closed (after `on_close`).
  virtual void wait_closed() = 0;
};

}  // namespace busbar::net
