#include "gateway/test_http2_replica.h"

#include <gtest/gtest.h>
#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <cstring>

#include "gateway/test_http2_fields.h"

namespace busbar::gateway::testing {

struct Http2Replica::Callbacks {
  static Http2Replica& self(void* user) { return *static_cast<Http2Replica*>(user); }

  static int header(nghttp2_session*, const nghttp2_frame* frame, const std::uint8_t* name, std::size_t name_size,
                    const std::uint8_t* value, std::size_t value_size, std::uint8_t, void* user) {
    Request& request = self(user).requests_[frame->hd.stream_id];
    (request.has_head ? request.trailers
                      : request.fields)[std::string(reinterpret_cast<const char*>(name), name_size)] =
        std::string(reinterpret_cast<const char*>(value), value_size);
    return 0;
  }
  static int frame_received(nghttp2_session*, const nghttp2_frame* frame, void* user) {
    const std::int32_t id = frame->hd.stream_id;
    if (frame->hd.type == NGHTTP2_RST_STREAM) {
      self(user).requests_[id].was_reset = true;
      self(user).requests_[id].reset_code = frame->rst_stream.error_code;
    }
    if (frame->hd.type == NGHTTP2_HEADERS && !self(user).requests_[id].has_head) {
      self(user).requests_[id].has_head = true;
      self(user).arrived_.push_back(id);
    }
    const bool is_message = frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA;
    if (is_message && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0) self(user).requests_[id].has_ended = true;
    return 0;
  }
  static int data(nghttp2_session*, std::uint8_t, std::int32_t id, const std::uint8_t* bytes, std::size_t size,
                  void* user) {
    self(user).requests_[id].body.append(reinterpret_cast<const char*>(bytes), size);
    return 0;
  }
  static ssize_t read(nghttp2_session* session, std::int32_t id, std::uint8_t* to, std::size_t size,
                      std::uint32_t* flags, nghttp2_data_source*, void* user) {
    Body& body = self(user).bodies_[id];
    const std::size_t count = std::min(size, body.bytes.size());
    std::memcpy(to, body.bytes.data(), count);
    body.bytes.erase(0, count);
    if (body.bytes.empty() && body.has_ended) {
      *flags |= NGHTTP2_DATA_FLAG_EOF;
      if (!body.trailers.empty()) {
        *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
        const std::vector<nghttp2_nv> values = values_of(body.trailers);
        nghttp2_submit_trailer(session, id, values.data(), values.size());
      }
    } else if (count == 0) {
      return NGHTTP2_ERR_DEFERRED;
    }
    return static_cast<ssize_t>(count);
  }
};

Http2Replica::Http2Replica(Peer& peer, const Settings& settings) : peer_(peer) {
  nghttp2_session_callbacks* callbacks = nullptr;
  nghttp2_session_callbacks_new(&callbacks);
  nghttp2_session_callbacks_set_on_header_callback(callbacks, Callbacks::header);
  nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, Callbacks::frame_received);
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, Callbacks::data);
  nghttp2_option* options = nullptr;
  nghttp2_option_new(&options);
  nghttp2_option_set_no_http_messaging(options, 1);
  nghttp2_session_server_new2(&session_, callbacks, this, options);
  nghttp2_option_del(options);
  nghttp2_session_callbacks_del(callbacks);
  const nghttp2_settings_entry entries[] = {{NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, settings.streams},
                                            {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, settings.window}};
  nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, entries, 2);
  flush();
}

Http2Replica::~Http2Replica() {
  nghttp2_session_del(session_);
}

std::int32_t Http2Replica::next() {
  wait_until([this] { return !arrived_.empty(); });
  if (arrived_.empty()) return 0;
  const std::int32_t id = arrived_.front();
  arrived_.erase(arrived_.begin());
  return id;
}

Http2Replica::Request& Http2Replica::wait(std::int32_t id) {
  wait_until([this, id] { return requests_[id].has_ended; });
  return requests_[id];
}

void Http2Replica::wait_until(const std::function<bool()>& holds) {
  while (!is_closed_ && !holds()) read_more();
}

void Http2Replica::read_more() {
  const std::string bytes = peer_.read_some();
  if (bytes.empty()) {
    is_closed_ = true;
    return;
  }
  nghttp2_session_mem_recv(session_, reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
  flush();
}

void Http2Replica::answer(std::int32_t id, const Fields& fields, std::string_view body, const Fields& trailers) {
  if (body.empty() && trailers.empty()) {
    const std::vector<nghttp2_nv> values = values_of(fields);
    nghttp2_submit_response(session_, id, values.data(), values.size(), nullptr);
    flush();
    return;
  }
  bodies_[id] = {.bytes = std::string(body), .trailers = trailers, .has_ended = true};
  begin_answer(id, fields);
}

void Http2Replica::begin_answer(std::int32_t id, const Fields& fields) {
  const std::vector<nghttp2_nv> values = values_of(fields);
  const nghttp2_data_provider provider = {.source = {.ptr = nullptr}, .read_callback = Callbacks::read};
  nghttp2_submit_response(session_, id, values.data(), values.size(), &provider);
  flush();
}

void Http2Replica::send_body(std::int32_t id, std::string_view bytes) {
  bodies_[id].bytes += bytes;
  nghttp2_session_resume_data(session_, id);
  flush();
}

void Http2Replica::end_answer(std::int32_t id, const Fields& trailers) {
  bodies_[id].has_ended = true;
  bodies_[id].trailers = trailers;
  nghttp2_session_resume_data(session_, id);
  flush();
}

void Http2Replica::inform(std::int32_t id, const std::string& status) {
  const Fields fields = {{":status", status}, {"x-early", "hint"}};
  const std::vector<nghttp2_nv> values = values_of(fields);
  nghttp2_submit_headers(session_, NGHTTP2_FLAG_NONE, id, nullptr, values.data(), values.size(), nullptr);
  flush();
}

void Http2Replica::reset(std::int32_t id, std::uint32_t code) {
  nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, id, code);
  flush();
}

void Http2Replica::goaway(std::int32_t last) {
  nghttp2_submit_goaway(session_, NGHTTP2_FLAG_NONE, last, NGHTTP2_NO_ERROR, nullptr, 0);
  flush();
}

void Http2Replica::allow(std::uint32_t window) {
  const nghttp2_settings_entry entry = {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, window};
  nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, &entry, 1);
  flush();
}

void Http2Replica::flush() {
  while (true) {
    const std::uint8_t* bytes = nullptr;
    const ssize_t count = nghttp2_session_mem_send(session_, &bytes);
    if (count <= 0) return;
    peer_.send(std::string_view(reinterpret_cast<const char*>(bytes), static_cast<std::size_t>(count)));
  }
}

}  // namespace busbar::gateway::testing
