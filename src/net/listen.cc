#include "net/internal/listen.h"
#include "net/internal/errno_text.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

namespace busbar::net {
namespace {

constexpr int kBacklog = 4096;  // the kernel caps it at net.core.somaxconn

tl::unexpected<Error> listen_error(const std::string& where, int error) {
  const ErrorCode code = error == EADDRINUSE                         ? ErrorCode::kAlreadyExists
                         : error == EACCES || error == EPERM         ? ErrorCode::kPermissionDenied
                         : error == EADDRNOTAVAIL || error == ENOENT ? ErrorCode::kInvalidArgument
                                                                     : ErrorCode::kUnavailable;
  const std::string hint = error == EADDRINUSE ? "; is another server running? choose another port" : "";
  return make_error(code, "cannot listen on " + where + hint, errno_text(error));
}

Result<ListenSocket> bind_and_listen(ListenSocket socket, const sockaddr* address, socklen_t size,
                                     const std::string& where) {
  if (::bind(socket.fd, address, size) != 0 || ::listen(socket.fd, kBacklog) != 0) return listen_error(where, errno);
  return socket;
}

Result<ListenSocket> new_socket(int family, const std::string& where) {
  ListenSocket socket;
  socket.fd = ::socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (socket.fd < 0) return listen_error(where, errno);
  return socket;
}

/// A socket file that refuses connections is left over from a process that died.
Result<void> remove_stale_socket(const std::string& path, const sockaddr_un& address) {
  struct stat status{};
  if (::lstat(path.c_str(), &status) != 0) return {};
  if (!S_ISSOCK(status.st_mode)) {
    return make_error(ErrorCode::kAlreadyExists,
                      path + " exists and is not a socket; remove it or choose another path");
  }
  TRY_ASSIGN(const ListenSocket probe, new_socket(AF_UNIX, path));
  if (::connect(probe.fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 || errno != ECONNREFUSED) {
    return listen_error(path, EADDRINUSE);
  }
  ::unlink(path.c_str());
  return {};
}

}  // namespace

ListenSocket::ListenSocket(ListenSocket&& other) noexcept
    : fd(std::exchange(other.fd, -1)), port(other.port), unix_path(std::exchange(other.unix_path, {})) {}

ListenSocket& ListenSocket::operator=(ListenSocket&& other) noexcept {
  std::swap(fd, other.fd);
  std::swap(port, other.port);
  std::swap(unix_path, other.unix_path);
  return *this;
}

ListenSocket::~ListenSocket() {
  if (!unix_path.empty()) ::unlink(unix_path.c_str());
  if (fd >= 0) ::close(fd);
}

Result<ListenSocket> listen_tcp(const std::string& address, std::uint16_t port) {
  const std::string where = address + " port " + std::to_string(port);
  const std::string numeric = address == "localhost" ? "127.0.0.1" : address;
  sockaddr_in v4{.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {}, .sin_zero = {}};
  sockaddr_in6 v6{};
  v6.sin6_family = AF_INET6;
  v6.sin6_port = htons(port);
  const bool is_v4 = ::inet_pton(AF_INET, numeric.c_str(), &v4.sin_addr) == 1;
  if (!is_v4 && ::inet_pton(AF_INET6, numeric.c_str(), &v6.sin6_addr) != 1) {
    return make_error(ErrorCode::kInvalidArgument, "\"" + address + "\" is not an IP address to listen on");
  }
  TRY_ASSIGN(ListenSocket socket, new_socket(is_v4 ? AF_INET : AF_INET6, where));
  const int on = 1;
  ::setsockopt(socket.fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  const auto* generic = is_v4 ? reinterpret_cast<const sockaddr*>(&v4) : reinterpret_cast<const sockaddr*>(&v6);
  const socklen_t size = is_v4 ? sizeof v4 : sizeof v6;
  TRY_ASSIGN(socket, bind_and_listen(std::move(socket), generic, size, where));
  sockaddr_storage bound{};
  socklen_t bound_size = sizeof bound;
  if (::getsockname(socket.fd, reinterpret_cast<sockaddr*>(&bound), &bound_size) != 0)
    return listen_error(where, errno);
  socket.port = ntohs(is_v4 ? reinterpret_cast<const sockaddr_in&>(bound).sin_port
                            : reinterpret_cast<const sockaddr_in6&>(bound).sin6_port);
  return socket;
}

Result<ListenSocket> listen_unix(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    return make_error(ErrorCode::kInvalidArgument, "the socket path " + path + " is longer than " +
                                                       std::to_string(sizeof address.sun_path - 1) + " bytes");
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  TRY(remove_stale_socket(path, address));
  TRY_ASSIGN(ListenSocket socket, new_socket(AF_UNIX, path));
  // Linux gives the file the descriptor's mode, so it is never open to others, not even between bind and chmod.
  if (::fchmod(socket.fd, 0600) != 0) return listen_error(path, errno);
  TRY_ASSIGN(socket,
             bind_and_listen(std::move(socket), reinterpret_cast<const sockaddr*>(&address), sizeof address, path));
  socket.unix_path = path;
  return socket;
}

}  // namespace busbar::net
