#include "net/internal/websocket_session.h"

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/websocket/stream.hpp>
#include <optional>
#include <utility>

#include "base/text.h"
#include "net/internal/outbox.h"

namespace busbar::net {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace websocket = boost::beast::websocket;
using boost::system::error_code;

/// How long the peer may take to answer a handshake or a close frame.
constexpr std::chrono::seconds kHandshakeTimeout{5};
constexpr std::size_t kWriteBufferBytes = 32 << 10;
/// Nobody asks for compression; without its code the file compiles in less time.
constexpr bool kCompresses = false;

websocket::stream_base::timeout timeouts(std::int64_t idle_ms) {
  return {.handshake_timeout = kHandshakeTimeout,
          .idle_timeout = std::chrono::milliseconds(idle_ms),
          .keep_alive_pings = true};
}

/// Also cancels the timer that runs, which would keep the loop from ending.
websocket::stream_base::timeout no_timeouts() {
  return {.handshake_timeout = websocket::stream_base::none(),
          .idle_timeout = websocket::stream_base::none(),
          .keep_alive_pings = false};
}

class BeastSession : public WebSocketSession, public std::enable_shared_from_this<BeastSession> {
 public:
  explicit BeastSession(WebSocketSetup setup)
      : keep_alive_(std::move(setup.keep_alive)),
        options_(setup.options),
        handler_(std::move(setup.handler)),
        on_gone_(std::move(setup.on_gone)),
        outbox_(setup.options.max_pending_bytes),
        ws_(std::move(setup.socket)),
        work_(ws_.get_executor()),
        ping_timer_(ws_.get_executor()) {
    ws_.set_option(timeouts(options_.idle_timeout_ms));
    ws_.read_message_max(options_.max_message_bytes);
    ws_.write_buffer_bytes(kWriteBufferBytes);
    ws_.auto_fragment(false);
  }

  void accept(const HttpRequest& request) {
    self_ = shared_from_this();
    upgrade_ = {beast::http::verb::get, beast_view(request.target), 11};
    for (const auto& [name, value] : request.headers) upgrade_.insert(beast_view(name), beast_view(value));
    // Not from inside the HTTP handler's call: `on_open` comes on a clean stack.
    asio::post(ws_.get_executor(), [self = self_] {
      if (self->is_gone_) return;
      self->ws_.async_accept(self->upgrade_, [self](const error_code& error) {
        if (error) return self->finish(kWebSocketAbnormal, {});
        self->open();
      });
    });
  }

  void connect(const HttpRequest& request, std::function<void(Result<void>)> on_result) {
    self_ = shared_from_this();
    on_result_ = std::move(on_result);
    ws_.set_option(websocket::stream_base::decorator([headers = request.headers](websocket::request_type& upgrade) {
      for (const auto& [name, value] : headers) upgrade.set(beast_view(name), beast_view(value));
    }));
    const std::string host = request.header("host");
    ws_.async_handshake(answer_, beast_view(host), beast_view(request.target), [self = self_](const error_code& error) {
      if (error || self->is_gone_) return self->refused(error);
      self->open();
      std::exchange(self->on_result_, nullptr)(Result<void>());
    });
  }

  // ---- WebSocket: any thread

  bool send(std::string message, WebSocketMessage kind) override {
    switch (outbox_.push(std::move(message), kind)) {
      case Outbox::Push::kQueued:
        return true;
      case Outbox::Push::kWake:
        post([](BeastSession& self) { self.flush(); });
        return true;
      case Outbox::Push::kFull:
        abort();
        return false;
      case Outbox::Push::kClosed:
        return false;
    }
    return false;
  }
  std::size_t pending_bytes() const override { return outbox_.pending_bytes(); }
  void when_drained(std::function<void()> callback) override { outbox_.when_drained(std::move(callback)); }
  void pause_reading() override {
    post([](BeastSession& self) {
      if (std::exchange(self.is_paused_, true)) return;
      // Pongs are not read either now, so silence says nothing about the peer.
      self.ws_.set_option(no_timeouts());
      self.ping_later();
    });
  }
  void resume_reading() override {
    post([](BeastSession& self) {
      if (!std::exchange(self.is_paused_, false)) return;
      self.ping_timer_.cancel();
      self.ws_.set_option(timeouts(self.options_.idle_timeout_ms));
      self.read();
    });
  }
  void close(int code, std::string reason) override {
    post([code, reason = std::move(reason)](BeastSession& self) mutable { self.begin_close(code, std::move(reason)); });
  }

