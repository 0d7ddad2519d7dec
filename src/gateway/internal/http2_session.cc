#include "gateway/internal/http2_session.h"

#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>

#include <fmt/format.h>

#include "base/check.h"
#include "gateway/trailers.h"

namespace busbar::gateway::internal {
namespace {

constexpr std::int32_t kConnectionWindow = 16 << 20;
// PING, SETTINGS, PRIORITY and RST_STREAM of a client that means well stay far below this.
constexpr double kControlTokens = 2'000;
constexpr double kControlTokensPerSecond = 100;
// nghttp2's own measure of rapid resets: as many at once, and so many a second.
constexpr std::uint64_t kResetBurst = 500;
constexpr std::uint64_t kResetsPerSecond = 30;

}  // namespace

struct Http2Session::Callbacks {
  static Http2Session& self(void* user) { return *static_cast<Http2Session*>(user); }
  static Stream* stream(nghttp2_session* session, std::int32_t id) {
    return static_cast<Stream*>(nghttp2_session_get_stream_user_data(session, id));
  }

  static int begin_headers(nghttp2_session* session, const nghttp2_frame* frame, void* user) {
    if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST) return 0;
    if (self(user).open_streams_ >= kMaxStreams) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    Stream& opened = self(user).open_stream(frame->hd.stream_id);
    nghttp2_session_set_stream_user_data(session, frame->hd.stream_id, &opened);
    self(user).touch(opened);  // Its head may be long in coming.
    return 0;
  }

  static int header(nghttp2_session* session, const nghttp2_frame* frame, const std::uint8_t* name,
                    std::size_t name_size, const std::uint8_t* value, std::size_t value_size, std::uint8_t,
                    void* user) {
    if (frame->hd.type != NGHTTP2_HEADERS) return 0;
    Stream* const found = stream(session, frame->hd.stream_id);
    if (found == nullptr) return 0;
    const std::string_view name_text = net::text_of(name, name_size);
    const std::string_view value_text = net::text_of(value, value_size);
    if (frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
      self(user).take_field(*found, name_text, value_text);
    } else if (!append_trailer(found->trailers, name_text, value_text)) {
      return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    }
    return 0;
  }

  /// nghttp2 would pass over it in silence: what one of us reads and the other does not is refused.
  static int invalid_header(nghttp2_session*, const nghttp2_frame*, const std::uint8_t*, std::size_t,
                            const std::uint8_t*, std::size_t, std::uint8_t, void*) {
    return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
  }

  /// DATA that holds nothing and ends nothing.
  static int begin_frame(nghttp2_session*, const nghttp2_frame_hd* head, void* user) {
    const bool is_idle =
        head->type == NGHTTP2_DATA && head->length == 0 && (head->flags & NGHTTP2_FLAG_END_STREAM) == 0;
    return !is_idle || self(user).spend(1) ? 0 : NGHTTP2_ERR_CALLBACK_FAILURE;
  }

  static int frame_received(nghttp2_session* session, const nghttp2_frame* frame, void* user) {
    Http2Session& own = self(user);
    switch (frame->hd.type) {
      case NGHTTP2_PING:
      case NGHTTP2_SETTINGS:
      case NGHTTP2_PRIORITY:
      case NGHTTP2_RST_STREAM:
        return own.spend(1) ? 0 : NGHTTP2_ERR_CALLBACK_FAILURE;
      case NGHTTP2_HEADERS:
      case NGHTTP2_DATA:
        break;
      default:
        return 0;
    }
    const bool is_end = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    Stream* const found = stream(session, frame->hd.stream_id);
    if (found == nullptr) return 0;
    if (is_end) found->has_ended = true;
    if (frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST) own.finish_head(*found);
    own.touch(*found);
    return 0;
  }

