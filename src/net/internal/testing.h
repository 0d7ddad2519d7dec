#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include "net/server.h"

/// What the tests of this folder share: a handler made of a function, and a client that speaks raw bytes.
namespace busbar::net::testing {

inline constexpr std::chrono::seconds kDeadline{20};

class FunctionHandler : public HttpHandler {
 public:
  using Function = std::function<void(HttpRequest, std::shared_ptr<HttpExchange>)>;
  explicit FunctionHandler(Function function) : function_(std::move(function)) {}
  void handle(HttpRequest request, std::shared_ptr<HttpExchange> exchange) override {
    function_(std::move(request), std::move(exchange));
  }

 private:
  Function function_;
};

/// Answers with "METHOD path body".
inline FunctionHandler::Function echo() {
  return [](HttpRequest request, std::shared_ptr<HttpExchange> exchange) {
    exchange->respond(text_response(200, "text/plain", request.method + " " + request.path + " " + request.body));
  };
}

inline std::unique_ptr<HttpServer> start_or_die(HttpHandler& handler, HttpServerOptions options = {}) {
  auto server = HttpServer::start(std::move(options), handler);
  EXPECT_TRUE(server.has_value()) << server.error().to_string();
  return server ? *std::move(server) : nullptr;
}

/// Something that one thread sets and another waits for, with a deadline.
template <class T>
class Awaited {
 public:
  void set(T value) {
    const std::lock_guard lock(mutex_);
    value_ = std::move(value);
    changed_.notify_all();
  }
  void reset() {
    const std::lock_guard lock(mutex_);
    value_.reset();
  }
  std::optional<T> wait() {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, kDeadline, [this] { return value_.has_value(); });
    return value_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<T> value_;
};

/// A TCP connection to 127.0.0.1 that sends and shows exact bytes.
class RawClient {
 public:
  explicit RawClient(std::uint16_t port, int receive_buffer_bytes = 0) {
    fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (receive_buffer_bytes > 0) {
      ::setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &receive_buffer_bytes, sizeof receive_buffer_bytes);
    }
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  }
  ~RawClient() { close(); }
  RawClient(const RawClient&) = delete;
  RawClient& operator=(const RawClient&) = delete;

  void close() {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }
  /// False once the server has closed the connection.
  bool send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) return false;
      bytes.remove_prefix(static_cast<std::size_t>(sent));
    }
    return true;
  }
  /// Everything up to and including `mark`; shorter when the server closes or the deadline passes.
  std::string read_until(std::string_view mark) {
    for (;;) {
      if (const std::size_t at = received_.find(mark); at != std::string::npos) {
        const std::string result = received_.substr(0, at + mark.size());
        received_.erase(0, result.size());
        return result;
      }
      if (!receive()) return std::exchange(received_, {});
    }
  }
  std::string read_bytes(std::size_t count) {
    while (received_.size() < count && receive()) {
    }
    const std::string result = received_.substr(0, count);
    received_.erase(0, result.size());
    return result;
  }
  std::string read_to_end() {
    while (receive()) {
    }
    return std::exchange(received_, {});
  }
  /// One answer with a Content-Length: head and body.
  std::string read_response() {
    std::string head = read_until("\r\n\r\n");
    const std::size_t at = head.find("Content-Length: ");
    if (at == std::string::npos) return head;
    return head + read_bytes(std::stoul(head.substr(at + 16)));
  }
  std::string ask(std::string_view bytes) {
    send(bytes);
    return read_response();
  }
  bool is_closed_by_server() {
    while (receive()) {
    }
    return is_at_end_;
  }

 private:
  bool receive() {
    if (is_at_end_) return false;
    pollfd wait{.fd = fd_, .events = POLLIN, .revents = 0};
    if (::poll(&wait, 1, static_cast<int>(std::chrono::milliseconds(kDeadline).count())) <= 0) return false;
    char bytes[16 << 10];
    const ssize_t count = ::recv(fd_, bytes, sizeof bytes, 0);
    if (count <= 0) {
      is_at_end_ = true;
      return false;
    }
    received_.append(bytes, static_cast<std::size_t>(count));
    return true;
  }

  int fd_ = -1;
  std::string received_;
  bool is_at_end_ = false;
};

}  // namespace busbar::net::testing
