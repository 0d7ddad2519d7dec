#include "gateway/test_peers.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <chrono>
#include <cstring>
#include <utility>

namespace busbar::gateway::testing {
namespace {

constexpr int kDeadlineMs = 20'000;

sockaddr_in loopback(std::uint16_t port) {
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

os::UniqueFd bound_socket() {
  os::UniqueFd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const sockaddr_in address = loopback(0);
  EXPECT_EQ(bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
  return fd;
}

std::uint16_t port_of(int fd) {
  sockaddr_in address = {};
  socklen_t size = sizeof(address);
  getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size);
  return ntohs(address.sin_port);
}

/// The value of a field in a head, or nullopt; names as they are written in these tests, or in small letters.
std::optional<std::string> field(std::string_view head, std::string_view name) {
  std::size_t at = head.find("\r\n" + std::string(name) + ": ");
  if (at == std::string_view::npos) {
    std::string small(name);
    for (char& c : small) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    at = head.find("\r\n" + small + ": ");
  }
  if (at == std::string_view::npos) return std::nullopt;
  const std::string_view rest = head.substr(at + name.size() + 4);
  return std::string(rest.substr(0, rest.find("\r\n")));
}

}  // namespace

Peer Peer::connect(std::uint16_t port) {
  os::UniqueFd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const sockaddr_in address = loopback(port);
  EXPECT_EQ(::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
  return Peer(std::move(fd));
}

void Peer::send(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t count = ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (count <= 0) return;  // The other side has had enough; the test looks at what it said.
    bytes.remove_prefix(static_cast<std::size_t>(count));
  }
}

std::string Peer::read_some() {
  if (!kept_.empty()) return std::exchange(kept_, {});
  pollfd entry = {.fd = fd_.get(), .events = POLLIN, .revents = 0};
  if (poll(&entry, 1, kDeadlineMs) != 1) {
    ADD_FAILURE() << "nothing came within 20 s";
    return {};
  }
  char bytes[64 << 10];
  const ssize_t count = recv(fd_.get(), bytes, sizeof(bytes), 0);
  return count <= 0 ? std::string() : std::string(bytes, static_cast<std::size_t>(count));
}

std::string Peer::read_to_end() {
  std::string all;
  while (true) {
    const std::string bytes = read_some();
    if (bytes.empty()) return all;
    all += bytes;
  }
}

std::string Peer::read_until(std::string_view mark) {
  std::string all;
  while (all.find(mark) == std::string::npos) {
    const std::string bytes = read_some();
    if (bytes.empty()) return all;
    all += bytes;
  }
  const std::size_t end = all.find(mark) + mark.size();
  kept_ = all.substr(end) + kept_;
  return all.substr(0, end);
}

std::string Peer::read_exactly(std::size_t count) {
  std::string all;
  while (all.size() < count) {
    const std::string bytes = read_some();
    if (bytes.empty()) return all;
    all += bytes;
  }
  kept_ = all.substr(count) + kept_;
  return all.substr(0, count);
}

std::string Peer::read_message() {
  std::string head = read_until("\r\n\r\n");
  if (const auto length = field(head, "Content-Length")) {
    std::size_t size = 0;
    std::from_chars(length->data(), length->data() + length->size(), size);
    return head + read_exactly(size);
  }
  if (field(head, "Transfer-Encoding")) return head + read_until("0\r\n\r\n");
  return head;
}

void Peer::finish_sending() {
  shutdown(fd_.get(), SHUT_WR);
}

void Peer::reset() {
  const linger now = {.l_onoff = 1, .l_linger = 0};
  setsockopt(fd_.get(), SOL_SOCKET, SO_LINGER, &now, sizeof(now));
  fd_.reset();
}

Backend::Backend(Serve serve) : serve_(std::move(serve)), stop_(*os::EventFd::create()) {
  listener_ = bound_socket();
  EXPECT_EQ(listen(listener_.get(), 512), 0);
  port_ = port_of(listener_.get());
  acceptor_ = std::thread([this] { accept_all(); });
}

Backend::~Backend() {
  stop_.set();
  acceptor_.join();
  {
    const std::lock_guard lock(mutex_);
    for (const int fd : open_) shutdown(fd, SHUT_RDWR);
  }
  for (std::thread& thread : threads_) thread.join();
}

std::size_t Backend::connections() const {
  const std::lock_guard lock(mutex_);
  return threads_.size();
}

void Backend::accept_all() {
  while (true) {
    pollfd entries[2] = {{.fd = listener_.get(), .events = POLLIN, .revents = 0},
                         {.fd = stop_.fd(), .events = POLLIN, .revents = 0}};
    poll(entries, 2, -1);
    if ((entries[1].revents & POLLIN) != 0) return;
    const int fd = accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC);
    if (fd < 0) continue;
    const std::lock_guard lock(mutex_);
    open_.push_back(fd);
    threads_.emplace_back([this, fd] {
      {
        Peer peer{os::UniqueFd(fd)};
        serve_(peer);
        const std::lock_guard inner(mutex_);
        std::erase(open_, fd);
      }
    });
  }
}

Backend::Serve answers(std::string body) {
  return [body = std::move(body)](Peer& peer) {
    while (!peer.read_message().empty()) {
      peer.send("HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body);
    }
  };
}

Backend::Serve echoes() {
  return [](Peer& peer) {
    while (true) {
      const std::string request = peer.read_message();
      if (request.empty()) return;
      peer.send("HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(request.size()) + "\r\n\r\n" + request);
    }
  };
}

std::uint16_t closed_port() {
  // Bound but never listening: taken, and refusing.
  static const os::UniqueFd fd = bound_socket();
  return port_of(fd.get());
}

}  // namespace busbar::gateway::testing