  static int data(nghttp2_session* session, std::uint8_t, std::int32_t id, const std::uint8_t* bytes, std::size_t size,
                  void* user) {
    // A stream that waits must not stop the others: the connection's window is opened at once, the stream's is not.
    nghttp2_session_consume_connection(session, size);
    Stream* const found = stream(session, id);
    if (found == nullptr) return 0;
    if (found->is_answered) {
      nghttp2_session_consume_stream(session, id, size);
      return 0;
    }
    found->body.append(net::text_of(bytes, size));
    self(user).touch(*found);
    return 0;
  }

  static int stream_closed(nghttp2_session* session, std::int32_t id, std::uint32_t, void* user) {
    Stream* const found = stream(session, id);
    if (found == nullptr) return 0;
    nghttp2_session_set_stream_user_data(session, id, nullptr);
    found->is_closed = true;
    --self(user).open_streams_;
    self(user).touch(*found);
    return 0;
  }

  /// The answer is out and the request is not: what is left of it is not wanted (RFC 9113 §8.1).
  static int frame_sent(nghttp2_session* session, const nghttp2_frame* frame, void*) {
    if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA) return 0;
    if ((frame->hd.flags & NGHTTP2_FLAG_END_STREAM) == 0) return 0;
    const Stream* const found = stream(session, frame->hd.stream_id);
    if (found == nullptr || found->has_ended) return 0;
    nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, frame->hd.stream_id, NGHTTP2_NO_ERROR);
    return 0;
  }

  static ssize_t read(nghttp2_session*, std::int32_t, std::uint8_t* to, std::size_t size, std::uint32_t* flags,
                      nghttp2_data_source* source, void* user) {
    auto& from = *static_cast<Stream*>(source->ptr);
    if (from.exchange == nullptr) {
      self(user).end_body(from, flags);
      return 0;
    }
    Buffer& pending = from.exchange->pending;
    const std::size_t count = std::min(size, pending.size());
    std::memcpy(to, pending.view().data(), count);
    pending.consume(count);
    if (!pending.empty()) return static_cast<ssize_t>(count);
    // Its exchange may read on, or is over.
    self(user).touch(from);
    if (from.exchange->response_phase == ResponsePhase::kComplete) {
      self(user).end_body(from, flags);
    } else if (count == 0) {
      return NGHTTP2_ERR_DEFERRED;
    }
    return static_cast<ssize_t>(count);
  }
};

Http2Session::Http2Session(Client& connection) : connection_(connection), tokens_(kControlTokens) {
  nghttp2_session_callbacks* callbacks = nullptr;
  CHECK(nghttp2_session_callbacks_new(&callbacks) == 0);
  nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, Callbacks::begin_headers);
  nghttp2_session_callbacks_set_on_header_callback(callbacks, Callbacks::header);
  nghttp2_session_callbacks_set_on_invalid_header_callback(callbacks, Callbacks::invalid_header);
  nghttp2_session_callbacks_set_on_begin_frame_callback(callbacks, Callbacks::begin_frame);
  nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, Callbacks::frame_received);
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, Callbacks::data);
  nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, Callbacks::stream_closed);
  nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, Callbacks::frame_sent);
  nghttp2_option* const options = net::make_bounded_options();
  nghttp2_option_set_stream_reset_rate_limit(options, kResetBurst, kResetsPerSecond);
  CHECK(nghttp2_session_server_new2(&session_, callbacks, this, options) == 0);
  nghttp2_option_del(options);
  nghttp2_session_callbacks_del(callbacks);
  const std::array<nghttp2_settings_entry, 3> settings = {{
      {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, kMaxStreams},
      {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, kMaxHeadBytes},
      {NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1},
  }};
  nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, settings.data(), settings.size());
  nghttp2_session_set_local_window_size(session_, NGHTTP2_FLAG_NONE, 0, kConnectionWindow);
}

Http2Session::~Http2Session() {
  nghttp2_session_del(session_);
}

