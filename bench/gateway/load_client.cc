#include "load_client.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <utility>

#include <fmt/format.h>

#include "os/errno_error.h"

namespace busbar::bench {
namespace {

constexpr std::int64_t kSecond = 1'000'000'000;
/// After the last request was due: an answer that takes longer counts as lost.
constexpr std::int64_t kPatienceNs = 60 * kSecond;
/// Connections that are being opened at once: more would overflow the listener's backlog.
constexpr std::size_t kOpening = 256;
/// About four characters of English a token.
constexpr std::size_t kBytesPerToken = 4;

}  // namespace

LoadClient::LoadClient(const LoadOptions& options, std::vector<Arrival> arrivals)
    : options_(options), arrivals_(std::move(arrivals)) {}

LoadClient::~LoadClient() {
  for (const int fd : fds_) {
    if (fd >= 0) ::close(fd);
  }
}

std::int64_t LoadClient::now_ns() const {
  return std::chrono::steady_clock::now().time_since_epoch().count() - begin_ns_;
}

Result<void> LoadClient::run() {
  epoll_ = os::UniqueFd(::epoll_create1(EPOLL_CLOEXEC));
  if (epoll_.get() < 0) return tl::unexpected(os::errno_error("epoll_create1", errno));
  if (auto held = hold_connections(); !held) return held;
  return play_arrivals();
}

Result<void> LoadClient::hold_connections() {
  begin_ns_ = 0;
  begin_ns_ = now_ns();
  std::int64_t told_ns = 0;
  std::uint64_t begun = 0;
  while (begun < options_.hold || open_ > idle_.size()) {
    while (begun < options_.hold && open_ - idle_.size() < kOpening) {
      const auto connection = open();
      if (!connection) return tl::unexpected(connection.error());
      ++begun;
      send_on(*connection, {.due_ns = now_ns()}, false, true);
    }
    if (auto polled = poll(now_ns() + kSecond); !polled) return polled;
    if (now_ns() - told_ns >= kSecond) {
      told_ns = now_ns();
      fmt::print(stderr, "load: {} of {} connections open and served\n", idle_.size(), options_.hold);
    }
  }
  outcome_.open_s = static_cast<double>(now_ns()) / kSecond;
  return {};
}

Result<void> LoadClient::play_arrivals() {
  if (options_.waits_for_start) {
    // Whoever started several of us says when all have what they hold.
    fmt::print(stderr, "ready\n");
    static_cast<void>(std::getchar());
  }
  begin_ns_ += now_ns();
  std::size_t next = 0;
  const std::int64_t end_ns = (arrivals_.empty() ? 0 : arrivals_.back().due_ns) + kPatienceNs;
  const auto is_busy = [&] { return next < arrivals_.size() || !waiting_.empty() || open_ > idle_.size(); };
  while (is_busy() && now_ns() < end_ns) {
    for (; next < arrivals_.size() && arrivals_[next].due_ns <= now_ns(); ++next) waiting_.push_back(arrivals_[next]);
    while (!waiting_.empty() && (!idle_.empty() || open_ < options_.connections)) {
      const Arrival arrival = waiting_.front();
      waiting_.pop_front();
      if (auto sent = dispatch(arrival); !sent) return sent;
    }
    if (auto polled = poll(next < arrivals_.size() ? arrivals_[next].due_ns : end_ns); !polled) return polled;
  }
  outcome_.seconds = static_cast<double>(now_ns()) / kSecond;
  // Whoever has no answer yet is not going to get one.
  outcome_.broken += waiting_.size() + (open_ - idle_.size());
  return {};
}

// From the front and back to the end: held connections take turns, so that each is used.
Result<void> LoadClient::dispatch(const Arrival& arrival) {
  ++outcome_.sent;
  if (idle_.empty()) {
    const auto connection = open();
    if (!connection) return tl::unexpected(connection.error());
    send_on(*connection, arrival, false, false);
    return {};
  }
  const std::uint32_t connection = idle_.front();
  idle_.pop_front();
  send_on(connection, arrival, true, false);
  return {};
}

Result<void> LoadClient::poll(std::int64_t until_ns) {
  std::array<epoll_event, 512> events = {};
  const std::int64_t wait_ns = std::max<std::int64_t>(0, until_ns - now_ns());
  const timespec timeout = {.tv_sec = wait_ns / kSecond, .tv_nsec = wait_ns % kSecond};
  const int count = ::epoll_pwait2(epoll_.get(), events.data(), static_cast<int>(events.size()), &timeout, nullptr);
  if (count < 0 && errno != EINTR) return tl::unexpected(os::errno_error("epoll_pwait2", errno));
  for (int at = 0; at < count; ++at)
    on_ready(events[static_cast<std::size_t>(at)].data.u32, events[static_cast<std::size_t>(at)].events);
  return {};
}

Result<std::uint32_t> LoadClient::open() {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return tl::unexpected(os::errno_error(fmt::format("socket, with {} open", open_), errno));
  const int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (options_.hold > 0) {
    // The port is chosen at connect(), when the whole four-tuple is known: more than one to a port and address.
    ::setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    sockaddr_in from = {};
    from.sin_family = AF_INET;
    from.sin_addr.s_addr = htonl((INADDR_LOOPBACK & ~255U) + options_.first_source +
                                 static_cast<std::uint32_t>(opened_ever_ % options_.sources));
    if (::bind(fd, reinterpret_cast<sockaddr*>(&from), sizeof from) != 0) {
      const Error error = os::errno_error("bind of a source address", errno);
      ::close(fd);
      return tl::unexpected(error);
    }
  }
  ++opened_ever_;
  sockaddr_in to = {};
  to.sin_family = AF_INET;
  to.sin_port = htons(options_.port);
  if (::inet_pton(AF_INET, options_.host.c_str(), &to.sin_addr) != 1) {
    ::close(fd);
    return make_error(ErrorCode::kInvalidArgument, fmt::format("\"{}\" is no IPv4 address", options_.host));
  }
  if (::connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof to) != 0 && errno != EINPROGRESS) {
    const Error error = os::errno_error(fmt::format("connect, with {} open", open_), errno);
    ::close(fd);
    return tl::unexpected(error);
  }
  std::uint32_t slot = static_cast<std::uint32_t>(fds_.size());
  if (free_connections_.empty()) {
    fds_.push_back(fd);
    under_way_.push_back(kNone);
  } else {
    slot = free_connections_.back();
    free_connections_.pop_back();
    fds_[slot] = fd;
  }
  epoll_event event = {};
  event.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
  event.data.u32 = slot;
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event);
  outcome_.most_open = std::max(outcome_.most_open, ++open_);
  return slot;
}