  // ---- Stoppable: any thread

  void stop_gracefully() override { close(kWebSocketGoingAway, "the server stops"); }
  void abort() override {
    post([](BeastSession& self) { self.finish(kWebSocketAbnormal, {}); });
  }

 private:
  static beast::string_view beast_view(std::string_view view) { return {view.data(), view.size()}; }

  /// Runs `action` on the strand, never inside the caller's call; drops it if the session is gone.
  template <class Action>
  void post(Action action) {
    const std::lock_guard lock(mutex_);
    if (is_detached_) return;
    // Under the lock: what is posted before the session ends is run before the loop ends.
    asio::post(ws_.get_executor(), [self = shared_from_this(), action = std::move(action)]() mutable {
      if (!self->is_gone_) action(*self);
    });
  }

  void open() {
    is_open_ = true;
    handler_->on_open(shared_from_this());
    read();
    flush();
  }

  void refused(const error_code& error) {
    HttpResponse response{.status = static_cast<int>(answer_.result_int()), .headers = {}, .body = answer_.body()};
    auto report = std::exchange(on_result_, nullptr);
    if (error == websocket::error::upgrade_declined) {
      report(tl::unexpected(error_from_response(response)));
    } else {
      report(make_error(ErrorCode::kUnavailable, "the WebSocket handshake failed", error.message()));
    }
    finish(kWebSocketAbnormal, {});
  }

  void read() {
    if (is_paused_ || std::exchange(is_reading_, true)) return;
    ws_.async_read(incoming_, [self = shared_from_this()](const error_code& error, std::size_t) {
      self->is_reading_ = false;
      if (self->is_gone_) return;
      if (error) return self->read_failed(error);
      const auto bytes = self->incoming_.cdata();
      self->handler_->on_message({static_cast<const char*>(bytes.data()), bytes.size()},
                                 self->ws_.got_text() ? WebSocketMessage::kText : WebSocketMessage::kBinary);
      if (self->is_gone_) return;
      self->incoming_.consume(self->incoming_.size());
      self->read();
    });
  }

  void read_failed(const error_code& error) {
    // While our own close frame travels, async_close waits for the peer's and reports.
    if (is_closing_ && error == asio::error::operation_aborted) return;
    if (error == websocket::error::closed) return finish_with_peers_code();
    finish(error == websocket::error::message_too_big ? kWebSocketTooBig : kWebSocketAbnormal, {});
  }

  /// 1005 stands for a close frame without a code (RFC 6455 §7.1.5).
  void finish_with_peers_code() {
    const auto& reason = ws_.reason();
    finish(reason.code == websocket::close_code::none ? 1005 : reason.code,
           {reason.reason.data(), reason.reason.size()});
  }

  void flush() {
    if (is_writing_ || !is_open_) return;
    if (sending_.empty()) {
      sending_ = outbox_.take();
      next_ = 0;
    }
    if (sending_.empty()) {
      if (outbox_.is_exhausted() && closing_) send_close();
      return;
    }
    is_writing_ = true;
    const Outbox::Item& item = sending_[next_];
    ws_.text(item.kind == WebSocketMessage::kText);
    ws_.async_write(asio::buffer(item.bytes), [self = shared_from_this()](const error_code& error, std::size_t) {
      self->is_writing_ = false;
      if (self->is_gone_) return;
      if (error) return self->finish(kWebSocketAbnormal, {});
      self->outbox_.written(self->sending_[self->next_].bytes.size());
      if (++self->next_ == self->sending_.size()) self->sending_.clear();
      if (!self->is_gone_) self->flush();
    });
  }

  /// Who does not read does not see the end of the stream either. Writing shows it: the kernel of a peer that has left
  /// answers with a reset, and the next ping fails.
  void ping_later() {
    ping_timer_.expires_after(std::chrono::milliseconds(options_.idle_timeout_ms / 2));
    ping_timer_.async_wait([self = shared_from_this()](const error_code& cancelled) {
      if (cancelled || self->is_gone_ || !self->is_paused_ || self->closing_) return;
      if (std::exchange(self->is_pinging_, true)) return self->ping_later();  // the last one has not gone out yet
      self->ws_.async_ping({}, [self](const error_code& error) {
        self->is_pinging_ = false;
        if (self->is_gone_) return;
        if (error) return self->finish(kWebSocketAbnormal, {});
        if (self->is_paused_) self->ping_later();
      });
    });
  }