bool Http2Session::feed(std::string_view bytes, std::int64_t now_us) {
  now_us_ = now_us;
  const ssize_t used =
      nghttp2_session_mem_recv(session_, reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
  if (used == static_cast<ssize_t>(bytes.size())) return true;
  nghttp2_session_terminate_session(session_, NGHTTP2_ENHANCE_YOUR_CALM);
  return false;
}

std::vector<Stream*> Http2Session::take_touched() {
  std::vector<Stream*> touched = std::move(touched_);
  touched_.clear();
  for (Stream* each : touched) each->is_touched = false;
  return touched;
}

void Http2Session::touch(Stream& stream) {
  if (stream.is_touched) return;
  stream.is_touched = true;
  touched_.push_back(&stream);
}

Stream& Http2Session::open_stream(std::int32_t id) {
  if (free_.empty()) {
    streams_.push_back(std::make_unique<Stream>());
    free_.push_back(streams_.back().get());
  }
  Stream& stream = *free_.back();
  free_.pop_back();
  stream.kind = SocketKind::kStream;
  stream.fd = connection_.fd;
  stream.is_readable = stream.is_writable = false;
  stream.peer = connection_.peer;
  stream.channel = connection_.channel;
  stream.connection = &connection_;
  stream.session = this;
  stream.id = id;
  ++open_streams_;
  return stream;
}

void Http2Session::forget(Stream& stream) {
  CHECK(stream.exchange == nullptr && !stream.is_armed());
  if (stream.is_touched) std::erase(touched_, &stream);
  stream.body.trim(0);
  for (std::string* text : {&stream.head, &stream.authority, &stream.method, &stream.path, &stream.cookies,
                            &stream.trailers, &stream.answer_trailers}) {
    text->clear();
    if (text->capacity() > 4096) text->shrink_to_fit();
  }
  stream.fd = -1;
  stream.content_length = 0;
  stream.has_length = stream.has_two_hosts = stream.is_head_too_long = stream.has_head = stream.has_begun = false;
  stream.has_ended = stream.is_touched = stream.is_answering = stream.is_answered = stream.is_closed = false;
  free_.push_back(&stream);
}

// nghttp2 has checked the characters of names and values, and that no field belongs to a connection of HTTP/1.
bool Http2Session::take_field(Stream& stream, std::string_view name, std::string_view value) {
  const std::size_t held = stream.head.size() + stream.cookies.size() + stream.path.size() + stream.authority.size();
  if (held + name.size() + value.size() + 64 > kMaxHeadBytes) {
    stream.is_head_too_long = true;
    return false;
  }
  if (name == ":method") {
    stream.method = value;
  } else if (name == ":path") {
    stream.path = value;
  } else if (name == ":authority") {
    stream.authority = value;
  } else if (name == "host") {
    stream.has_two_hosts = stream.has_two_hosts || (!stream.authority.empty() && stream.authority != value);
    stream.authority = value;
  } else if (name == "content-length") {
    const auto parsed = std::from_chars(value.data(), value.data() + value.size(), stream.content_length);
    stream.has_length = parsed.ec == std::errc() && parsed.ptr == value.data() + value.size();
  } else if (name == "cookie") {
    // Crumbs of one field (RFC 9113 §8.2.3).
    if (!stream.cookies.empty()) stream.cookies += "; ";
    stream.cookies += value;
  } else if (!name.empty() && name.front() != ':') {
    stream.head.append(name).append(": ").append(value).append("\r\n");
  }
  return true;
}

void Http2Session::finish_head(Stream& stream) {
  stream.has_head = true;
  std::string first;
  first.reserve(stream.method.size() + stream.path.size() + stream.authority.size() + stream.head.size() + 128);
  first.append(stream.method).append(" ").append(stream.path).append(" HTTP/1.1\r\nHost: ");
  first.append(stream.authority).append("\r\n").append(stream.head);
  if (!stream.cookies.empty()) first.append("Cookie: ").append(stream.cookies).append("\r\n");
  if (stream.has_length) {
    first.append("Content-Length: ").append(fmt::format_int(stream.content_length).c_str()).append("\r\n");
  } else if (!stream.has_ended) {
    first += "Transfer-Encoding: chunked\r\n";
  }
  first += "\r\n";
  stream.head = std::move(first);
}

// False: the client does nothing but keep us busy.
bool Http2Session::spend(double tokens) {
  const auto refill = static_cast<double>(now_us_ - refilled_us_) * 1e-6 * kControlTokensPerSecond;
  tokens_ = std::min(kControlTokens, tokens_ + refill) - tokens;
  refilled_us_ = now_us_;
  return tokens_ >= 0;
}

void Http2Session::consume(Stream& stream, std::size_t bytes) {
  stream.body.consume(bytes);
  if (!stream.is_closed && bytes > 0) nghttp2_session_consume_stream(session_, stream.id, bytes);
}

void Http2Session::send_continue(Stream& stream) {
  fields_.clear();
  fields_.add(":status", "100");
  const std::vector<nghttp2_nv>& values = fields_.values();
  nghttp2_submit_headers(session_, NGHTTP2_FLAG_NONE, stream.id, nullptr, values.data(), values.size(), nullptr);
}

void Http2Session::submit(Stream& stream, bool has_body) {
  const std::vector<nghttp2_nv>& values = fields_.values();
  nghttp2_data_provider provider = {.source = {.ptr = &stream}, .read_callback = Callbacks::read};
  stream.is_answering = true;
  nghttp2_submit_response(session_, stream.id, values.data(), values.size(), has_body ? &provider : nullptr);
}

// No more of the answer's body: trailers, if there are any, are the end.
void Http2Session::end_body(Stream& stream, std::uint32_t* flags) {
  *flags |= NGHTTP2_DATA_FLAG_EOF;
  if (stream.answer_trailers.empty()) return;
  fields_.clear();
  fields_.add_lines(stream.answer_trailers);
  const std::vector<nghttp2_nv>& values = fields_.values();
  if (nghttp2_submit_trailer(session_, stream.id, values.data(), values.size()) == 0) {
    *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
  }
  stream.answer_trailers.clear();
}

void Http2Session::respond(Stream& stream, const ResponseHead& head, std::string_view more, bool has_body) {
  const std::string status = std::to_string(head.status);
  fields_.clear();
  fields_.add(":status", status);
  for (const HeaderLine& each : head.headers) {
    if (!each.is_hop_by_hop) fields_.add(each.name, each.value);
  }
  fields_.add_lines(more);
  submit(stream, has_body);
}

void Http2Session::respond(Stream& stream, const OwnHead& head, bool has_body) {
  const std::string status = std::to_string(head.status);
  const std::string length = std::to_string(head.content_length.value_or(0));
  const std::string retry = std::to_string(head.retry_after_s.value_or(0));
  fields_.clear();
  fields_.add(":status", status);
  fields_.add("content-type", head.content_type);
  if (head.content_length) fields_.add("content-length", length);
  if (head.retry_after_s) fields_.add("retry-after", retry);
  fields_.add_lines(head.more);
  submit(stream, has_body);
}

void Http2Session::resume(Stream& stream) {
  if (!stream.is_closed) nghttp2_session_resume_data(session_, stream.id);
}

void Http2Session::cut(Stream& stream) {
  if (!stream.is_closed) {
    nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, stream.id, NGHTTP2_INTERNAL_ERROR);
  }
}

void Http2Session::announce_end() {
  if (is_ending_) return;
  is_ending_ = true;
  nghttp2_submit_shutdown_notice(session_);
}

void Http2Session::end() {
  if (has_ended_) return;
  is_ending_ = has_ended_ = true;
  nghttp2_submit_goaway(session_, NGHTTP2_FLAG_NONE, nghttp2_session_get_last_proc_stream_id(session_),
                        NGHTTP2_NO_ERROR, nullptr, 0);
}

bool Http2Session::is_over() const {
  const bool is_done = has_ended_ && open_streams_ == 0 && nghttp2_session_want_write(session_) == 0;
  return output().empty() &&
         (is_done || (nghttp2_session_want_read(session_) == 0 && nghttp2_session_want_write(session_) == 0));
}

}  // namespace busbar::gateway::internal
