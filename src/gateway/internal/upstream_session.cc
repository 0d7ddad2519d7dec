#include "gateway/internal/upstream_session.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>

#include "base/check.h"
#include "gateway/internal/head_writer.h"
#include "gateway/trailers.h"

namespace busbar::gateway::internal {
namespace {

constexpr std::int32_t kTrunkWindow = 16 << 20;
/// Numbers of streams are used up at 2^31 (RFC 9113 §5.1.1).
constexpr std::uint32_t kLastStream = (1U << 31) - 1024;

/// How much of its exchange's request has gone to this replica: to the second one that was asked, or to the first.
std::size_t& sent_of(Exchange& exchange, const UpstreamStream& stream) {
  return exchange.hedge == &stream ? exchange.hedge_sent : exchange.request_sent;
}

/// Copies what there is of the body, without the chunks' framing. Gives how much.
std::size_t read_body(UpstreamStream& stream, Exchange& exchange, char* to, std::size_t size) {
  std::size_t& sent = sent_of(exchange, stream);
  const std::string_view bytes = exchange.request.view().substr(sent);
  if (stream.framing == Framing::kLength) {
    const auto count = static_cast<std::size_t>(std::min<std::uint64_t>({size, bytes.size(), stream.left}));
    std::memcpy(to, bytes.data(), count);
    stream.left -= count;
    sent += count;
    return count;
  }
  std::size_t used = 0;
  std::size_t count = 0;
  while (used < bytes.size() && count < size && !stream.chunks.is_done()) {
    const ChunkScanner::Piece piece = stream.chunks.step(bytes.substr(used, size - count));
    CHECK(!stream.chunks.is_broken());  // These chunks are our own.
    count += piece.payload.copy(to + count, piece.payload.size());
    used += piece.bytes;
  }
  sent += used;
  return count;
}

}  // namespace

struct UpstreamSession::Callbacks {
  static UpstreamSession& self(void* user) { return *static_cast<UpstreamSession*>(user); }
  static UpstreamStream* stream(nghttp2_session* session, std::int32_t id) {
    return static_cast<UpstreamStream*>(nghttp2_session_get_stream_user_data(session, id));
  }

  static int begin_headers(nghttp2_session* session, const nghttp2_frame* frame, void*) {
    UpstreamStream* const found = stream(session, frame->hd.stream_id);
    // What was kept of an answer of 1xx is not wanted.
    if (found != nullptr && !found->has_head) found->head.clear();
    return 0;
  }

  static int header(nghttp2_session* session, const nghttp2_frame* frame, const std::uint8_t* name,
                    std::size_t name_size, const std::uint8_t* value, std::size_t value_size, std::uint8_t, void*) {
    if (frame->hd.type != NGHTTP2_HEADERS) return 0;
    UpstreamStream* const found = stream(session, frame->hd.stream_id);
    if (found == nullptr) return 0;
    const std::string_view name_text = net::text_of(name, name_size);
    const std::string_view value_text = net::text_of(value, value_size);
    bool is_fine = true;
    if (found->has_head) {
      is_fine = append_trailer(found->trailers, name_text, value_text);
    } else if (found->head.size() + name_size + value_size + 64 > kMaxHeadBytes) {
      is_fine = false;
    } else if (name_text == ":status") {
      // Three digits: nghttp2 has looked.
      int status = 0;
      std::from_chars(value_text.data(), value_text.data() + value_text.size(), status);
      found->head.append("HTTP/1.1 ").append(value_text).append(" ").append(reason_of(status)).append("\r\n");
    } else if (name_text.front() != ':') {
      found->head.append(name_text).append(": ").append(value_text).append("\r\n");
    }
    if (is_fine) return 0;
    found->is_too_long = true;
    return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
  }

  static int invalid_header(nghttp2_session*, const nghttp2_frame*, const std::uint8_t*, std::size_t,
                            const std::uint8_t*, std::size_t, std::uint8_t, void*) {
    return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
  }

