// A service for tests and examples: answers HTTP/1.1 on $PORT. One thread, poll; keeps connections open.
//   GET /healthz      204, or 503 for the first $NOT_READY_MS milliseconds, or always where $NEVER_READY is set
//   GET /slow?ms=N    "slow" after N milliseconds; other requests are answered meanwhile
//   GET /fail         500
//   GET /exit?code=N  ends the process
//   anything else     method, path, the replica's name and the body; after $SLOW_MS milliseconds, if that is set
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

struct Request {
  std::string method = {};
  std::string path = {};
  std::string body = {};
};

struct Connection {
  int fd = -1;
  std::string in = {};
  std::string out = {};
  std::optional<Clock::time_point> slow_until = {};
  std::string slow_body = {};  ///< Of the answer that is given then.
  bool is_closed = false;
};

std::string environment(const char* name, const char* fallback) {
  const char* value = std::getenv(name);
  return value == nullptr ? fallback : value;
}

long number_after(std::string_view text, std::string_view key) {
  const std::size_t at = text.find(key);
  return at == std::string_view::npos ? 0 : std::atol(std::string(text.substr(at + key.size())).c_str());
}

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return std::tolower(c); });
  return text;
}

/// Takes one whole request off the front of `in`; chunked bodies are not understood.
std::optional<Request> take_request(std::string& in) {
  const std::size_t end = in.find("\r\n\r\n");
  if (end == std::string::npos) return std::nullopt;
  const std::string head = lower(in.substr(0, end));
  const auto length = static_cast<std::size_t>(std::max(0L, number_after(head, "\r\ncontent-length:")));
  if (in.size() < end + 4 + length) return std::nullopt;
  Request request;
  const std::size_t space = in.find(' ');
  const std::size_t second = in.find(' ', space + 1);
  if (space != std::string::npos && second != std::string::npos && second < end) {
    request.method = in.substr(0, space);
    request.path = in.substr(space + 1, second - space - 1);
  }
  request.body = in.substr(end + 4, length);
  in.erase(0, end + 4 + length);
  return request;
}

void answer(Connection& connection, int status, const std::string& body) {
  connection.out += "HTTP/1.1 " + std::to_string(status) +
                    " X\r\nContent-Type: text/plain\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" +
                    body;
}

void answer_later(Connection& connection, milliseconds after, const std::string& body) {
  connection.slow_until = Clock::now() + after;
  connection.slow_body = body;
}

void handle(Connection& connection, const Request& request, Clock::time_point started) {
  static const std::string kName = environment("BUSBAR_JOB_NAME", "echo");
  static const bool kIsNeverReady = !environment("NEVER_READY", "").empty();
  static const milliseconds kNotReady(std::atol(environment("NOT_READY_MS", "0").c_str()));
  static const milliseconds kSlow(std::atol(environment("SLOW_MS", "0").c_str()));
  const std::string_view path = request.path;
  if (path == "/healthz") {
    const bool is_ready = !kIsNeverReady && Clock::now() - started >= kNotReady;
    return answer(connection, is_ready ? 200 : 503, is_ready ? "ok\n" : "not yet\n");
  }
  if (path.starts_with("/exit")) std::_Exit(static_cast<int>(number_after(path, "code=")));
  if (path.starts_with("/fail")) return answer(connection, 500, "as asked\n");
  if (path.starts_with("/slow")) return answer_later(connection, milliseconds(number_after(path, "ms=")), "slow\n");
  const std::string body =
      request.method + " " + request.path + " by " + kName + " " + environment("VERSION", "1") + "\n" + request.body;
  kSlow.count() > 0 ? answer_later(connection, kSlow, body) : answer(connection, 200, body);
}

int listen_on(int port) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  const int on = 1;
  ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_ANY);
  if (fd < 0 || ::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 || ::listen(fd, 1024) != 0) {
    std::perror("cannot listen");
    std::exit(1);
  }
  return fd;
}

void read_from(Connection& connection) {
  char buffer[16384];
  const ssize_t got = ::recv(connection.fd, buffer, sizeof buffer, 0);
  if (got > 0) connection.in.append(buffer, static_cast<std::size_t>(got));
  if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) connection.is_closed = true;
}

void write_to(Connection& connection) {
  const ssize_t sent = ::send(connection.fd, connection.out.data(), connection.out.size(), MSG_NOSIGNAL);
  if (sent > 0) connection.out.erase(0, static_cast<std::size_t>(sent));
  if (sent < 0 && errno != EAGAIN && errno != EINTR) connection.is_closed = true;
}

int timeout_of(const std::list<Connection>& connections) {
  int timeout = -1;
  for (const Connection& one : connections) {
    if (!one.slow_until) continue;
    const auto left = std::chrono::ceil<milliseconds>(*one.slow_until - Clock::now()).count();
    const int at = static_cast<int>(std::max<std::int64_t>(0, left));
    timeout = timeout < 0 ? at : std::min(timeout, at);
  }
  return timeout;
}

}  // namespace

int main() {
  const auto started = Clock::now();
  const int listener = listen_on(std::atoi(environment("PORT", "8080").c_str()));
  std::signal(SIGTERM, [](int) { std::_Exit(0); });
  std::list<Connection> connections;
  for (;;) {
    std::vector<pollfd> fds = {{.fd = listener, .events = POLLIN, .revents = 0}};
    for (const Connection& one : connections) {
      const short events = static_cast<short>(one.out.empty() ? POLLIN : POLLIN | POLLOUT);
      fds.push_back({.fd = one.fd, .events = events, .revents = 0});
    }
    if (::poll(fds.data(), fds.size(), timeout_of(connections)) < 0 && errno != EINTR) return 1;
    std::size_t at = 1;
    for (Connection& one : connections) {
      if ((fds[at++].revents & (POLLIN | POLLHUP | POLLERR)) != 0) read_from(one);
      if (one.slow_until && *one.slow_until <= Clock::now()) {
        one.slow_until.reset();
        answer(one, 200, one.slow_body);
      }
      while (!one.slow_until) {
        const auto request = take_request(one.in);
        if (!request) break;
        handle(one, *request, started);
      }
      if (!one.out.empty()) write_to(one);
      if (one.is_closed) ::close(one.fd);
    }
    connections.remove_if([](const Connection& one) { return one.is_closed; });
    for (int fd = 0; (fd = ::accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;) {
      connections.push_back({.fd = fd});
    }
  }
}
