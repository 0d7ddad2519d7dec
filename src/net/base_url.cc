#include "net/internal/base_url.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <system_error>

#include "base/text.h"
#include "net/internal/errno_text.h"
#include "net/internal/host_policy.h"

namespace busbar::net {
namespace {

tl::unexpected<Error> bad_url(std::string_view text) {
  return make_error(ErrorCode::kInvalidArgument, "the server address \"" + std::string(text) +
                                                     "\" is not http://host:port, https://host:port or unix:/path");
}

/// 0 or an errno. `fd` is non-blocking.
int connect_within(int fd, const sockaddr* address, socklen_t size, std::int64_t timeout_ms) {
  if (::connect(fd, address, size) == 0) return 0;
  if (errno != EINPROGRESS) return errno;
  pollfd wait{.fd = fd, .events = POLLOUT, .revents = 0};
  int ready = 0;
  do {
    ready = ::poll(&wait, 1, static_cast<int>(timeout_ms));
  } while (ready < 0 && errno == EINTR);
  if (ready == 0) return ETIMEDOUT;
  int error = 0;
  socklen_t error_size = sizeof error;
  ::getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &error_size);
  return error;
}

Result<int> connect_one(const BaseUrl& url, int family, const sockaddr* address, socklen_t size,
                        std::int64_t timeout_ms) {
  const int fd = ::socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return tl::unexpected(unreachable_error(url, errno_text(errno)));
  if (const int error = connect_within(fd, address, size, timeout_ms); error != 0) {
    ::close(fd);
    return tl::unexpected(unreachable_error(url, errno_text(error)));
  }
  const int on = 1;
  if (family != AF_UNIX) ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return fd;
}

Result<int> connect_unix(const BaseUrl& url, std::int64_t timeout_ms) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (url.unix_path.size() >= sizeof address.sun_path) {
    return make_error(ErrorCode::kInvalidArgument, "the socket path " + url.unix_path + " is too long");
  }
  std::memcpy(address.sun_path, url.unix_path.data(), url.unix_path.size());
  return connect_one(url, AF_UNIX, reinterpret_cast<const sockaddr*>(&address), sizeof address, timeout_ms);
}

}  // namespace

bool BaseUrl::is_local() const {
  return !unix_path.empty() || is_loopback_host(host);
}

std::string BaseUrl::authority() const {
  if (!unix_path.empty()) return "localhost";
  const std::string name = host.find(':') == std::string::npos ? host : "[" + host + "]";
  return name + ":" + std::to_string(port);
}

Result<BaseUrl> parse_base_url(std::string_view text) {
  constexpr std::string_view kUnix = "unix:";
  constexpr std::string_view kHttp = "http://";
  constexpr std::string_view kHttps = "https://";
  BaseUrl url;
  if (text.starts_with(kUnix)) {
    url.unix_path = text.substr(kUnix.size());
    url.host = "localhost";
    if (!url.unix_path.starts_with('/')) return bad_url(text);
    return url;
  }
  url.is_tls = text.starts_with(kHttps);
  if (!url.is_tls && !text.starts_with(kHttp)) return bad_url(text);
  url.port = url.is_tls ? 443 : 80;
  std::string_view rest = text.substr(url.is_tls ? kHttps.size() : kHttp.size());
  const std::size_t slash = rest.find('/');
  if (slash != std::string_view::npos) url.prefix = rest.substr(slash);
  while (url.prefix.ends_with('/')) url.prefix.pop_back();
  rest = rest.substr(0, slash);
  if (rest.find_first_of("@?# ") != std::string_view::npos || url.prefix.find_first_of("?# ") != std::string::npos) {
    return bad_url(text);
  }
  url.host = host_without_port(rest);
  const std::size_t colon = rest.rfind(':');
  const std::size_t bracket = rest.rfind(']');
  if (colon != std::string_view::npos && (bracket == std::string_view::npos || colon > bracket)) {
    const auto port = parse_int(rest.substr(colon + 1));
    if (!port || *port < 1 || *port > 65535) return bad_url(text);
    url.port = static_cast<std::uint16_t>(*port);
  }
  if (url.host.empty()) return bad_url(text);
  return url;
}

Result<int> connect_socket(const BaseUrl& url, std::int64_t timeout_ms) {
  if (!url.unix_path.empty()) return connect_unix(url, timeout_ms);
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const std::string host = url.host == "localhost" ? "127.0.0.1" : url.host;
  if (const int error = ::getaddrinfo(host.c_str(), std::to_string(url.port).c_str(), &hints, &found); error != 0) {
    return tl::unexpected(unreachable_error(url, ::gai_strerror(error)));
  }
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owner(found, &::freeaddrinfo);
  Result<int> result = tl::unexpected(unreachable_error(url, "the name has no address"));
  for (const addrinfo* one = found; one && !result; one = one->ai_next) {
    result = connect_one(url, one->ai_family, one->ai_addr, one->ai_addrlen, timeout_ms);
  }
  return result;
}

Error unreachable_error(const BaseUrl& url, std::string cause) {
  const std::string where = url.unix_path.empty() ? url.authority() : url.unix_path;
  return {.code = ErrorCode::kUnavailable,
          .message = "no server answers at " + where + "; is it running?",
          .cause = std::move(cause),
          .is_retryable = true};
}

}  // namespace busbar::net
