#include "net/internal/connection.h"

#include <boost/asio/post.hpp>
#include <boost/asio/write.hpp>
#include <exception>
#include <utility>

#include "net/internal/exchange.h"
#include "net/internal/websocket_session.h"

namespace busbar::net {
namespace {

namespace asio = boost::asio;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

/// How long we wait, after the last answer, for the client to close first. Closing with unread bytes would reset the
/// connection, and the client could lose the answer (RFC 9112 §9.6).
constexpr std::int64_t kLingerMs = 2'000;
/// Bytes of later requests that are read while a stream runs.
constexpr std::size_t kMaxReadAheadBytes = 64 << 10;
/// Asked of the kernel in one write.
constexpr std::size_t kMaxWriteBytes = 1 << 20;
constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";

bool has_no_body(int status) {
  return status < 200 || status == 204 || status == 304;
}

}  // namespace

Connection::Connection(std::shared_ptr<ServerContext> context, Strand strand, Socket socket, Peer peer)
    : context_(std::move(context)),
      strand_(std::move(strand)),
      socket_(std::move(socket)),
      timer_(strand_),
      peer_(std::move(peer)),
      parser_({.max_header_bytes = context_->options.max_header_bytes,
               .max_body_bytes = context_->options.max_body_bytes}) {}

template <class Action, class Dropped>
void Connection::run_on_strand(Action action, Dropped dropped) {
  if (strand_.running_in_this_thread()) {
    phase_ == Phase::kClosed ? dropped() : action();
    return;
  }
  std::unique_lock lock(mutex_);
  if (is_closed_) {
    lock.unlock();
    return dropped();
  }
  // Under the lock: what is posted before the connection closes is run before the loop ends.
  asio::post(strand_, [self = shared_from_this(), action = std::move(action), dropped = std::move(dropped)]() mutable {
    self->phase_ == Phase::kClosed ? dropped() : action();
  });
}

template <class Action>
void Connection::run_on_strand(Action action) {
  run_on_strand(std::move(action), [] {});
}

void Connection::start() {
  run_on_strand([this] {
    set_deadline_ms(context_->options.idle_timeout_ms);
    read_more();
  });
}

void Connection::stop_gracefully() {
  run_on_strand([this] {
    is_stopping_ = true;
    if (phase_ == Phase::kReading && parser_.is_between_requests()) {
      close();
    } else if (phase_ == Phase::kStreaming) {
      outbox_->finish();
      flush_stream();
    }
  });
}

void Connection::abort() {
  run_on_strand([this] { close(); });
}

void Connection::respond(HttpResponse response) {
  run_on_strand([this, response = std::move(response)]() mutable { write_response(std::move(response)); });
}

// ---- reading -------------------------------------------------------------------------------------------------------

void Connection::read_more() {
  if (std::exchange(is_reading_, true)) return;
  socket_.async_read_some(asio::buffer(read_buffer_),
                          [self = shared_from_this()](const boost::system::error_code& error, std::size_t bytes) {
                            self->on_read(error, bytes);
                          });
}

void Connection::on_read(const boost::system::error_code& error, std::size_t bytes) {
  is_reading_ = false;
  if (phase_ == Phase::kClosed) return;
  if (error) return close();
  if (phase_ == Phase::kLingering) return read_more();
  const RequestParser::State state = parser_.feed({read_buffer_.data(), bytes});
  if (phase_ == Phase::kReading) return advance();
  // A stream runs: go on reading, to notice when the client leaves, as long as the bytes have a place.
  const bool wants_more = state == RequestParser::State::kHead || state == RequestParser::State::kBody;
  if (phase_ == Phase::kStreaming && wants_more && parser_.buffered_bytes() < kMaxReadAheadBytes) read_more();
}

void Connection::advance() {
  switch (parser_.feed({})) {
    case RequestParser::State::kHead:
      // From the first byte of a request on, its head has a fixed deadline: a slow sender cannot stretch it.
      if (!parser_.is_between_requests() && !std::exchange(is_head_timed_, true)) {
        set_deadline_ms(context_->options.header_timeout_ms);
      }
      return read_more();
    case RequestParser::State::kBody:
      set_deadline_ms(context_->options.idle_timeout_ms);
      if (parser_.expects_continue() && !std::exchange(is_continue_sent_, true)) return write_continue();
      return read_more();
    case RequestParser::State::kComplete:
      return dispatch();
    case RequestParser::State::kFailed:
      is_head_request_ = false;
      return refuse(parser_.failure().status, parser_.failure().error);
  }
}

void Connection::dispatch() {
  HttpRequest request = parser_.take();
  phase_ = Phase::kHandling;
  clear_deadline();
  is_keep_alive_ = parser_.was_keep_alive();
  is_http_1_0_ = parser_.was_http_1_0();
  is_head_request_ = request.method == "HEAD";
  // HTTP/1.0 may leave Host out; no browser does.
  const std::string* host = find_header(request.headers, "host");
  if (!peer_.uid && host && !context_->hosts.allows(*host)) {
    return refuse(403, {.code = ErrorCode::kPermissionDenied,
                        .message = "this server does not answer to the host name \"" + *host + "\""});
  }
  request.peer = peer_.name;
  request.peer_uid = peer_.uid;
  HttpRequest upgrade_request;
  if (find_header(request.headers, "upgrade")) {
    upgrade_request = {.method = request.method, .target = request.target, .headers = request.headers};
  }
  context_->requests.fetch_add(1, std::memory_order_relaxed);
  auto exchange = std::make_shared<ConnectionExchange>(shared_from_this(), std::move(upgrade_request));
  try {
    context_->handler.handle(std::move(request), exchange);
  } catch (const std::exception& exception) {
    exchange->respond(error_response(
        {.code = ErrorCode::kInternal, .message = "this request met a fault", .cause = exception.what()}));
  }
}

void Connection::refuse(int status, const Error& error) {
  context_->requests_refused.fetch_add(1, std::memory_order_relaxed);
  phase_ = Phase::kHandling;
  is_keep_alive_ = false;
  write_response(error_response(status, error));
}

void Connection::write_continue() {
  write_head_ = kContinue;
  write_body_.clear();
  write([this] { read_more(); });
}

// ---- writing -------------------------------------------------------------------------------------------------------

template <class Next>
void Connection::write(Next next) {
  is_writing_ = true;
  set_deadline_ms(context_->options.idle_timeout_ms);
  const std::array<asio::const_buffer, 2> buffers = {asio::buffer(write_head_), asio::buffer(write_body_)};
  const auto self = shared_from_this();
  asio::async_write(
      socket_, buffers,
      [self](const boost::system::error_code& error, std::size_t) -> std::size_t {
        if (error) return 0;
        self->set_deadline_ms(self->context_->options.idle_timeout_ms);  // progress
        return kMaxWriteBytes;
      },
      [self, next = std::move(next)](const boost::system::error_code& error, std::size_t) mutable {
        self->is_writing_ = false;
        if (self->phase_ == Phase::kClosed) return;
        if (error) return self->close();
        next();
      });
}

void Connection::write_response(HttpResponse response) {
  if (phase_ != Phase::kHandling) return;
  phase_ = Phase::kWriting;
  // The registry knows first: an answer given while the server begins to stop must not promise another one.
  is_stopping_ = is_stopping_ || context_->registry.is_stopping();
  if (is_stopping_ || header_has_token(response.headers, "connection", "close")) is_keep_alive_ = false;
  const bool is_bodiless = has_no_body(response.status);
  write_head_ = format_head(response.status, response.headers,
                            {.framing = is_bodiless ? BodyFraming::kNone : BodyFraming::kContentLength,
                             .content_length = response.body.size(),
                             .is_last = !is_keep_alive_,
                             .names_keep_alive = is_http_1_0_,
                             .now = std::time(nullptr)});
  write_body_ = is_bodiless || is_head_request_ ? std::string() : std::move(response.body);
  write([this] { finish_answer(); });
}

// ---- streams -------------------------------------------------------------------------------------------------------

void Connection::start_stream(int status, HttpHeaders headers, StreamOptions options, std::shared_ptr<Outbox> outbox) {
  run_on_strand(
      [this, status, headers = std::move(headers), options = std::move(options), outbox]() mutable {
        stream_options_ = std::move(options);
        outbox_ = std::move(outbox);
        open_stream(status, headers);
      },
      [outbox] { outbox->close(); });  // else its producer would wait for ever
}

void Connection::wake_stream() {
  run_on_strand([this] { flush_stream(); });
}

void Connection::open_stream(int status, const HttpHeaders& headers) {
  phase_ = Phase::kStreaming;
  if (is_stopping_) outbox_->finish();
  stream_framing_ = has_no_body(status) ? BodyFraming::kNone
                    : is_http_1_0_      ? BodyFraming::kUntilClose
                                        : BodyFraming::kChunked;
  if (is_stopping_ || stream_framing_ == BodyFraming::kUntilClose) is_keep_alive_ = false;
  write_head_ =
      format_head(status, headers, {.framing = stream_framing_, .is_last = !is_keep_alive_, .now = std::time(nullptr)});
  write_body_.clear();
  write([this] {
    const bool is_bodiless = is_head_request_ || stream_framing_ == BodyFraming::kNone;
    if (is_bodiless) return end_stream();
    read_more();
    flush_stream();
  });
}

void Connection::flush_stream() {
  if (phase_ != Phase::kStreaming || is_writing_) return;
  const std::vector<Outbox::Item> items = outbox_->take();
  if (items.empty()) {
    if (outbox_->is_exhausted()) return write_last_chunk();
    return stream_options_.heartbeat.empty() ? clear_deadline() : set_deadline_ms(stream_options_.heartbeat_ms);
  }
  write_body_.clear();
  for (const Outbox::Item& item : items) write_body_ += item.bytes;
  const std::size_t bytes = write_body_.size();
  write_head_.clear();
  if (stream_framing_ == BodyFraming::kChunked) {
    write_head_ = format_chunk_head(bytes);
    write_body_ += "\r\n";
  }
  write([this, bytes] {
    const std::shared_ptr<Outbox> outbox = outbox_;  // a callback may close the connection
    outbox->written(bytes);
    flush_stream();
  });
}

void Connection::write_last_chunk() {
  write_head_ = stream_framing_ == BodyFraming::kChunked ? kLastChunk : std::string_view();
  write_body_.clear();
  write([this] { end_stream(); });
}

void Connection::end_stream() {
  phase_ = Phase::kWriting;
  std::exchange(outbox_, nullptr)->close();
  if (phase_ == Phase::kWriting) finish_answer();
}

// ---- the end of an answer ------------------------------------------------------------------------------------------

void Connection::finish_answer() {
  if (!is_keep_alive_ || is_stopping_) return linger();
  phase_ = Phase::kReading;
  is_head_timed_ = false;
  is_continue_sent_ = false;
  set_deadline_ms(context_->options.idle_timeout_ms);
  advance();
}

void Connection::linger() {
  phase_ = Phase::kLingering;
  boost::system::error_code ignored;
  socket_.shutdown(Socket::shutdown_send, ignored);
  set_deadline_ms(kLingerMs);
  read_more();
}

void Connection::close() {
  if (phase_ == Phase::kClosed) return;
  boost::system::error_code ignored;
  socket_.close(ignored);
  detach();
}

void Connection::detach() {
  phase_ = Phase::kClosed;
  {
    const std::lock_guard lock(mutex_);
    is_closed_ = true;
  }
  timer_.cancel();
  const auto self = shared_from_this();  // the callbacks may drop the last exchange
  if (const std::shared_ptr<Outbox> outbox = std::exchange(outbox_, nullptr)) outbox->close();
  context_->registry.remove(this);
}

void Connection::upgrade(HttpRequest request, std::unique_ptr<WebSocketHandler> handler, WebSocketOptions options) {
  run_on_strand([this, request = std::move(request), handler = std::move(handler), options]() mutable {
    if (phase_ != Phase::kHandling) return;
    if (!parser_.is_between_requests() || parser_.buffered_bytes() > 0) {
      return refuse(400, {.code = ErrorCode::kInvalidArgument,
                          .message = "bytes came behind the upgrade request; wait for its answer first"});
    }
    const auto session =
        WebSocketSession::accept({.socket = std::move(socket_),
                                  .handler = std::move(handler),
                                  .options = options,
                                  .keep_alive = context_,
                                  .on_gone = [context = context_](Stoppable* gone) { context->registry.remove(gone); }},
                                 request);
    context_->registry.add(session);  // before we leave, so that the server never looks idle in between
    detach();
  });
}

// ---- deadlines: one timer, re-armed only when the deadline moves forward in time
// --------------------------------------

void Connection::set_deadline_ms(std::int64_t from_now_ms) {
  deadline_ = steady_clock::now() + milliseconds(from_now_ms);
  if (deadline_ < timer_due_) arm_timer();
}

void Connection::clear_deadline() {
  deadline_ = steady_clock::time_point::max();
}

void Connection::arm_timer() {
  timer_due_ = deadline_;
  timer_.expires_at(deadline_);
  timer_.async_wait([self = shared_from_this()](const boost::system::error_code& error) {
    if (!error) self->on_timer();
  });
}

void Connection::on_timer() {
  timer_due_ = steady_clock::time_point::max();
  if (phase_ == Phase::kClosed || deadline_ == steady_clock::time_point::max()) return;
  if (steady_clock::now() < deadline_) return arm_timer();
  deadline_ = steady_clock::time_point::max();
  on_deadline();
}

void Connection::on_deadline() {
  switch (phase_) {
    case Phase::kReading:
      if (is_writing_ || parser_.is_between_requests()) return close();
      is_head_request_ = false;
      return refuse(408, {.code = ErrorCode::kDeadlineExceeded, .message = "the request came too slowly"});
    case Phase::kStreaming:
      if (is_writing_) return close();
      outbox_->push(stream_options_.heartbeat, WebSocketMessage::kBinary);
      return flush_stream();
    case Phase::kHandling:
    case Phase::kClosed:
      return;
    case Phase::kWriting:
    case Phase::kLingering:
      return close();
  }
}

}  // namespace busbar::net