  static int frame_received(nghttp2_session* session, const nghttp2_frame* frame, void* user) {
    UpstreamSession& own = self(user);
    if (frame->hd.type == NGHTTP2_SETTINGS && (frame->hd.flags & NGHTTP2_FLAG_ACK) == 0) own.has_settings_ = true;
    if (frame->hd.type == NGHTTP2_GOAWAY) own.has_goaway_ = true;
    if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA) return 0;
    UpstreamStream* const found = stream(session, frame->hd.stream_id);
    if (found == nullptr) return 0;
    const bool is_end = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    if (frame->hd.type == NGHTTP2_HEADERS && !found->has_head) {
      if (found->head.starts_with("HTTP/1.1 1")) return 0;
      found->head += "\r\n";
      found->has_head = true;
      found->is_head_only = is_end;
    }
    found->has_ended = found->has_ended || is_end;
    own.touch(*found);
    return 0;
  }

  static int data(nghttp2_session* session, std::uint8_t, std::int32_t id, const std::uint8_t* bytes, std::size_t size,
                  void* user) {
    // An answer that waits must not stop the others: the connection's window is opened at once, the stream's is not.
    nghttp2_session_consume_connection(session, size);
    UpstreamStream* const found = stream(session, id);
    if (found == nullptr) return 0;
    found->body.append(net::text_of(bytes, size));
    self(user).touch(*found);
    return 0;
  }

  static int stream_closed(nghttp2_session* session, std::int32_t id, std::uint32_t code, void* user) {
    UpstreamStream* const found = stream(session, id);
    if (found == nullptr) return 0;
    nghttp2_session_set_stream_user_data(session, id, nullptr);
    found->is_closed = true;
    // Also what GOAWAY says of those that it leaves out.
    found->is_unprocessed = code == NGHTTP2_REFUSED_STREAM && !found->has_head;
    self(user).touch(*found);
    return 0;
  }

  static int not_sent(nghttp2_session*, const nghttp2_frame* frame, int, void* user) {
    if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST) return 0;
    for (UpstreamStream* each : self(user).streams_) {
      if (each->id != frame->hd.stream_id || each->is_closed) continue;
      each->is_closed = each->is_unprocessed = true;
      self(user).touch(*each);
    }
    return 0;
  }

  static ssize_t read(nghttp2_session* session, std::int32_t id, std::uint8_t* to, std::size_t size,
                      std::uint32_t* flags, nghttp2_data_source*, void* user) {
    UpstreamStream* const found = stream(session, id);
    if (found == nullptr || found->exchange == nullptr) return NGHTTP2_ERR_DEFERRED;
    const std::size_t count = read_body(*found, *found->exchange, reinterpret_cast<char*>(to), size);
    found->was_read = true;
    self(user).touch(*found);
    // A body of known length may have trailers too: the end is when the client has said so.
    const bool is_length_done = found->left == 0 && found->exchange->request_phase == RequestPhase::kComplete;
    const bool is_end = found->framing == Framing::kLength ? is_length_done : found->chunks.is_done();
    if (is_end) {
      found->has_sent_all = true;
      self(user).end_body(*found, flags);
    } else if (count == 0) {
      return NGHTTP2_ERR_DEFERRED;
    }
    return static_cast<ssize_t>(count);
  }
};

UpstreamSession::UpstreamSession() {
  nghttp2_session_callbacks* callbacks = nullptr;
  CHECK(nghttp2_session_callbacks_new(&callbacks) == 0);
  nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, Callbacks::begin_headers);
  nghttp2_session_callbacks_set_on_header_callback(callbacks, Callbacks::header);
  nghttp2_session_callbacks_set_on_invalid_header_callback(callbacks, Callbacks::invalid_header);
  nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, Callbacks::frame_received);
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, Callbacks::data);
  nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, Callbacks::stream_closed);
  nghttp2_session_callbacks_set_on_frame_not_send_callback(callbacks, Callbacks::not_sent);
  nghttp2_option* const options = net::make_bounded_options();
  CHECK(nghttp2_session_client_new2(&session_, callbacks, this, options) == 0);
  nghttp2_option_del(options);
  nghttp2_session_callbacks_del(callbacks);
  const std::array<nghttp2_settings_entry, 3> settings = {{
      {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
      {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, kMaxHeadBytes},
      {NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1},
  }};
  nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, settings.data(), settings.size());
  nghttp2_session_set_local_window_size(session_, NGHTTP2_FLAG_NONE, 0, kTrunkWindow);
}

