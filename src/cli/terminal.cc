#include "cli/terminal.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <memory>
#include <utility>
#include <variant>

#include "base/text.h"
#include "cli/mailbox.h"
#include "net/websocket.h"
#include "os/errno_error.h"
#include "os/signals.h"

namespace busbar::cli {
namespace {

constexpr int kInterruptedExit = 130;
constexpr char kCtrlP = 0x10;
constexpr char kCtrlQ = 0x11;
/// Unsent input beyond which we stop reading keys; a pasted file then waits in the kernel.
constexpr std::size_t kMostPendingInput = 1 << 20;

// Only what a signal handler may touch: the terminal to be restored and its mode.
std::atomic<int> raw_descriptor{-1};
termios saved_mode{};

constexpr std::array kDeadlySignals{SIGHUP, SIGTERM, SIGQUIT, SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL};

void restore_and_die(int signal) {
  const int descriptor = raw_descriptor.exchange(-1);
  if (descriptor >= 0) {
    ::tcsetattr(descriptor, TCSANOW, &saved_mode);
  }
  ::signal(signal, SIG_DFL);
  ::raise(signal);
}

struct Frame {
  api::TerminalFrame kind = api::TerminalFrame::kStdout;
  std::string payload = {};
};
struct Closed {
  int code = net::kWebSocketNormal;
  std::string reason = {};
};
struct Drained {};
using Incoming = std::variant<Frame, Closed, Drained>;

/// Hands what arrives to the loop's thread.
class IncomingHandler final : public net::WebSocketHandler {
 public:
  explicit IncomingHandler(std::shared_ptr<Mailbox<Incoming>> mailbox) : mailbox_(std::move(mailbox)) {}
  void on_open(std::shared_ptr<net::WebSocket> socket) override { (void)socket; }
  void on_message(std::string_view message, net::WebSocketMessage kind) override {
    if (kind == net::WebSocketMessage::kBinary && !message.empty()) {
      mailbox_->put(Frame{static_cast<api::TerminalFrame>(static_cast<unsigned char>(message[0])),
                          std::string(message.substr(1))});
    }
  }
  void on_close(int code, std::string_view reason) override { mailbox_->put(Closed{code, std::string(reason)}); }

 private:
  std::shared_ptr<Mailbox<Incoming>> mailbox_;
};

void write_bytes(int descriptor, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(descriptor, bytes.data(), bytes.size());
    if (written < 0 && errno == EAGAIN) {
      // Somebody made the terminal non-blocking: wait, do not lose output.
      pollfd ready{.fd = descriptor, .events = POLLOUT, .revents = 0};
      (void)::poll(&ready, 1, -1);
      continue;
    }
    if (written < 0 && errno == EINTR) {
      continue;
    }
    if (written <= 0) {
      return;  // The reader of our output has gone.
    }
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
}

/// The loop of run_terminal: keys, frames and signals in one poll.
class Session {
 public:
  Session(Context& context, const TerminalPlan& plan) : context_(context), plan_(plan) {}

  Result<TerminalEnd> run() {
    TRY_ASSIGN(os::SignalFd signals,
               os::SignalFd::create(plan_.is_raw ? std::vector<int>{SIGWINCH} : std::vector<int>{SIGINT, SIGWINCH}));
    TRY_ASSIGN(const Endpoint* endpoint, context_.endpoint());
    TRY_ASSIGN(client_,
               net::WebSocketClient::connect(
                   {.client = {.base_url = endpoint->url, .bearer_token = endpoint->token}, .target = plan_.target},
                   std::make_unique<IncomingHandler>(mailbox_)));
    std::optional<RawMode> raw;
    if (plan_.is_raw && context_.platform.terminal >= 0) {
      TRY_ASSIGN(RawMode mode, RawMode::enter(context_.platform.terminal));
      raw.emplace(std::move(mode));
      send_size();
    }
    reads_input_ = plan_.sends_input;
    if (!plan_.sends_input) {
      send(api::TerminalFrame::kStdinEnd, "");
    }
    while (!end_ && !error_) {
      wait(signals.fd());
      take_frames();
      take_signals(signals);
    }
    client_->socket().close();
    if (error_) {
      return tl::unexpected(*error_);
    }
    return *end_;
  }

 private:
  void wait(int signal_fd) {
    const int input = reads_input_ && !is_input_full_ ? context_.platform.input : -1;
    std::array fds{pollfd{.fd = mailbox_->fd(), .events = POLLIN, .revents = 0},
                   pollfd{.fd = signal_fd, .events = POLLIN, .revents = 0},
                   pollfd{.fd = input, .events = POLLIN, .revents = 0}};
    if (::poll(fds.data(), fds.size(), -1) > 0 && (fds[2].revents & (POLLIN | POLLHUP | POLLERR)) != 0) {
      take_input();
    }
  }

  void take_input() {
    std::array<char, 16 << 10> buffer{};
    const ssize_t count = ::read(context_.platform.input, buffer.data(), buffer.size());
    if (count < 0 && (errno == EINTR || errno == EAGAIN)) {
      return;
    }
    if (count <= 0) {
      reads_input_ = false;
      send(api::TerminalFrame::kStdinEnd, "");
      return;
    }
    std::string_view bytes(buffer.data(), static_cast<std::size_t>(count));
    std::string typed;
    if (plan_.has_detach_keys) {
      DetachKeys::Typed keys = detach_keys_.feed(bytes);
      if (keys.is_detach) {
        end_ = TerminalEnd{.was_detached = true};
        return;
      }
      typed = std::move(keys.bytes);
      bytes = typed;
    }
    if (!bytes.empty()) {
      send(api::TerminalFrame::kStdin, bytes);
    }
  }