std::string LoadClient::request_text(const Arrival& arrival) const {
  if (options_.model.empty() && options_.body_bytes == 0) {
    return fmt::format("GET {} HTTP/1.1\r\nHost: {}\r\n\r\n", options_.path, options_.host_header);
  }
  std::string body;
  if (options_.model.empty()) {
    body.assign(options_.body_bytes, 'x');
  } else {
    body = fmt::format(R"({{"model":"{}","stream":{},"max_tokens":{},"messages":[{{"role":"user","content":"{}"}}]}})",
                       options_.model, options_.is_stream, std::max(1U, arrival.output_tokens),
                       std::string(arrival.prompt_tokens * kBytesPerToken, 'x'));
  }
  const std::string_view path = options_.model.empty() ? std::string_view(options_.path) : "/v1/chat/completions";
  return fmt::format("POST {} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{}",
                     path, options_.host_header, body.size(), body);
}

void LoadClient::send_on(std::uint32_t connection, const Arrival& arrival, bool is_connected, bool is_opening) {
  if (free_exchanges_.empty()) {
    free_exchanges_.push_back(static_cast<std::uint32_t>(exchanges_.size()));
    exchanges_.push_back(std::make_unique<Exchange>());
  }
  under_way_[connection] = free_exchanges_.back();
  free_exchanges_.pop_back();
  Exchange& exchange = *exchanges_[under_way_[connection]];
  exchange = Exchange{};
  exchange.arrival = arrival;
  exchange.connection = connection;
  exchange.is_connected = is_connected;
  exchange.is_opening = is_opening;
  exchange.out = request_text(arrival);
  if (!is_opening) outcome_.late.record(now_ns() - arrival.due_ns);
  if (is_connected) write(exchange);
}

void LoadClient::on_ready(std::uint32_t connection, std::uint32_t events) {
  if (fds_[connection] < 0) return;
  if (under_way_[connection] == kNone) {
    if ((events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) {
      const auto at = std::find(idle_.begin(), idle_.end(), connection);
      if (at != idle_.end()) idle_.erase(at);
      if (options_.hold > 0) ++outcome_.lost_idle;
      close(connection, false);
    }
    return;
  }
  Exchange& exchange = *exchanges_[under_way_[connection]];
  if ((events & EPOLLERR) != 0) return close(connection, true);
  if ((events & EPOLLOUT) != 0) {
    exchange.is_connected = true;
    write(exchange);
  }
  if ((events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP)) != 0) read(connection);
}

void LoadClient::write(Exchange& exchange) {
  while (exchange.written < exchange.out.size()) {
    const ssize_t sent = ::send(fds_[exchange.connection], exchange.out.data() + exchange.written,
                                exchange.out.size() - exchange.written, MSG_NOSIGNAL);
    if (sent <= 0) return;  // Full, or broken: reading says so.
    exchange.written += static_cast<std::size_t>(sent);
  }
}

