#include "net/internal/response_parser.h"

#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <utility>

namespace busbar::net {
namespace {

namespace beast_http = boost::beast::http;
using BeastResponseParser = beast_http::response_parser<beast_http::string_body>;

constexpr std::uint32_t kMaxHeadBytes = 64 << 10;
/// See request_parser.cc: Beast is not asked about fewer bytes of an unfinished chunk header.
constexpr std::size_t kShortestRest = 5;

}  // namespace

struct ResponseParser::Impl {
  explicit Impl(Options the_options) : options(the_options) { reset(); }

  void reset() {
    parser.emplace();
    parser->header_limit(kMaxHeadBytes);
    if (options.max_body_bytes) {
      parser->body_limit(*options.max_body_bytes);
    } else {
      parser->body_limit(boost::none);
    }
    parser->eager(false);
    parser->skip(options.is_head_request);
    state = State::kHead;
    is_stuck = false;
  }

  void take_head() {
    const auto& message = parser->get();
    head.status = static_cast<int>(message.result_int());
    head.headers.clear();
    for (const auto& field : message) {
      head.headers.emplace_back(std::string(field.name_string().data(), field.name_string().size()),
                                std::string(field.value().data(), field.value().size()));
    }
    parser->eager(true);
    state = State::kBody;
  }

  void advance() {
    std::string_view rest = buffer;
    while ((state == State::kHead || state == State::kBody) && !(is_stuck && rest.size() < kShortestRest)) {
      boost::system::error_code code;
      const std::size_t used = parser->put(boost::asio::const_buffer(rest.data(), rest.size()), code);
      rest.remove_prefix(used);
      is_stuck = state == State::kBody && used == 0 && code == beast_http::error::need_more;
      if (code && code != beast_http::error::need_more) {
        error = code;
        state = State::kFailed;
        break;
      }
      if (state == State::kHead && parser->is_header_done()) take_head();
      if (parser->is_done()) {
        take_rest_of_body();
        if (head.status / 100 != 1) {
          is_keep_alive = parser->get().keep_alive();
          state = State::kComplete;
        } else {
          reset();
        }
      } else if (code || rest.empty()) {
        break;
      }
    }
    if (state != State::kHead) take_rest_of_body();
    buffer.erase(0, buffer.size() - rest.size());
  }

  void take_rest_of_body() { body += std::exchange(parser->get().body(), {}); }

  Options options;
  std::optional<BeastResponseParser> parser;
  std::string buffer;
  std::string body;
  HttpResponse head;
  State state = State::kHead;
  boost::system::error_code error;
  bool has_begun = false;
  bool is_stuck = false;
  bool is_keep_alive = false;
};

ResponseParser::ResponseParser(Options options) : impl_(std::make_unique<Impl>(options)) {}
ResponseParser::~ResponseParser() = default;

ResponseParser::State ResponseParser::feed(std::string_view bytes) {
  impl_->has_begun = impl_->has_begun || !bytes.empty();
  impl_->buffer += bytes;
  if (!impl_->buffer.empty()) impl_->advance();
  return impl_->state;
}

ResponseParser::State ResponseParser::finish() {
  if (impl_->state == State::kHead || impl_->state == State::kBody) {
    boost::system::error_code code;
    if (impl_->state == State::kBody && impl_->parser->need_eof()) {
      impl_->parser->put_eof(code);
    } else {
      code = beast_http::error::partial_message;
    }
    impl_->error = code;
    impl_->state = code ? State::kFailed : State::kComplete;
  }
  return impl_->state;
}

ResponseParser::State ResponseParser::state() const {
  return impl_->state;
}
const HttpResponse& ResponseParser::head() const {
  return impl_->head;
}
std::string ResponseParser::take_body() {
  return std::exchange(impl_->body, {});
}
bool ResponseParser::may_reuse() const {
  return impl_->state == State::kComplete && impl_->is_keep_alive && impl_->buffer.empty();
}
bool ResponseParser::has_begun() const {
  return impl_->has_begun;
}
bool ResponseParser::is_too_big() const {
  return impl_->error == beast_http::error::body_limit;
}
std::string ResponseParser::failure() const {
  return impl_->error.message();
}

}  // namespace busbar::net
