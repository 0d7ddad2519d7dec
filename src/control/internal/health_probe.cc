#include "control/internal/health_probe.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <string_view>
#include <utility>

#include "base/text.h"

namespace busbar::control {
namespace {

constexpr std::size_t kMaxStatusLine = 256;
constexpr std::size_t kReadBytes = 1'024;

struct SocketAddress {
  sockaddr_storage storage = {};
  socklen_t size = 0;
};

std::optional<SocketAddress> parse_address(const std::string& text, std::uint16_t port) {
  SocketAddress address;
  auto* v4 = reinterpret_cast<sockaddr_in*>(&address.storage);
  auto* v6 = reinterpret_cast<sockaddr_in6*>(&address.storage);
  if (::inet_pton(AF_INET, text.c_str(), &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(port);
    address.size = sizeof(sockaddr_in);
    return address;
  }
  if (::inet_pton(AF_INET6, text.c_str(), &v6->sin6_addr) == 1) {
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(port);
    address.size = sizeof(sockaddr_in6);
    return address;
  }
  return std::nullopt;
}

tl::unexpected<Error> failed(std::string message) {
  return make_error(ErrorCode::kUnavailable, std::move(message));
}

/// "HTTP/1.1 204 No Content" -> 204; 0: no such line.
std::int64_t status_of(std::string_view line) {
  if (!line.starts_with("HTTP/1.") || line.size() < 12 || line[8] != ' ') return 0;
  return parse_int(line.substr(9, 3)).value_or(0);
}

}  // namespace

void HealthProbe::cancel() {
  fd_.reset();
  http2_.reset();
}

HealthProbe::Outcome HealthProbe::end(Outcome outcome) {
  cancel();
  return outcome;
}

std::optional<HealthProbe::Outcome> HealthProbe::begin(const HealthTarget& target) {
  where_ = fmt::format("{}:{}{}", target.address, target.port, target.path);
  is_sent_ = false;
  answer_.clear();
  request_.clear();
  if (target.grpc_service || (target.protocol == model::ReplicaProtocol::kHttp2 && !target.path.empty())) {
    http2_ = std::make_unique<Http2Check>(target, where_);
    request_ = http2_->take_output();
  } else if (!target.path.empty()) {
    request_ = fmt::format("GET {} HTTP/1.1\r\nHost: {}:{}\r\nUser-Agent: busbar-health\r\nConnection: close\r\n\r\n",
                           target.path, target.address, target.port);
  }
  const auto address = parse_address(target.address, target.port);
  if (!address) return end(failed(fmt::format("\"{}\" is no address", target.address)));
  fd_ = os::UniqueFd(::socket(address->storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd_.is_valid()) return end(failed(fmt::format("no socket: {}", std::strerror(errno))));
  // A closed check must not keep the port pair in TIME_WAIT: checks are many.
  const linger at_once{.l_onoff = 1, .l_linger = 0};
  ::setsockopt(fd_.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  if (::connect(fd_.get(), reinterpret_cast<const sockaddr*>(&address->storage), address->size) == 0) {
    return connected();
  }
  if (errno == EINPROGRESS) return std::nullopt;
  return end(failed(fmt::format("{}: {}", where_, std::strerror(errno))));
}

std::optional<HealthProbe::Outcome> HealthProbe::advance() {
  if (is_sent_) return read_answer();
  int error = 0;
  socklen_t size = sizeof error;
  ::getsockopt(fd_.get(), SOL_SOCKET, SO_ERROR, &error, &size);
  if (error != 0) return end(failed(fmt::format("{}: {}", where_, std::strerror(error))));
  return connected();
}

std::optional<HealthProbe::Outcome> HealthProbe::connected() {
  if (request_.empty()) return end({});
  is_sent_ = true;
  return send(request_);
}

std::optional<HealthProbe::Outcome> HealthProbe::send(std::string_view bytes) {
  if (bytes.empty()) return std::nullopt;
  // A fresh socket's buffer takes a few hundred bytes whole.
  const ssize_t sent = ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
  if (sent == static_cast<ssize_t>(bytes.size())) return std::nullopt;
  return end(failed(fmt::format("{}: cannot send: {}", where_, std::strerror(errno))));
}

std::optional<HealthProbe::Outcome> HealthProbe::read_answer() {
  std::array<char, kReadBytes> buffer{};
  const ssize_t got = ::recv(fd_.get(), buffer.data(), buffer.size(), 0);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return std::nullopt;
  if (got < 0) return end(failed(fmt::format("{}: {}", where_, std::strerror(errno))));
  const std::string_view bytes(buffer.data(), static_cast<std::size_t>(got));
  if (http2_ == nullptr) return read_status_line(bytes);
  if (auto outcome = http2_->feed(bytes)) return end(*std::move(outcome));
  return send(http2_->take_output());
}

std::optional<HealthProbe::Outcome> HealthProbe::read_status_line(std::string_view bytes) {
  answer_.append(bytes);
  const std::size_t line_end = answer_.find('\n');
  if (line_end == std::string::npos && !bytes.empty() && answer_.size() < kMaxStatusLine) return std::nullopt;
  const std::int64_t status = status_of(std::string_view(answer_).substr(0, line_end));
  if (status == 0) return end(failed(fmt::format("{}: the answer is not HTTP", where_)));
  if (status < 200 || status > 299) return end(failed(fmt::format("{} answers {}", where_, status)));
  return end({});
}

}  // namespace busbar::control