  void take_frames() {
    for (Incoming& message : mailbox_->take()) {
      std::visit([this](auto& body) { take(body); }, message);
      if (end_ || error_) {
        return;
      }
    }
  }

  void take(const Frame& frame) {
    switch (frame.kind) {
      case api::TerminalFrame::kStdout:
        write_bytes(context_.platform.output, frame.payload);
        return;
      case api::TerminalFrame::kStderr:
        write_bytes(context_.platform.error, frame.payload);
        return;
      case api::TerminalFrame::kExit:
        end_ = TerminalEnd{.exit_code = static_cast<int>(parse_int(frame.payload).value_or(1))};
        return;
      case api::TerminalFrame::kError: {
        const auto json = parse_json(frame.payload);
        error_ = api::error_body_from_json(json ? *json : Json(), 500).error;
        return;
      }
      case api::TerminalFrame::kStdin:
      case api::TerminalFrame::kStdinEnd:
      case api::TerminalFrame::kResize:
      case api::TerminalFrame::kSignal:
        return;  // Ours to send; from the server they mean nothing.
    }
  }

  void take(const Closed& closed) {
    error_ = Error{.code = ErrorCode::kUnavailable,
                   .message = closed.reason.empty() ? fmt::format("the connection ended (code {})", closed.code)
                                                    : "the connection ended: " + closed.reason};
  }

  void take(const Drained& /*drained*/) { is_input_full_ = false; }

  void take_signals(os::SignalFd& signals) {
    while (const auto signal = signals.take()) {
      if (*signal == SIGWINCH) {
        send_size();
      } else if (++interrupts_ == 1) {
        send(api::TerminalFrame::kSignal, std::to_string(SIGINT));
      } else {
        end_ = TerminalEnd{.exit_code = kInterruptedExit};
      }
    }
  }

  void send_size() {
    if (plan_.is_raw && context_.platform.terminal >= 0) {
      const WindowSize size = window_size(context_.platform.terminal);
      send(api::TerminalFrame::kResize, fmt::format("{} {}", size.rows, size.columns));
    }
  }

  void send(api::TerminalFrame kind, std::string_view payload) {
    std::string message(1, static_cast<char>(kind));
    message += payload;
    (void)client_->socket().send_binary(std::move(message));  // A dead connection comes as Closed.
    if (client_->socket().pending_bytes() > kMostPendingInput && !is_input_full_) {
      is_input_full_ = true;
      client_->socket().when_drained([mailbox = mailbox_] { mailbox->put(Drained{}); });
    }
  }

  Context& context_;
  const TerminalPlan& plan_;
  std::shared_ptr<Mailbox<Incoming>> mailbox_ = std::make_shared<Mailbox<Incoming>>();
  std::unique_ptr<net::WebSocketClient> client_;
  DetachKeys detach_keys_;
  bool reads_input_ = false;
  bool is_input_full_ = false;
  int interrupts_ = 0;
  std::optional<TerminalEnd> end_;
  std::optional<Error> error_;
};

}  // namespace

WindowSize window_size(int descriptor) {
  winsize size{};
  if (::ioctl(descriptor, TIOCGWINSZ, &size) != 0 || size.ws_row == 0 || size.ws_col == 0) {
    return {};
  }
  return {.rows = size.ws_row, .columns = size.ws_col};
}

Result<RawMode> RawMode::enter(int descriptor) {
  if (::tcgetattr(descriptor, &saved_mode) != 0) {
    return os::errno_failure("cannot read the terminal's mode");
  }
  termios raw = saved_mode;
  ::cfmakeraw(&raw);
  raw_descriptor = descriptor;
  for (const int signal : kDeadlySignals) {
    ::signal(signal, restore_and_die);
  }
  if (::tcsetattr(descriptor, TCSANOW, &raw) != 0) {
    raw_descriptor = -1;
    return os::errno_failure("cannot change the terminal's mode");
  }
  return RawMode(descriptor);
}

RawMode::RawMode(RawMode&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}

RawMode::~RawMode() {
  if (descriptor_ < 0) {
    return;
  }
  if (raw_descriptor.exchange(-1) >= 0) {
    ::tcsetattr(descriptor_, TCSADRAIN, &saved_mode);
  }
  for (const int signal : kDeadlySignals) {
    ::signal(signal, SIG_DFL);
  }
}

DetachKeys::Typed DetachKeys::feed(std::string_view bytes) {
  Typed typed;
  for (const char key : bytes) {
    if (has_first_) {
      has_first_ = false;
      if (key == kCtrlQ) {
        typed.is_detach = true;
        return typed;
      }
      typed.bytes += kCtrlP;
    }
    if (key == kCtrlP) {
      has_first_ = true;
    } else {
      typed.bytes += key;
    }
  }
  return typed;
}

Result<TerminalEnd> run_terminal(Context& context, const TerminalPlan& plan) {
  return Session(context, plan).run();
}

}  // namespace busbar::cli
