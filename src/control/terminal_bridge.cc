#include "control/terminal_bridge.h"

#include <fmt/format.h>

#include <atomic>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include "api/types.h"
#include "base/text.h"
#include "os/gate.h"

namespace busbar::control {
namespace {

constexpr std::size_t kMaxPendingBytes = 1 << 20;
/// Above the quarter of kMaxPendingBytes at which a socket counts as drained, and so far below the whole that what the
/// engine has already read when it is paused still fits.
constexpr std::size_t kPauseAtBytes = kMaxPendingBytes / 2;
constexpr std::size_t kMaxInputBytes = 1 << 20;
constexpr int kMaxSignal = 64;

std::string frame(api::TerminalFrame kind, std::string_view payload) {
  std::string message;
  message.reserve(payload.size() + 1);
  message += static_cast<char>(kind);
  message += payload;
  return message;
}

std::optional<std::pair<std::uint16_t, std::uint16_t>> parse_size(std::string_view text) {
  const auto parts = split(text, ' ');
  if (parts.size() != 2) {
    return std::nullopt;
  }
  const auto rows = parse_int(parts[0]);
  const auto columns = parse_int(parts[1]);
  const auto fits = [](const std::optional<std::int64_t>& n) { return n && *n >= 1 && *n <= 0xffff; };
  if (!fits(rows) || !fits(columns)) {
    return std::nullopt;
  }
  return std::pair(static_cast<std::uint16_t>(*rows), static_cast<std::uint16_t>(*columns));
}

/// Shared by the socket's side (I/O thread) and the session's callbacks (engine's threads). The session is destroyed on
/// the I/O thread only, after the gate has let out whoever else is calling it. No lock of ours is held while either
/// side is called, since both have locks of their own, but for two, one a direction: pausing and resuming are said in
/// the order in which they were decided, or one side would overrun the other's limit, or wait for ever.
class Bridge : public std::enable_shared_from_this<Bridge> {
 public:
  void open(std::shared_ptr<net::WebSocket> socket, const OpenTerminal& open_terminal);
  void take_frame(std::string_view message, net::WebSocketMessage kind);
  void close();

 private:
  void send_output(int stream, std::string_view bytes);
  void send_exit(int exit_code);
  void refuse_frame(std::string_view why);
  bool run_frame(api::TerminalFrame kind, std::string_view payload);
  void write_input(engine::TerminalSession& to, std::string_view bytes);
  void resume_input();
  void throttle();
  void resume();
  engine::TerminalSession* session();