UpstreamSession::~UpstreamSession() {
  nghttp2_session_del(session_);
}

bool UpstreamSession::feed(std::string_view bytes) {
  const ssize_t used =
      nghttp2_session_mem_recv(session_, reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
  return used == static_cast<ssize_t>(bytes.size());
}

std::size_t UpstreamSession::limit() const {
  if (!has_settings_) return kMaxStreams;
  return std::min<std::size_t>(kMaxStreams,
                               nghttp2_session_get_remote_settings(session_, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS));
}

bool UpstreamSession::is_ending() const {
  return has_goaway_ || nghttp2_session_get_next_stream_id(session_) >= kLastStream;
}

void UpstreamSession::add(UpstreamStream& stream) {
  stream.position = streams_.size();
  streams_.push_back(&stream);
}

bool UpstreamSession::begin(UpstreamStream& stream, const RequestHead& head) {
  stream.framing = head.framing;
  stream.left = head.content_length;
  const bool has_body = head.framing != Framing::kNone;
  fields_.clear();
  fields_.add(":method", head.method);
  fields_.add(":scheme", "http");
  for (const HeaderLine& each : head.headers) {
    if (each.id == HeaderId::kHost) fields_.add(":authority", each.value);
  }
  fields_.add(":path", head.target);
  for (const HeaderLine& each : head.headers) {
    if (!each.is_hop_by_hop && each.id != HeaderId::kHost) fields_.add(each.name, each.value);
  }
  if (stream.exchange->takes_trailers) fields_.add("te", "trailers");
  const std::vector<nghttp2_nv>& values = fields_.values();
  const nghttp2_data_provider provider = {.source = {.ptr = nullptr}, .read_callback = Callbacks::read};
  stream.id =
      nghttp2_submit_request(session_, nullptr, values.data(), values.size(), has_body ? &provider : nullptr, &stream);
  if (stream.id < 0) stream.id = 0;
  stream.has_sent_all = !has_body;
  return stream.id > 0;
}

// Behind the body: trailers of the client, if it sent any, are the end.
void UpstreamSession::end_body(const UpstreamStream& stream, std::uint32_t* flags) {
  *flags |= NGHTTP2_DATA_FLAG_EOF;
  const std::string& trailers = stream.exchange->request_trailers.lines;
  if (trailers.empty()) return;
  fields_.clear();
  fields_.add_lines(trailers);
  const std::vector<nghttp2_nv>& values = fields_.values();
  if (nghttp2_submit_trailer(session_, stream.id, values.data(), values.size()) == 0) {
    *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
  }
}

void UpstreamSession::resume(UpstreamStream& stream) {
  if (!stream.is_closed && !stream.has_sent_all) nghttp2_session_resume_data(session_, stream.id);
}

void UpstreamSession::consume(UpstreamStream& stream, std::size_t bytes) {
  if (!stream.is_closed && bytes > 0) nghttp2_session_consume_stream(session_, stream.id, bytes);
}

void UpstreamSession::remove(UpstreamStream& stream) {
  streams_.back()->position = stream.position;
  streams_[stream.position] = streams_.back();
  streams_.pop_back();
  if (stream.is_touched) std::erase(touched_, &stream);
  if (stream.id == 0 || stream.is_closed) return;
  nghttp2_session_set_stream_user_data(session_, stream.id, nullptr);
  if (stream.has_ended && stream.has_sent_all) return;
  nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, stream.id, NGHTTP2_CANCEL);
}

std::vector<UpstreamStream*> UpstreamSession::take_touched() {
  std::vector<UpstreamStream*> touched = std::move(touched_);
  touched_.clear();
  for (UpstreamStream* each : touched) each->is_touched = false;
  return touched;
}

void UpstreamSession::touch(UpstreamStream& stream) {
  if (stream.is_touched) return;
  stream.is_touched = true;
  touched_.push_back(&stream);
}

bool UpstreamSession::is_over() const {
  return output().empty() && nghttp2_session_want_read(session_) == 0 && nghttp2_session_want_write(session_) == 0;
}

void UpstreamSession::end() {
  nghttp2_session_terminate_session(session_, NGHTTP2_NO_ERROR);
}

}  // namespace busbar::gateway::internal