  void begin_close(int code, std::string reason) {
    constexpr std::size_t kMaxReasonBytes = 123;  // RFC 6455 §5.5: a control frame carries 125 bytes
    if (!closing_) {
      closing_ = websocket::close_reason(static_cast<websocket::close_code>(code),
                                         beast_view(std::string_view(reason).substr(0, kMaxReasonBytes)));
    }
    outbox_.finish();
    flush();
  }

  void send_close() {
    if (std::exchange(is_closing_, true)) return;
    ws_.set_option(timeouts(options_.idle_timeout_ms));  // a paused session has none
    ws_.async_close(*closing_, [self = shared_from_this()](const error_code& error) {
      if (self->is_gone_) return;
      if (error && error != asio::error::operation_aborted && error != asio::error::eof) {
        return self->finish(kWebSocketAbnormal, {});
      }
      self->finish_with_peers_code();
    });
  }

  /// The only end. Later completions see `is_gone_`.
  void finish(int code, std::string_view reason) {
    if (std::exchange(is_gone_, true)) return;
    {
      const std::lock_guard lock(mutex_);
      is_detached_ = true;
    }
    const std::string reason_copy(reason);
    error_code ignored;
    ws_.set_option(no_timeouts());
    ping_timer_.cancel();
    beast::get_lowest_layer(ws_).close(ignored);
    outbox_.close();
    if (is_open_) handler_->on_close(code, reason_copy);
    handler_.reset();
    if (on_gone_) std::exchange(on_gone_, nullptr)(this);
    work_.reset();
    self_.reset();
  }

  const std::shared_ptr<void> keep_alive_;  // first: destroyed last, after the socket
  const WebSocketOptions options_;
  std::unique_ptr<WebSocketHandler> handler_;
  std::function<void(Stoppable*)> on_gone_;
  Outbox outbox_;
  websocket::stream<Socket, kCompresses> ws_;
  asio::executor_work_guard<asio::any_io_executor>
      work_;                       ///< To `finish`: a paused session has no operation of its own.
  asio::steady_timer ping_timer_;  ///< While reading is paused.
  beast::flat_buffer incoming_;
  beast::http::request<beast::http::empty_body> upgrade_;
  websocket::response_type answer_;
  std::function<void(Result<void>)> on_result_;
  std::vector<Outbox::Item> sending_;
  std::size_t next_ = 0;
  std::optional<websocket::close_reason> closing_;
  bool is_open_ = false;
  bool is_paused_ = false;
  bool is_reading_ = false;
  bool is_writing_ = false;
  bool is_pinging_ = false;
  bool is_closing_ = false;
  bool is_gone_ = false;
  std::shared_ptr<BeastSession> self_;  ///< From the start to `finish`.

  std::mutex mutex_;
  bool is_detached_ = false;  ///< Under mutex_.
};

}  // namespace

std::shared_ptr<WebSocketSession> WebSocketSession::accept(WebSocketSetup setup, const HttpRequest& request) {
  auto session = std::make_shared<BeastSession>(std::move(setup));
  session->accept(request);
  return session;
}

std::shared_ptr<WebSocketSession> WebSocketSession::connect(WebSocketSetup setup, const HttpRequest& request,
                                                            std::function<void(Result<void>)> on_result) {
  auto session = std::make_shared<BeastSession>(std::move(setup));
  session->connect(request, std::move(on_result));
  return session;
}

std::optional<HttpResponse> check_upgrade(const HttpRequest& request) {
  constexpr std::size_t kKeyCharacters = 24;  // 16 bytes in base64
  if (!header_has_token(request.headers, "upgrade", "websocket") ||
      !header_has_token(request.headers, "connection", "upgrade")) {
    HttpResponse response = error_response(
        426, {.code = ErrorCode::kUnsupported, .message = "this path speaks WebSocket; send an upgrade request"});
    set_header(response.headers, "Upgrade", "websocket");
    return response;
  }
  if (trim(request.header("sec-websocket-version")) != "13") {
    HttpResponse response = error_response(
        426, {.code = ErrorCode::kUnsupported, .message = "only version 13 of the WebSocket protocol is spoken"});
    set_header(response.headers, "Sec-WebSocket-Version", "13");
    return response;
  }
  if (request.method != "GET" || trim(request.header("sec-websocket-key")).size() != kKeyCharacters) {
    return error_response({.code = ErrorCode::kInvalidArgument, .message = "not a proper WebSocket upgrade request"});
  }
  return std::nullopt;
}

}  // namespace busbar::net