void LoadClient::read(std::uint32_t connection) {
  for (;;) {
    const ssize_t got = ::recv(fds_[connection], scratch_.data(), scratch_.size(), 0);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == EAGAIN) return;
    Exchange& exchange = *exchanges_[under_way_[connection]];
    if (got <= 0) {
      const bool is_end = got == 0 && exchange.is_head_done && exchange.framing == gateway::Framing::kUntilClose;
      if (is_end) finish(connection);
      return close(connection, !is_end);
    }
    if (!take(exchange, {scratch_.data(), static_cast<std::size_t>(got)})) return close(connection, true);
    if (is_complete(exchange)) {
      const bool is_kept = exchange.keeps_alive;
      finish(connection);
      if (!is_kept) return close(connection, false);
      idle_.push_back(connection);
      return;
    }
  }
}

bool LoadClient::take(Exchange& exchange, std::string_view bytes) {
  if (!exchange.is_head_done && !take_head(exchange, bytes)) return false;
  return !exchange.is_head_done || take_body(exchange, bytes);
}

bool LoadClient::take_head(Exchange& exchange, std::string_view& bytes) {
  const std::size_t known = exchange.head.size();
  exchange.head.append(bytes);
  const std::size_t size = gateway::HeadParser::head_size(exchange.head, known);
  if (size == 0) return exchange.head.size() < gateway::kMaxHeadBytes;
  if (parser_.parse_response(std::string_view(exchange.head).substr(0, size)).is_fault()) return false;
  const gateway::ResponseHead& head = parser_.response();
  bytes.remove_prefix(size - known);
  exchange.is_head_done = true;
  exchange.status = head.status;
  exchange.framing = head.framing;
  exchange.left = head.content_length;
  exchange.keeps_alive = head.keeps_alive;
  return true;
}

bool LoadClient::take_body(Exchange& exchange, std::string_view bytes) {
  if (exchange.framing == gateway::Framing::kLength) {
    if (bytes.size() > exchange.left) return false;
    exchange.left -= bytes.size();
    count_content(exchange, bytes);
    return true;
  }
  if (exchange.framing != gateway::Framing::kChunked) {
    count_content(exchange, bytes);
    return true;
  }
  while (!bytes.empty() && !exchange.chunks.is_done() && !exchange.chunks.is_broken()) {
    const gateway::ChunkScanner::Piece piece = exchange.chunks.step(bytes);
    count_content(exchange, piece.payload);
    bytes.remove_prefix(piece.bytes);
  }
  return bytes.empty() && !exchange.chunks.is_broken();
}

void LoadClient::count_content(Exchange& exchange, std::string_view content) {
  if (content.empty() || exchange.is_opening) return;
  const std::int64_t now = now_ns();
  if (exchange.first_ns == 0) {
    exchange.first_ns = now;
    outcome_.first.record(now - exchange.arrival.due_ns);
  }
  if (!options_.is_stream) return;
  for (std::size_t at = content.find("data: "); at != std::string_view::npos; at = content.find("data: ", at + 6)) {
    ++outcome_.events;
    if (exchange.event_ns != 0) outcome_.gap.record(now - exchange.event_ns);
    exchange.event_ns = now;
  }
}

bool LoadClient::is_complete(const Exchange& exchange) const {
  if (!exchange.is_head_done) return false;
  switch (exchange.framing) {
    case gateway::Framing::kNone:
      return true;
    case gateway::Framing::kLength:
      return exchange.left == 0;
    case gateway::Framing::kChunked:
      return exchange.chunks.is_done();
    case gateway::Framing::kUntilClose:
      return false;
  }
  return false;
}

void LoadClient::finish(std::uint32_t connection) {
  const Exchange& exchange = *exchanges_[under_way_[connection]];
  const bool is_good = exchange.status >= 200 && exchange.status < 300;
  if (!is_good) ++outcome_.refused[exchange.status];
  if (is_good && !exchange.is_opening) {
    ++outcome_.answered;
    const std::int64_t took_ns = now_ns() - exchange.arrival.due_ns;
    if (took_ns > 0 && static_cast<double>(took_ns) / 1000 > outcome_.total.most_us())
      outcome_.slowest_due_s = static_cast<double>(exchange.arrival.due_ns) / kSecond;
    outcome_.total.record(took_ns);
  }
  free_exchanges_.push_back(under_way_[connection]);
  under_way_[connection] = kNone;
}

void LoadClient::close(std::uint32_t connection, bool is_broken) {
  if (is_broken) ++outcome_.broken;
  if (under_way_[connection] != kNone) {
    free_exchanges_.push_back(under_way_[connection]);
    under_way_[connection] = kNone;
  }
  ::close(fds_[connection]);
  fds_[connection] = -1;
  free_connections_.push_back(connection);
  --open_;
}

}  // namespace busbar::bench
