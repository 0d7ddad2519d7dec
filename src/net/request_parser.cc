#include "net/internal/request_parser.h"

#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <optional>
#include <utility>

#include "base/check.h"
#include "net/internal/target.h"

namespace busbar::net {
namespace {

namespace beast_http = boost::beast::http;
using BeastRequestParser = beast_http::request_parser<beast_http::string_body>;
using Failure = RequestParser::Failure;

/// A chunk's size line with its extensions, and the trailers; nobody needs more.
constexpr std::size_t kMaxChunkHeadBytes = 8 << 10;

/// "0", CR LF, CR LF.
constexpr std::size_t kShortestChunkedRest = 5;

std::string to_string(boost::beast::string_view view) {
  return {view.data(), view.size()};
}

Failure bad_request(std::string message, std::string cause = {}) {
  return {.status = 400,
          .error = {.code = ErrorCode::kInvalidArgument, .message = std::move(message), .cause = std::move(cause)}};
}

Failure failure_of(const boost::system::error_code& code, const RequestParser::Limits& limits) {
  if (code == beast_http::error::header_limit) {
    return {.status = 431,
            .error = {.code = ErrorCode::kResourceExhausted,
                      .message = "the request's headers are bigger than " + std::to_string(limits.max_header_bytes) +
                                 " bytes"}};
  }
  if (code == beast_http::error::body_limit) {
    return {
        .status = 413,
        .error = {.code = ErrorCode::kResourceExhausted,
                  .message = "the request's body is bigger than " + std::to_string(limits.max_body_bytes) + " bytes"}};
  }
  if (code == beast_http::error::bad_version) {
    return {.status = 505,
            .error = {.code = ErrorCode::kUnsupported, .message = "only HTTP/1.1 and HTTP/1.0 are spoken here"}};
  }
  return bad_request("malformed HTTP request", code.message());
}

}  // namespace

struct RequestParser::Impl {
  explicit Impl(Limits the_limits) : limits(the_limits) { reset(); }

  void reset() {
    parser.emplace();
    parser->header_limit(static_cast<std::uint32_t>(limits.max_header_bytes));
    parser->body_limit(limits.max_body_bytes);
    parser->eager(false);
    state = State::kHead;
    request = {};
    expects_continue = false;
    has_begun = false;
    is_stuck = false;
  }

  void fail(Failure why) {
    failure = std::move(why);
    state = State::kFailed;
    buffer.clear();
  }

  /// Parses what the buffer holds, as far as it goes. Beast asserts that what follows an unfinished chunk header is at
  /// least as long as the shortest rest of a body, so it is not asked again before that is there.
  void advance() {
    std::string_view rest = buffer;
    has_begun = true;
    while ((state == State::kHead || state == State::kBody) && !(is_stuck && rest.size() < kShortestChunkedRest)) {
      boost::system::error_code code;
      const std::size_t used = parser->put(boost::asio::const_buffer(rest.data(), rest.size()), code);
      rest.remove_prefix(used);
      is_stuck = state == State::kBody && used == 0 && code == beast_http::error::need_more;
      if (code && code != beast_http::error::need_more) return fail(failure_of(code, limits));
      if (state == State::kHead && parser->is_header_done()) {
        if (auto why = take_head()) return fail(std::move(*why));
        parser->eager(true);
        state = State::kBody;
      }
      if (parser->is_done()) {
        request.body = std::move(parser->get().body());
        state = State::kComplete;
      } else if (code || rest.empty()) {
        break;
      }
    }
    if (state == State::kBody && rest.size() > kMaxChunkHeadBytes)
      return fail(bad_request("a chunk's header is too long"));
    buffer.erase(0, buffer.size() - rest.size());
  }

  /// Copies the head out before the body is parsed, so that trailers cannot add headers. Checks what Beast does not.
  std::optional<Failure> take_head() {
    const auto& message = parser->get();
    request.method = to_string(message.method_string());
    request.target = to_string(message.target());
    for (const auto& field : message)
      request.headers.emplace_back(to_string(field.name_string()), to_string(field.value()));
    is_http_1_0 = message.version() < 11;
    is_keep_alive = message.keep_alive();
    if (auto why = check_framing(message)) return why;
    Result<Target> target = parse_target(request.method, request.target);
    if (!target) return Failure{.status = 400, .error = std::move(target.error())};
    request.path = std::move(target->path);
    request.query = std::move(target->query);
    return check_expectation();
  }

  std::optional<Failure> check_framing(const BeastRequestParser::value_type& message) const {
    const auto hosts = message.count(beast_http::field::host);
    if (hosts > 1 || (hosts == 0 && !is_http_1_0)) return bad_request("the request needs one Host header");
    const auto encodings = message.count(beast_http::field::transfer_encoding);
    if (encodings == 0) return std::nullopt;
    // Two readers of anything but plain "chunked" could disagree where the body ends: request smuggling.
    if (encodings > 1 || is_http_1_0 || message.count(beast_http::field::content_length) > 0 || !parser->chunked() ||
        !boost::beast::iequals(message[beast_http::field::transfer_encoding], "chunked")) {
      return bad_request("only \"Transfer-Encoding: chunked\", without Content-Length, is understood");
    }
    return std::nullopt;
  }

  std::optional<Failure> check_expectation() {
    const std::string* expectation = find_header(request.headers, "expect");
    if (!expectation || is_http_1_0) return std::nullopt;
    if (!boost::beast::iequals(*expectation, "100-continue")) {
      return Failure{
          .status = 417,
          .error = {.code = ErrorCode::kUnsupported, .message = "only \"Expect: 100-continue\" is understood"}};
    }
    expects_continue = true;
    return std::nullopt;
  }

  Limits limits;
  std::optional<BeastRequestParser> parser;
  std::string buffer;
  State state = State::kHead;
  HttpRequest request;
  Failure failure;
  bool has_begun = false;
  bool is_stuck = false;  ///< Between the bytes of a chunk's header or the trailers.
  bool expects_continue = false;
  bool is_keep_alive = true;
  bool is_http_1_0 = false;
};

RequestParser::RequestParser(Limits limits) : impl_(std::make_unique<Impl>(limits)) {}
RequestParser::~RequestParser() = default;

RequestParser::State RequestParser::feed(std::string_view bytes) {
  if (impl_->state == State::kFailed) return State::kFailed;
  impl_->buffer += bytes;
  if (!impl_->buffer.empty()) impl_->advance();
  return impl_->state;
}

RequestParser::State RequestParser::state() const {
  return impl_->state;
}

bool RequestParser::is_between_requests() const {
  return !impl_->has_begun;
}

std::size_t RequestParser::buffered_bytes() const {
  return impl_->buffer.size();
}

HttpRequest RequestParser::take() {
  CHECK(impl_->state == State::kComplete);
  HttpRequest request = std::move(impl_->request);
  impl_->reset();
  return request;
}

const RequestParser::Failure& RequestParser::failure() const {
  return impl_->failure;
}
bool RequestParser::expects_continue() const {
  return impl_->expects_continue;
}
bool RequestParser::was_keep_alive() const {
  return impl_->is_keep_alive;
}
bool RequestParser::was_http_1_0() const {
  return impl_->is_http_1_0;
}

}  // namespace busbar::net
