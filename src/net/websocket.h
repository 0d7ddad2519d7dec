#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace busbar::net {

enum class WebSocketMessage { kText, kBinary };

/// RFC 6455 §7.4.1 codes that we use; peers may send others.
enum WebSocketCloseCode : int {
  kWebSocketNormal = 1000,
  kWebSocketGoingAway = 1001,
  kWebSocketProtocolError = 1002,
  kWebSocketAbnormal = 1006,  ///< Never on the wire: the connection broke without a close frame.
  kWebSocketTooBig = 1009,
  kWebSocketInternalError = 1011,
};

struct WebSocketOptions {
  std::size_t max_message_bytes = 16 << 20;  ///< A bigger message from the peer closes with 1009.
  std::size_t max_pending_bytes = 4 << 20;   ///< Unsent bytes beyond which the peer counts as too slow.
  std::int64_t idle_timeout_ms = 60'000;     ///< Silence (pings go out at half of it) after which the peer is dead.
};

/// One open WebSocket, of either side. Thread-safe. Pings are answered by the implementation.
class WebSocket {
 public:
  virtual ~WebSocket() = default;

  /// Queues one message. False when the peer is gone, or when more than `max_pending_bytes` would wait: the connection
  /// is then dropped (1006). A fast producer watches `pending_bytes()` and goes on in `when_drained`.
  virtual bool send(std::string message, WebSocketMessage kind) = 0;
  bool send_text(std::string message) { return send(std::move(message), WebSocketMessage::kText); }
  bool send_binary(std::string message) { return send(std::move(message), WebSocketMessage::kBinary); }

  virtual std::size_t pending_bytes() const = 0;
  /// Calls once, on the I/O thread, when at most a quarter of `max_pending_bytes` waits (possibly before this returns)
  /// or when the connection has closed; `send` tells which.
  virtual void when_drained(std::function<void()> callback) = 0;

  /// No more messages are read (so TCP slows the peer down) until `resume_reading`. A message being delivered may still
  /// arrive after the pause.
  virtual void pause_reading() = 0;
  virtual void resume_reading() = 0;

  /// Sends what is queued, then the close frame. Idempotent. `on_close` follows.
  virtual void close(int code = kWebSocketNormal, std::string reason = {}) = 0;
};

/// Gets what arrives on one WebSocket. Every method is called on the I/O thread, one at a time, and must not block.
class WebSocketHandler {
 public:
  virtual ~WebSocketHandler() = default;
  /// First call. The socket may be kept and used from any thread until `on_close` and harmlessly after it.
  virtual void on_open(std::shared_ptr<WebSocket> socket) = 0;
  virtual void on_message(std::string_view message, WebSocketMessage kind) = 0;
  /// Last call, exactly once if `on_open` was called. `code` is the peer's, or kWebSocketAbnormal.
  virtual void on_close(int code, std::string_view reason) = 0;
};

}  // namespace busbar::net
