#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "net/http.h"
#include "net/websocket.h"

namespace busbar::net {

struct StreamOptions {
  std::size_t max_pending_bytes = 4 << 20;  ///< Unsent bytes beyond which the client counts as too slow.
  std::string heartbeat = {};               ///< Sent after `heartbeat_ms` without other bytes; "" for none.
  std::int64_t heartbeat_ms = 15'000;
};

/// The body of an answer that grows: chunked. Thread-safe. Dropping the last reference is `end()`.
class StreamWriter {
 public:
  virtual ~StreamWriter() = default;

  /// Queues bytes. False when the client is gone or the server stops, or when more than `max_pending_bytes` would wait:
  /// the connection is then cut, so that the client does not take what it has for the whole. A fast producer watches
  /// `pending_bytes()` and goes on in `when_drained`.
  virtual bool write(std::string_view bytes) = 0;
  virtual std::size_t pending_bytes() const = 0;
  /// Calls once, on the I/O thread, when at most a quarter of `max_pending_bytes` waits (possibly before this returns)
  /// or when the stream has closed; `write` tells which.
  virtual void when_drained(std::function<void()> callback) = 0;
  /// Calls once when the stream has closed for whatever reason (`end`, client gone, server stop), on the I/O thread; at
  /// once, on the caller's, if it already has. One callback; a later one replaces it.
  virtual void on_close(std::function<void()> callback) = 0;
  virtual bool is_open() const = 0;
  /// Sends what is queued and the end mark. Idempotent.
  virtual void end() = 0;
};

/// The answer to one request, to be given once, from any thread: by `respond`, `start_stream` or `accept_websocket`;
/// the first wins, later ones do nothing. Dropping the last reference without an answer is a 500.
class HttpExchange {
 public:
  virtual ~HttpExchange() = default;
  virtual void respond(HttpResponse response) = 0;
  /// Never nullptr; closed already if the client is gone.
  virtual std::shared_ptr<StreamWriter> start_stream(int status, HttpHeaders headers, StreamOptions options = {}) = 0;
  /// For a request with `Upgrade: websocket`; any other is answered 426 or 400 and the handler is dropped unopened.
  virtual void accept_websocket(std::unique_ptr<WebSocketHandler> handler, WebSocketOptions options = {}) = 0;
};

/// Called on an I/O thread for each request; must not block, the answer may come later.
class HttpHandler {
 public:
  virtual ~HttpHandler() = default;
  virtual void handle(HttpRequest request, std::shared_ptr<HttpExchange> exchange) = 0;
};

struct HttpServerOptions {
  std::string bind_address = "127.0.0.1";  ///< An IP address, "localhost" for both loopbacks' IPv4, or "" for no TCP.
  std::uint16_t port = 0;                  ///< 0: the kernel picks; see `port()`.
  std::string unix_socket_path = {};       ///< Also (or only) listen here; mode 0600; a stale socket is replaced.
  int threads = 1;
  std::size_t max_body_bytes = 16 << 20;    ///< Beyond: 413.
  std::size_t max_header_bytes = 32 << 10;  ///< Request line and headers; beyond: 431.
  std::int64_t header_timeout_ms = 10'000;  ///< From a request's first byte to the end of its headers; beyond: 408.
  std::int64_t idle_timeout_ms = 60'000;    ///< Between requests, between pieces of a body, or without write progress.
  std::size_t max_connections = 4096;       ///< Beyond: 503 and closed.
  /// Names and addresses accepted in `Host` (without port). Empty: loopback names only if bound to loopback (a web page
  /// that rebinds its DNS name to 127.0.0.1 is refused, 403), any name otherwise. Unix sockets are not checked.
  std::vector<std::string> allowed_hosts = {};
};

/// Counters since start, for /metrics.
struct HttpServerStats {
  std::uint64_t connections_open = 0;
  std::uint64_t connections_accepted = 0;
  std::uint64_t connections_refused = 0;  ///< Over max_connections.
  std::uint64_t accept_errors = 0;        ///< EMFILE and the like; accepting pauses for a moment.
  std::uint64_t requests = 0;             ///< Handed to the handler.
  std::uint64_t requests_refused = 0;     ///< Answered 4xx or 5xx before the handler.
};

/// An HTTP/1.1 server on its own threads (Boost.Asio, Beast's parser). Thread-safe. Exchanges, streams and WebSockets
/// may outlive it; they are closed then.
class HttpServer {
 public:
  /// Borrows `handler`, which must outlive the server. kAlreadyExists: address in use; kPermissionDenied: a port below
  /// 1024 or a path we may not write; kInvalidArgument: not an address.
  static Result<std::unique_ptr<HttpServer>> start(HttpServerOptions options, HttpHandler& handler);
  /// stop(0) if it was not stopped.
  virtual ~HttpServer() = default;

  virtual std::uint16_t port() const = 0;  ///< 0 without TCP.
  virtual HttpServerStats stats() const = 0;
  /// Stops accepting, closes idle connections, ends streams and WebSockets (1001), lets running answers finish for up
  /// to `grace_ms`, then cuts what is left. Blocks; not from an I/O thread. Idempotent.
  virtual void stop(std::int64_t grace_ms) = 0;
};

}  // namespace busbar::net
