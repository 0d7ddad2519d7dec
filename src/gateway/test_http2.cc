#include "gateway/test_http2.h"

#include <gtest/gtest.h>
#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <cstring>

#include "gateway/test_http2_fields.h"

namespace busbar::gateway::testing {

struct Http2Peer::Callbacks {
  static Http2Peer& self(void* user) { return *static_cast<Http2Peer*>(user); }

  static int header(nghttp2_session*, const nghttp2_frame* frame, const std::uint8_t* name, std::size_t name_size,
                    const std::uint8_t* value, std::size_t value_size, std::uint8_t, void* user) {
    Answer& answer = self(user).answers_[frame->hd.stream_id];
    const std::string key(reinterpret_cast<const char*>(name), name_size);
    const std::string text(reinterpret_cast<const char*>(value), value_size);
    if (key == ":status" && text.front() == '1') {
      ++answer.informational;
    } else if (key == ":status") {
      answer.status = std::stoi(text);
    } else {
      answer.fields[key] = text;
    }
    return 0;
  }
  static int frame_received(nghttp2_session*, const nghttp2_frame* frame, void* user) {
    if (frame->hd.type == NGHTTP2_GOAWAY) {
      ++self(user).goaways_;
      self(user).goaway_code_ = frame->goaway.error_code;
    }
    if (frame->hd.type == NGHTTP2_PING) ++self(user).pings_;
    if (frame->hd.type == NGHTTP2_RST_STREAM) {
      self(user).answers_[frame->hd.stream_id].was_reset = true;
      self(user).answers_[frame->hd.stream_id].reset_code = frame->rst_stream.error_code;
    }
    const bool is_message = frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA;
    if (frame->hd.type == NGHTTP2_RST_STREAM || (is_message && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0)) {
      self(user).answers_[frame->hd.stream_id].has_ended = true;
    }
    return 0;
  }
  static int data(nghttp2_session*, std::uint8_t, std::int32_t id, const std::uint8_t* bytes, std::size_t size,
                  void* user) {
    self(user).answers_[id].body.append(reinterpret_cast<const char*>(bytes), size);
    return 0;
  }
  static ssize_t read(nghttp2_session* session, std::int32_t id, std::uint8_t* to, std::size_t size,
                      std::uint32_t* flags, nghttp2_data_source*, void* user) {
    auto& [bytes, is_end] = self(user).bodies_[id];
    const std::size_t count = std::min(size, bytes.size());
    std::memcpy(to, bytes.data(), count);
    bytes.erase(0, count);
    if (bytes.empty() && is_end) {
      *flags |= NGHTTP2_DATA_FLAG_EOF;
      const Fields& trailers = self(user).trailers_[id];
      if (!trailers.empty()) {
        *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
        const std::vector<nghttp2_nv> values = values_of(trailers);
        nghttp2_submit_trailer(session, id, values.data(), values.size());
      }
    } else if (count == 0) {
      return NGHTTP2_ERR_DEFERRED;
    }
    return static_cast<ssize_t>(count);
  }
};

Http2Peer::Http2Peer(std::uint32_t window) {
  nghttp2_session_callbacks* callbacks = nullptr;
  nghttp2_session_callbacks_new(&callbacks);
  nghttp2_session_callbacks_set_on_header_callback(callbacks, Callbacks::header);
  nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, Callbacks::frame_received);
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, Callbacks::data);
  nghttp2_option* options = nullptr;
  nghttp2_option_new(&options);
  nghttp2_option_set_no_http_messaging(options, 1);
  nghttp2_session_client_new2(&session_, callbacks, this, options);
  nghttp2_option_del(options);
  nghttp2_session_callbacks_del(callbacks);
  const nghttp2_settings_entry entry = {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, window};
  nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, &entry, 1);
}

Http2Peer::~Http2Peer() {
  nghttp2_session_del(session_);
}

