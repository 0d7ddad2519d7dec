// The backend of the gateway's benchmarks: fast, and able to stream. One thread, one epoll.
//   gateway_backend [PORT]       0, the default: any port; it is printed
//   GET anything                 a short answer
//   POST anything                the body is read; then the same, or with "stream": true as many events as its
//                                "max_tokens" says, one each $EVENT_US microseconds (default 10,000)
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <queue>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "gateway/http_head.h"

namespace {

using namespace busbar;

constexpr std::string_view kAnswer =
    "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 30\r\n\r\nhello, this is a small answer\n";
constexpr std::string_view kStreamHead =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
constexpr std::size_t kMaxBody = std::size_t{64} << 20;

struct Connection {
  int fd = -1;
  std::string in = {};
  std::string out = {};
  long tokens_left = 0;
};

struct Due {
  std::int64_t at_ns = 0;
  int fd = -1;
  std::uint64_t stream = 0;
  bool operator>(const Due& other) const { return at_ns > other.at_ns; }
};

std::int64_t now_ns() {
  return std::chrono::steady_clock::now().time_since_epoch().count();
}

class Backend {
 public:
  Backend(int listener, std::int64_t every_ns) : listener_(listener), every_ns_(every_ns) {
    epoll_ = ::epoll_create1(EPOLL_CLOEXEC);
    watch(listener_, EPOLLIN);
  }

  [[noreturn]] void run() {
    for (;;) {
      const std::int64_t wait_ns =
          due_.empty() ? 1'000'000'000 : std::max<std::int64_t>(0, due_.top().at_ns - now_ns());
      const timespec timeout = {.tv_sec = wait_ns / 1'000'000'000, .tv_nsec = wait_ns % 1'000'000'000};
      std::array<epoll_event, 256> events = {};
      const int count = ::epoll_pwait2(epoll_, events.data(), static_cast<int>(events.size()), &timeout, nullptr);
      for (int at = 0; at < count; ++at) on_event(events[static_cast<std::size_t>(at)]);
      while (!due_.empty() && due_.top().at_ns <= now_ns()) {
        const Due due = due_.top();
        due_.pop();
        on_due(due);
      }
    }
  }

 private:
  void watch(int fd, std::uint32_t events) {
    epoll_event event = {};
    event.events = events;
    event.data.fd = fd;
    ::epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event);
  }

  void on_event(const epoll_event& event) {
    if (event.data.fd == listener_) return accept_all();
    Connection* connection = find(event.data.fd);
    if (connection == nullptr) return;
    if ((event.events & EPOLLOUT) != 0) flush(*connection);
    if ((event.events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0 && !read(*connection)) {
      ::close(connection->fd);
      connections_[static_cast<std::size_t>(event.data.fd)].reset();
    }
  }

  Connection* find(int fd) {
    const auto at = static_cast<std::size_t>(fd);
    return at < connections_.size() ? connections_[at].get() : nullptr;
  }

  void accept_all() {
    for (int fd = 0; (fd = ::accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;) {
      const int on = 1;
      ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
      if (connections_.size() <= static_cast<std::size_t>(fd)) connections_.resize(static_cast<std::size_t>(fd) + 1);
      connections_[static_cast<std::size_t>(fd)] = std::make_unique<Connection>();
      connections_[static_cast<std::size_t>(fd)]->fd = fd;
      watch(fd, EPOLLIN | EPOLLOUT | EPOLLET);
    }
  }

  bool read(Connection& connection) {
    for (;;) {
      const ssize_t got = ::recv(connection.fd, scratch_.data(), scratch_.size(), 0);
      if (got < 0 && errno == EAGAIN) return true;
      if (got <= 0) return false;
      connection.in.append(scratch_.data(), static_cast<std::size_t>(got));
      while (take_request(connection)) {
      }
      flush(connection);
    }
  }

  // False: more is needed.
  bool take_request(Connection& connection) {
    const std::size_t size = gateway::HeadParser::head_size(connection.in, 0);
    if (size == 0) return false;
    if (parser_.parse_request(std::string_view(connection.in).substr(0, size)).is_fault()) std::exit(1);
    const std::uint64_t body = parser_.request().content_length;
    if (body > kMaxBody) std::exit(1);
    if (connection.in.size() < size + body) return false;
    answer(connection, std::string_view(connection.in).substr(size, body));
    connection.in.erase(0, size + body);
    return true;
  }

  void answer(Connection& connection, std::string_view body) {
    const std::string_view start = body.substr(0, 256);  // Where our load generator puts what matters.
    if (start.find("\"stream\":true") == std::string_view::npos) {
      connection.out += kAnswer;
      return;
    }
    const std::size_t at = start.find("\"max_tokens\":");
    connection.tokens_left =
        at == std::string_view::npos ? 16 : std::max(1L, std::atol(std::string(start.substr(at + 13)).c_str()));
    connection.out += kStreamHead;
    due_.push({now_ns() + every_ns_, connection.fd, ++streams_});
    if (stream_of_.size() <= static_cast<std::size_t>(connection.fd)) {
      stream_of_.resize(static_cast<std::size_t>(connection.fd) + 1);
    }
    stream_of_[static_cast<std::size_t>(connection.fd)] = streams_;
  }

  void on_due(const Due& due) {
    Connection* connection = find(due.fd);
    if (connection == nullptr || stream_of_[static_cast<std::size_t>(due.fd)] != due.stream) return;
    constexpr std::string_view kEvent =
        "data: "
        "{\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"word "
        "\"}}]}\n\n";
    connection->out += fmt::format("{:x}\r\n{}\r\n", kEvent.size(), kEvent);
    if (--connection->tokens_left > 0) {
      due_.push({due.at_ns + every_ns_, due.fd, due.stream});
    } else {
      connection->out += "e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n";
    }
    flush(*connection);
  }

  void flush(Connection& connection) {
    while (!connection.out.empty()) {
      const ssize_t sent = ::send(connection.fd, connection.out.data(), connection.out.size(), MSG_NOSIGNAL);
      if (sent <= 0) return;
      connection.out.erase(0, static_cast<std::size_t>(sent));
    }
  }

  int listener_;
  std::int64_t every_ns_;
  int epoll_ = -1;
  std::vector<std::unique_ptr<Connection>> connections_ = {};
  std::vector<std::uint64_t> stream_of_ = {};
  std::uint64_t streams_ = 0;
  std::priority_queue<Due, std::vector<Due>, std::greater<>> due_ = {};
  gateway::HeadParser parser_ = {};
  std::array<char, 262144> scratch_ = {};
};

}  // namespace

int main(int argc, char** argv) {
  const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  const int on = 1;
  ::setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(argc > 1 ? std::atoi(argv[1]) : 0));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  if (::bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 || ::listen(listener, 65535) != 0 ||
      ::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &length) != 0) {
    std::perror("gateway_backend: cannot listen");
    return 1;
  }
  fmt::print("{}\n", ntohs(address.sin_port));
  std::fflush(stdout);
  const char* every = std::getenv("EVENT_US");
  Backend(listener, std::int64_t{every == nullptr ? 10'000 : std::atol(every)} * 1'000).run();
}
