#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include "net/internal/client_parts.h"
#include "net/internal/errno_text.h"
#include "net/internal/response_parser.h"

namespace busbar::net {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr std::size_t kReadBytes = 64 << 10;

/// When a call has to be over, by the two clocks that it runs under.
struct Limits {
  std::int64_t timeout_ms = 0;  ///< In all; 0: none.
  std::int64_t idle_ms = 0;     ///< Without a byte; 0: none.
  steady_clock::time_point begin = steady_clock::now();
  steady_clock::time_point last_bytes = begin;

  /// For poll(2); -1: for ever.
  int wait_ms() const {
    std::int64_t left = -1;
    const auto now = steady_clock::now();
    const auto shorten = [&](steady_clock::time_point from, std::int64_t limit) {
      if (limit <= 0) return;
      const auto rest = std::chrono::ceil<milliseconds>(from + milliseconds(limit) - now).count();
      left = left < 0 ? std::max<std::int64_t>(rest, 0) : std::min(left, std::max<std::int64_t>(rest, 0));
    };
    shorten(begin, timeout_ms);
    shorten(last_bytes, idle_ms);
    return static_cast<int>(std::min<std::int64_t>(left, 1'000'000'000));
  }
  bool is_over() const { return timeout_ms > 0 && steady_clock::now() >= begin + milliseconds(timeout_ms); }
};

/// Takes the pieces of a body as they come, with status and headers of the answer; false: enough.
using BodySink = std::function<bool(const HttpResponse& head, std::string)>;

class PlainClient final : public HttpClient {
 public:
  PlainClient(HttpClientOptions options, BaseUrl url)
      : options_(std::move(options)), url_(std::move(url)), cancel_fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}
  ~PlainClient() override {
    disconnect();
    if (cancel_fd_ >= 0) ::close(cancel_fd_);
  }

  Result<HttpResponse> request(const ClientRequest& request) override {
    Limits limits{.timeout_ms = request.timeout_ms > 0 ? request.timeout_ms : options_.timeout_ms};
    std::string body;
    bool is_too_big = false;
    const auto collect = [&](const HttpResponse&, std::string bytes) {
      is_too_big = body.size() + bytes.size() > options_.max_response_bytes;
      body += bytes;
      return !is_too_big;
    };
    TRY_ASSIGN(HttpResponse response, perform(request, limits, options_.max_response_bytes, collect));
    if (is_too_big) return tl::unexpected(too_big_error(options_.max_response_bytes));
    response.body = std::move(body);
    return response;
  }

  Result<void> stream(const ClientRequest& request, const std::function<bool(std::string_view)>& on_bytes) override {
    Limits limits{.timeout_ms = request.timeout_ms, .idle_ms = options_.stream_idle_timeout_ms};
    std::string error_body;
    const auto hand_on = [&](const HttpResponse& head, std::string bytes) {
      if (head.is_success()) return on_bytes(bytes);
      error_body += bytes;
      return error_body.size() <= kMaxErrorBodyBytes;
    };
    TRY_ASSIGN(HttpResponse response, perform(request, limits, std::nullopt, hand_on));
    if (response.is_success()) return {};
    response.body = std::move(error_body);
    return tl::unexpected(error_from_response(response));
  }

  void cancel() override {
    is_cancelled_.store(true);
    const std::uint64_t one = 1;
    [[maybe_unused]] const ssize_t written = ::write(cancel_fd_, &one, sizeof one);
  }

 private:
  /// Gives status and headers.
  Result<HttpResponse> perform(const ClientRequest& request, Limits& limits, std::optional<std::size_t> max_body_bytes,
                               const BodySink& on_body) {
    TRY(check_client_target(request.target));
    TRY_ASSIGN(const std::string head, request_head(request));
    if (is_cancelled_.load()) return tl::unexpected(cancelled_error());
    for (;;) {
      const bool is_reused = is_connection_usable();
      if (!is_reused) {
        disconnect();
        TRY_ASSIGN(fd_, connect_socket(url_, options_.connect_timeout_ms));
      }
      ResponseParser parser({.is_head_request = request.method == "HEAD", .max_body_bytes = max_body_bytes});
      Result<void> outcome = exchange(head, request.body, limits, parser, on_body);
      const bool keeps_connection = outcome && parser.may_reuse();
      if (!keeps_connection) disconnect();
      // The server closed a connection that had rested, while our request was on its way: it has not seen it.
      const bool was_stale = !outcome && is_reused && !parser.has_begun() &&
                             outcome.error().code == ErrorCode::kUnavailable && !is_cancelled_.load();
      if (was_stale) continue;
      if (!outcome) return tl::unexpected(std::move(outcome.error()));
      return parser.head();
    }
  }

  Result<std::string> request_head(const ClientRequest& request) const {
    TRY_ASSIGN(const HttpHeaders headers, client_headers(options_, request));
    std::string head = request.method + " " + url_.prefix + request.target + " HTTP/1.1\r\nHost: " + url_.authority();
    for (const auto& [name, value] : headers) head += "\r\n" + name + ": " + value;
    if (sends_body(request)) head += "\r\nContent-Length: " + std::to_string(request.body.size());
    return head + "\r\n\r\n";
  }

  /// A resting connection from which nothing has come, not even its end.
  bool is_connection_usable() const {
    pollfd state{.fd = fd_, .events = POLLIN, .revents = 0};
    return fd_ >= 0 && ::poll(&state, 1, 0) == 0;
  }

  Result<void> exchange(const std::string& head, const std::string& body, Limits& limits, ResponseParser& parser,
                        const BodySink& on_body) {
    TRY(send(head, body, limits));
    std::string buffer(kReadBytes, '\0');
    for (;;) {
      TRY(wait(POLLIN, limits));
      const ssize_t count = ::recv(fd_, buffer.data(), buffer.size(), 0);
      if (count < 0 && (errno == EINTR || errno == EAGAIN)) continue;
      if (count < 0) return tl::unexpected(broken_error(url_, errno_text(errno)));
      limits.last_bytes = steady_clock::now();
      const ResponseParser::State state =
          count == 0 ? parser.finish() : parser.feed({buffer.data(), static_cast<std::size_t>(count)});
      if (state == ResponseParser::State::kHead) continue;
      if (parser.is_too_big()) return tl::unexpected(too_big_error(options_.max_response_bytes));
      std::string bytes = parser.take_body();
      if (!bytes.empty() && !on_body(parser.head(), std::move(bytes))) {
        disconnect();  // what else comes is nobody's
        return {};
      }
      if (state == ResponseParser::State::kFailed) return tl::unexpected(broken_error(url_, parser.failure()));
      if (state == ResponseParser::State::kComplete) return {};
    }
  }

  /// Sends all, or until the server answers without having taken all: what it says then is the outcome.
  Result<void> send(std::string_view head, std::string_view body, Limits& limits) {
    while (!head.empty() || !body.empty()) {
      std::array<iovec, 2> parts{iovec{const_cast<char*>(head.data()), head.size()},
                                 iovec{const_cast<char*>(body.data()), body.size()}};
      msghdr message{};
      message.msg_iov = parts.data();
      message.msg_iovlen = parts.size();
      const ssize_t sent = ::sendmsg(fd_, &message, MSG_NOSIGNAL);
      if (sent < 0 && errno == EAGAIN) {
        TRY_ASSIGN(const short events, wait(POLLOUT | POLLIN, limits));
        if ((events & POLLOUT) == 0) return {};
      } else if (sent < 0 && errno != EINTR) {
        return errno == EPIPE || errno == ECONNRESET ? Result<void>()
                                                     : tl::unexpected(broken_error(url_, errno_text(errno)));
      } else if (sent > 0) {
        limits.last_bytes = steady_clock::now();
        const std::size_t of_head = std::min(head.size(), static_cast<std::size_t>(sent));
        head.remove_prefix(of_head);
        body.remove_prefix(static_cast<std::size_t>(sent) - of_head);
      }
    }
    return {};
  }

  Result<short> wait(int events, const Limits& limits) {
    for (;;) {
      std::array<pollfd, 2> fds{pollfd{.fd = fd_, .events = static_cast<short>(events), .revents = 0},
                                pollfd{.fd = cancel_fd_, .events = POLLIN, .revents = 0}};
      const int ready = ::poll(fds.data(), fds.size(), limits.wait_ms());
      if (is_cancelled_.load()) return tl::unexpected(cancelled_error());
      if (ready < 0 && errno != EINTR) return tl::unexpected(broken_error(url_, errno_text(errno)));
      if (ready > 0 && fds[0].revents != 0) return fds[0].revents;
      if (ready == 0 && limits.is_over()) return tl::unexpected(no_answer_error(url_, limits.timeout_ms, ""));
      if (ready == 0 && limits.idle_ms > 0) return tl::unexpected(silent_error(url_, limits.idle_ms));
    }
  }

  void disconnect() {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }

  const HttpClientOptions options_;
  const BaseUrl url_;
  const int cancel_fd_;
  int fd_ = -1;
  std::atomic<bool> is_cancelled_ = false;
};

}  // namespace

std::unique_ptr<HttpClient> make_plain_client(HttpClientOptions options, BaseUrl url) {
  return std::make_unique<PlainClient>(std::move(options), std::move(url));
}

}  // namespace busbar::net
