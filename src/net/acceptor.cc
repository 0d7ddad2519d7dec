#include "net/internal/acceptor.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/post.hpp>
#include <cerrno>
#include <utility>

namespace busbar::net {
namespace {

constexpr int kAcceptsAtOnce = 64;
constexpr std::chrono::milliseconds kPause{50};

struct Accepted {
  Connection::Peer peer;
  int family = AF_INET;
};

Accepted identify(int fd) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  ::getpeername(fd, reinterpret_cast<sockaddr*>(&address), &size);
  if (address.ss_family == AF_UNIX) {
    ucred credentials{};
    socklen_t credentials_size = sizeof credentials;
    Accepted accepted{.peer = {.name = "unix", .uid = std::nullopt}, .family = AF_UNIX};
    if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &credentials_size) == 0) {
      accepted.peer.uid = credentials.uid;
    }
    return accepted;
  }
  char text[INET6_ADDRSTRLEN] = {};
  if (address.ss_family == AF_INET6) {
    const auto& v6 = reinterpret_cast<const sockaddr_in6&>(address);
    ::inet_ntop(AF_INET6, &v6.sin6_addr, text, sizeof text);
    return {.peer = {.name = "[" + std::string(text) + "]:" + std::to_string(ntohs(v6.sin6_port)), .uid = std::nullopt},
            .family = AF_INET6};
  }
  const auto& v4 = reinterpret_cast<const sockaddr_in&>(address);
  ::inet_ntop(AF_INET, &v4.sin_addr, text, sizeof text);
  return {.peer = {.name = std::string(text) + ":" + std::to_string(ntohs(v4.sin_port)), .uid = std::nullopt},
          .family = AF_INET};
}

/// Best effort: the answer fits every socket buffer, and whoever is over the limit gets no more of our time.
void refuse_and_close(int fd) {
  static const std::string kAnswer = [] {
    const HttpResponse response = error_response({.code = ErrorCode::kUnavailable,
                                                  .message = "the server has too many connections; try again later",
                                                  .is_retryable = true});
    return format_head(response.status, response.headers, {.content_length = response.body.size(), .is_last = true}) +
           response.body;
  }();
  [[maybe_unused]] const ssize_t sent = ::send(fd, kAnswer.data(), kAnswer.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  ::shutdown(fd, SHUT_WR);
  ::close(fd);
}

}  // namespace

Acceptor::Acceptor(std::shared_ptr<ServerContext> context, ListenSocket socket)
    : context_(std::move(context)),
      socket_(std::move(socket)),
      strand_(boost::asio::make_strand(context_->io)),
      descriptor_(strand_),
      timer_(strand_) {}

void Acceptor::start() {
  // The descriptor is a duplicate, so that the listening socket's owner stays ListenSocket.
  descriptor_.assign(::fcntl(socket_.fd, F_DUPFD_CLOEXEC, 0));
  boost::asio::post(strand_, [self = shared_from_this()] { self->wait(); });
}

void Acceptor::stop() {
  boost::asio::post(strand_, [self = shared_from_this()] {
    self->is_stopped_ = true;
    boost::system::error_code ignored;
    self->descriptor_.close(ignored);
    self->timer_.cancel();
    self->socket_ = ListenSocket();
  });
}

void Acceptor::wait() {
  if (is_stopped_) return;
  descriptor_.async_wait(boost::asio::posix::stream_descriptor::wait_read,
                         [self = shared_from_this()](const boost::system::error_code& error) {
                           if (!error && !self->is_stopped_) self->accept_some();
                         });
}

void Acceptor::accept_some() {
  for (int i = 0; i < kAcceptsAtOnce; ++i) {
    const int fd = ::accept4(socket_.fd, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
      take(fd);
      continue;
    }
    if (errno == EAGAIN || errno == EWOULDBLOCK) break;
    if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
      // The waiting connection keeps the socket readable: without a pause this would be a busy loop.
      context_->accept_errors.fetch_add(1, std::memory_order_relaxed);
      return pause();
    }
    // Anything else concerns that one connection (ECONNABORTED, a pending network error): accept(2).
  }
  wait();
}

void Acceptor::pause() {
  timer_.expires_after(kPause);
  timer_.async_wait([self = shared_from_this()](const boost::system::error_code& error) {
    if (!error) self->wait();
  });
}

void Acceptor::take(int fd) {
  context_->connections_accepted.fetch_add(1, std::memory_order_relaxed);
  if (context_->registry.size() >= context_->options.max_connections) {
    context_->connections_refused.fetch_add(1, std::memory_order_relaxed);
    return refuse_and_close(fd);
  }
  Accepted accepted = identify(fd);
  const bool is_tcp = accepted.family != AF_UNIX;
  const int on = 1;
  if (is_tcp) ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  auto strand = boost::asio::make_strand(context_->io);
  Socket socket(strand);
  boost::system::error_code error;
  socket.assign(boost::asio::generic::stream_protocol(accepted.family, is_tcp ? IPPROTO_TCP : 0), fd, error);
  if (error) {
    ::close(fd);
    return;
  }
  auto connection = std::make_shared<Connection>(context_, strand, std::move(socket), std::move(accepted.peer));
  context_->registry.add(connection);
  connection->start();
}

}  // namespace busbar::net
