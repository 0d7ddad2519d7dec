#pragma once

#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "os/event_fd.h"
#include "os/unique_fd.h"

/// The gateway's neighbours in tests: a client that speaks raw bytes, and replicas that do what a function says.
namespace busbar::gateway::testing {

inline bool has(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

/// One TCP connection; every read has a deadline of 20 s and fails the test when it passes.
class Peer {
 public:
  explicit Peer(os::UniqueFd fd) : fd_(std::move(fd)) {}
  /// To a port of 127.0.0.1.
  static Peer connect(std::uint16_t port);

  void send(std::string_view bytes);
  /// More bytes, at least one; "" at the end or after a reset.
  std::string read_some();
  std::string read_to_end();
  /// Up to and with `mark`; what came behind it is kept for the next read.
  std::string read_until(std::string_view mark);
  std::string read_exactly(std::size_t count);
  /// One answer or request: head, and a body by its Content-Length or chunks (left as they are).
  std::string read_message();
  /// True if the other side has closed, waiting for that.
  bool is_closed() { return read_some().empty(); }
  void finish_sending();
  void reset();  ///< Closes with a RST.
  void close() { fd_.reset(); }
  int fd() const { return fd_.get(); }

 private:
  os::UniqueFd fd_;
  std::string kept_ = {};
};

/// A replica on a port of its own: each connection is served by `serve` on its own thread.
class Backend {
 public:
  using Serve = std::function<void(Peer&)>;
  explicit Backend(Serve serve);
  ~Backend();
  Backend(const Backend&) = delete;
  Backend& operator=(const Backend&) = delete;

  std::uint16_t port() const { return port_; }
  std::size_t connections() const;

 private:
  void accept_all();

  Serve serve_;
  os::UniqueFd listener_ = {};
  os::EventFd stop_;
  std::uint16_t port_ = 0;
  mutable std::mutex mutex_ = {};
  std::vector<std::thread> threads_ = {};
  std::vector<int> open_ = {};
  std::thread acceptor_ = {};
};

/// Answers each request with 200 and `body`, keeping the connection.
Backend::Serve answers(std::string body);
/// Answers each request with 200 and the request itself as the body.
Backend::Serve echoes();
/// A port where nobody listens.
std::uint16_t closed_port();

}  // namespace busbar::gateway::testing