  std::shared_ptr<net::WebSocket> socket_;
  std::atomic<bool> is_over_ = false;
  os::Gate gate_;
  std::mutex pause_mutex_;
  bool is_paused_ = false;  // guarded by pause_mutex_
  std::mutex input_mutex_;
  bool is_input_paused_ = false;  // guarded by input_mutex_
  std::mutex mutex_;
  std::unique_ptr<engine::TerminalSession> session_;  // guarded by mutex_; the object itself by gate_
};

engine::TerminalSession* Bridge::session() {
  const std::lock_guard lock(mutex_);
  return session_.get();
}

void Bridge::open(std::shared_ptr<net::WebSocket> socket, const OpenTerminal& open_terminal) {
  socket_ = std::move(socket);
  const std::weak_ptr<Bridge> weak = weak_from_this();
  auto opened = open_terminal({.on_output =
                                   [weak](int stream, std::string_view bytes) {
                                     if (const auto bridge = weak.lock()) {
                                       bridge->send_output(stream, bytes);
                                     }
                                   },
                               .on_input_drained =
                                   [weak] {
                                     if (const auto bridge = weak.lock()) {
                                       bridge->resume_input();
                                     }
                                   },
                               .on_exit =
                                   [weak](int exit_code) {
                                     if (const auto bridge = weak.lock()) {
                                       bridge->send_exit(exit_code);
                                     }
                                   }});
  if (!opened) {
    is_over_ = true;
    socket_->send_binary(
        frame(api::TerminalFrame::kError, api::to_json(api::ErrorBody{.error = opened.error()}).dump()));
    socket_->close();
    return;
  }
  {
    const std::lock_guard lock(mutex_);
    session_ = *std::move(opened);
  }
  // Output that came before there was a session to pause.
  throttle();
}

void Bridge::send_output(int stream, std::string_view bytes) {
  const auto kind = stream == 2 ? api::TerminalFrame::kStderr : api::TerminalFrame::kStdout;
  if (!is_over_ && socket_->send_binary(frame(kind, bytes))) {
    throttle();
  }
}

void Bridge::send_exit(int exit_code) {
  if (!is_over_.exchange(true)) {
    socket_->send_binary(frame(api::TerminalFrame::kExit, std::to_string(exit_code)));
    socket_->close();
  }
}

void Bridge::write_input(engine::TerminalSession& to, std::string_view bytes) {
  const std::lock_guard lock(input_mutex_);
  if (!to.write_input(bytes)) {
    is_input_paused_ = true;
    socket_->pause_reading();
  }
}

void Bridge::resume_input() {
  const std::lock_guard lock(input_mutex_);
  if (std::exchange(is_input_paused_, false)) {
    socket_->resume_reading();
  }
}

void Bridge::throttle() {
  const auto token = gate_.enter();
  engine::TerminalSession* source = session();
  if (!token || source == nullptr || socket_->pending_bytes() < kPauseAtBytes) {
    return;
  }
  {
    const std::lock_guard lock(pause_mutex_);
    if (is_paused_) {
      return;
    }
    is_paused_ = true;
    source->pause_output(true);
  }
  // Without the lock: it may call at once. Until then nothing resumes.
  socket_->when_drained([weak = weak_from_this()] {
    if (const auto bridge = weak.lock()) {
      bridge->resume();
    }
  });
}

void Bridge::resume() {
  if (const auto token = gate_.enter()) {
    const std::lock_guard lock(pause_mutex_);
    is_paused_ = false;
    session()->pause_output(false);
  }
}

void Bridge::take_frame(std::string_view message, net::WebSocketMessage kind) {
  if (is_over_) {
    return;
  }
  if (kind != net::WebSocketMessage::kBinary || message.empty()) {
    return refuse_frame("terminal frames are binary messages, their first byte is the kind");
  }
  const auto type = static_cast<unsigned char>(message.front());
  if (!run_frame(static_cast<api::TerminalFrame>(type), message.substr(1))) {
    refuse_frame(fmt::format("malformed terminal frame of kind {}", type));
  }
}

bool Bridge::run_frame(api::TerminalFrame kind, std::string_view payload) {
  // Only the I/O thread, which this is, destroys the session.
  engine::TerminalSession& to = *session();
  switch (kind) {
    case api::TerminalFrame::kStdin:
      write_input(to, payload);
      return true;
    case api::TerminalFrame::kStdinEnd:
      to.close_input();
      return true;
    case api::TerminalFrame::kResize:
      if (const auto size = parse_size(payload)) {
        to.resize(size->first, size->second);
        return true;
      }
      return false;
    case api::TerminalFrame::kSignal:
      if (const auto number = parse_int(payload); number && *number >= 1 && *number <= kMaxSignal) {
        to.signal(static_cast<int>(*number));
        return true;
      }
      return false;
    case api::TerminalFrame::kStdout:
    case api::TerminalFrame::kStderr:
    case api::TerminalFrame::kExit:
    case api::TerminalFrame::kError:
      return false;
  }
  return false;
}

void Bridge::refuse_frame(std::string_view why) {
  is_over_ = true;
  const Error error{.code = ErrorCode::kInvalidArgument, .message = std::string(why)};
  socket_->send_binary(frame(api::TerminalFrame::kError, api::to_json(api::ErrorBody{.error = error}).dump()));
  socket_->close(net::kWebSocketProtocolError, std::string(why));
}

void Bridge::close() {
  is_over_ = true;
  gate_.close();
  std::unique_ptr<engine::TerminalSession> ended;
  {
    const std::lock_guard lock(mutex_);
    ended = std::move(session_);
  }
}

class BridgeHandler final : public net::WebSocketHandler {
 public:
  explicit BridgeHandler(OpenTerminal open) : open_(std::move(open)) {}

  void on_open(std::shared_ptr<net::WebSocket> socket) override { bridge_->open(std::move(socket), open_); }
  void on_message(std::string_view message, net::WebSocketMessage kind) override { bridge_->take_frame(message, kind); }
  void on_close(int, std::string_view) override { bridge_->close(); }

 private:
  OpenTerminal open_;
  std::shared_ptr<Bridge> bridge_ = std::make_shared<Bridge>();
};

}  // namespace

std::unique_ptr<net::WebSocketHandler> make_terminal_bridge(OpenTerminal open) {
  return std::make_unique<BridgeHandler>(std::move(open));
}

net::WebSocketOptions terminal_socket_options() {
  return {.max_message_bytes = kMaxInputBytes, .max_pending_bytes = kMaxPendingBytes};
}

}  // namespace busbar::control