std::unique_ptr<Http2Peer> Http2Peer::connect(std::uint16_t port, std::uint32_t window) {
  std::unique_ptr<Http2Peer> peer(new Http2Peer(window));
  const auto socket = std::make_shared<Peer>(Peer::connect(port));
  peer->transport_ = socket;
  peer->write_ = [socket](std::string_view bytes) { socket->send(bytes); };
  peer->read_ = [socket] { return socket->read_some(); };
  peer->flush();
  return peer;
}

std::unique_ptr<Http2Peer> Http2Peer::connect_tls(std::uint16_t port) {
  std::unique_ptr<Http2Peer> peer(new Http2Peer(65'535));
  const auto socket = std::make_shared<TlsPeer>(TlsPeer::connect(port, {.protocols = "\x02h2"}));
  EXPECT_EQ(socket->protocol(), "h2");
  peer->transport_ = socket;
  peer->write_ = [socket](std::string_view bytes) { socket->send(bytes); };
  peer->read_ = [socket] { return socket->read_some(); };
  peer->flush();
  return peer;
}

Http2Peer::Fields Http2Peer::get(std::string path) {
  return {{":method", "GET"}, {":scheme", "http"}, {":authority", "gw"}, {":path", std::move(path)}};
}

Http2Peer::Fields Http2Peer::post(std::string path) {
  return {{":method", "POST"}, {":scheme", "http"}, {":authority", "gw"}, {":path", std::move(path)}};
}

std::int32_t Http2Peer::ask(const Fields& fields, std::string_view body, bool is_open) {
  const std::vector<nghttp2_nv> values = values_of(fields);
  const nghttp2_data_provider provider = {.source = {.ptr = nullptr}, .read_callback = Callbacks::read};
  const bool has_body = !body.empty() || is_open;
  const std::int32_t id =
      nghttp2_submit_request(session_, nullptr, values.data(), values.size(), has_body ? &provider : nullptr, nullptr);
  if (has_body) bodies_[id] = {std::string(body), !is_open};
  flush();
  return id;
}

void Http2Peer::send_body(std::int32_t id, std::string_view bytes, bool is_end) {
  bodies_[id].first += bytes;
  bodies_[id].second = is_end;
  nghttp2_session_resume_data(session_, id);
  flush();
}

void Http2Peer::send_trailers(std::int32_t id, const Fields& trailers) {
  trailers_[id] = trailers;
  send_body(id, {}, true);
}

void Http2Peer::reset(std::int32_t id) {
  nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, id, NGHTTP2_CANCEL);
  flush();
}

void Http2Peer::send_raw(std::string_view bytes) {
  write_(bytes);
}

void Http2Peer::flush() {
  std::string out;
  while (true) {
    const std::uint8_t* bytes = nullptr;
    const ssize_t count = nghttp2_session_mem_send(session_, &bytes);
    if (count <= 0) break;
    out.append(reinterpret_cast<const char*>(bytes), static_cast<std::size_t>(count));
  }
  if (!out.empty()) write_(out);
}

void Http2Peer::read_more() {
  const std::string bytes = read_();
  if (bytes.empty()) {
    is_closed_ = true;
    return;
  }
  nghttp2_session_mem_recv(session_, reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
  flush();
}

void Http2Peer::wait_until(const std::function<bool()>& holds) {
  while (!is_closed_ && !holds()) read_more();
}

Http2Peer::Answer& Http2Peer::wait(std::int32_t id) {
  wait_until([this, id] { return answers_[id].has_ended; });
  EXPECT_TRUE(answers_[id].has_ended) << "the connection ended first";
  return answers_[id];
}

std::string frame(std::uint8_t type, std::uint8_t flags, std::int32_t stream, std::string_view payload) {
  std::string out;
  for (const int shift : {16, 8, 0}) out += static_cast<char>(payload.size() >> shift & 0xff);
  out += static_cast<char>(type);
  out += static_cast<char>(flags);
  for (const int shift : {24, 16, 8, 0}) out += static_cast<char>(stream >> shift & 0xff);
  return out.append(payload);
}

std::string preface() {
  return "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(NGHTTP2_SETTINGS, 0, 0, {});
}

}  // namespace busbar::gateway::testing
