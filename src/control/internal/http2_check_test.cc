#include "control/internal/http2_check.h"

#include <gtest/gtest.h>
#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace busbar::control {
namespace {

/// A replica's side of the connection by nghttp2: answers each request with what it is told, and keeps what it was
/// asked.
class Http2Answerer {
 public:
  using Fields = std::map<std::string, std::string>;
  struct Answer {
    Fields head = {};
    std::string body = {};
    Fields trailers = {};
    bool is_reset = false;
  };

  explicit Http2Answerer(Answer answer) : answer_(std::move(answer)), unsent_(answer_.body) {
    nghttp2_session_callbacks* callbacks = nullptr;
    nghttp2_session_callbacks_new(&callbacks);
    nghttp2_session_callbacks_set_on_header_callback(
        callbacks, [](nghttp2_session*, const nghttp2_frame*, const std::uint8_t* name, std::size_t name_size,
                      const std::uint8_t* value, std::size_t value_size, std::uint8_t, void* user) {
          static_cast<Http2Answerer*>(user)->asked_[text(name, name_size)] = text(value, value_size);
          return 0;
        });
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(
        callbacks,
        [](nghttp2_session*, std::uint8_t, std::int32_t, const std::uint8_t* bytes, std::size_t size, void* user) {
          static_cast<Http2Answerer*>(user)->body_ += text(bytes, size);
          return 0;
        });
    nghttp2_session_callbacks_set_on_frame_recv_callback(
        callbacks, [](nghttp2_session*, const nghttp2_frame* frame, void* user) {
          if ((frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0)
            static_cast<Http2Answerer*>(user)->answer(frame->hd.stream_id);
          return 0;
        });
    nghttp2_session_server_new(&session_, callbacks, this);
    nghttp2_session_callbacks_del(callbacks);
    nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, nullptr, 0);
  }
  ~Http2Answerer() { nghttp2_session_del(session_); }
  Http2Answerer(const Http2Answerer&) = delete;
  Http2Answerer& operator=(const Http2Answerer&) = delete;

  std::string talk(std::string_view bytes) {
    EXPECT_EQ(nghttp2_session_mem_recv(session_, reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()),
              static_cast<ssize_t>(bytes.size()));
    std::string output;
    const std::uint8_t* part = nullptr;
    for (ssize_t size = 0; (size = nghttp2_session_mem_send(session_, &part)) > 0;) {
      output += text(part, static_cast<std::size_t>(size));
    }
    return output;
  }
  const Fields& asked() const { return asked_; }
  const std::string& body() const { return body_; }

 private:
  static std::string text(const std::uint8_t* bytes, std::size_t size) {
    return {reinterpret_cast<const char*>(bytes), size};
  }
  static std::vector<nghttp2_nv> to_fields(const Fields& fields) {
    std::vector<nghttp2_nv> list;
    for (const auto& [name, value] : fields) {
      list.push_back({reinterpret_cast<std::uint8_t*>(const_cast<char*>(name.data())),
                      reinterpret_cast<std::uint8_t*>(const_cast<char*>(value.data())), name.size(), value.size(),
                      NGHTTP2_NV_FLAG_NONE});
    }
    return list;
  }
  void answer(std::int32_t stream) {
    if (answer_.is_reset) {
      nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, stream, NGHTTP2_INTERNAL_ERROR);
      return;
    }
    nghttp2_data_provider provider = {};
    provider.read_callback = [](nghttp2_session* session, std::int32_t id, std::uint8_t* out, std::size_t room,
                                std::uint32_t* flags, nghttp2_data_source*, void* user) -> ssize_t {
      auto& self = *static_cast<Http2Answerer*>(user);
      const std::size_t count = std::min(room, self.unsent_.size());
      std::memcpy(out, self.unsent_.data(), count);
      self.unsent_.erase(0, count);
      *flags |= NGHTTP2_DATA_FLAG_EOF;
      if (!self.answer_.trailers.empty()) {
        *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
        const auto trailers = to_fields(self.answer_.trailers);
        nghttp2_submit_trailer(session, id, trailers.data(), trailers.size());
      }
      return static_cast<ssize_t>(count);
    };
    const bool has_body = !answer_.body.empty() || !answer_.trailers.empty();
    const auto head = to_fields(answer_.head);
    nghttp2_submit_response(session_, stream, head.data(), head.size(), has_body ? &provider : nullptr);
  }

  const Answer answer_;
  std::string unsent_;
  Fields asked_ = {};
  std::string body_ = {};
  nghttp2_session* session_ = nullptr;
};

HealthTarget by_path() {
  return {.address = "::1", .port = 7, .protocol = model::ReplicaProtocol::kHttp2, .path = "/up"};
}

HealthTarget by_grpc(std::string service = "") {
  return {.address = "::1", .port = 7, .protocol = model::ReplicaProtocol::kHttp2, .grpc_service = std::move(service)};
}

/// "" for healthy, else what users are told.
std::string check(const HealthTarget& target, Http2Answerer& replica) {
  Http2Check check(target, "r");
  for (int round = 0; round < 10; ++round) {
    if (const auto outcome = check.feed(replica.talk(check.take_output()))) {
      return outcome->has_value() ? "" : outcome->error().message;
    }
  }
  return "no end";
}

std::string check(const HealthTarget& target, Http2Answerer::Answer answer) {
  Http2Answerer replica(std::move(answer));
  return check(target, replica);
}

Http2Answerer::Answer grpc_answer(std::string message) {
  return {.head = {{":status", "200"}, {"content-type", "application/grpc"}},
          .body = std::string("\0\0\0\0", 4) + static_cast<char>(message.size()) + message,
          .trailers = {{"grpc-status", "0"}}};
}

TEST(Http2Check, GetsAPath) {
  Http2Answerer replica({.head = {{":status", "204"}}});
  EXPECT_EQ(check(by_path(), replica), "");
  EXPECT_EQ(replica.asked().at(":method"), "GET");
  EXPECT_EQ(replica.asked().at(":path"), "/up");
  EXPECT_EQ(check(by_path(), {.head = {{":status", "200"}}, .body = std::string(10'000, 'x')}), "");
  EXPECT_EQ(check(by_path(), {.head = {{":status", "503"}}}), "r answers 503");
  EXPECT_EQ(check(by_path(), {.is_reset = true}), "r: the request was reset");
}

TEST(Http2Check, AsksTheHealthServiceOfGrpc) {
  Http2Answerer replica(grpc_answer("\x08\x01"));
  EXPECT_EQ(check(by_grpc("a.B"), replica), "");
  EXPECT_EQ(replica.asked().at(":method"), "POST");
  EXPECT_EQ(replica.asked().at(":path"), "/grpc.health.v1.Health/Check");
  EXPECT_EQ(replica.asked().at("content-type"), "application/grpc");
  EXPECT_EQ(replica.asked().at("te"), "trailers");
  EXPECT_EQ(replica.body(), std::string("\0\0\0\0\x05\x0a\x03"
                                        "a.B",
                                        10));
  Http2Answerer whole(grpc_answer("\x08\x01"));
  EXPECT_EQ(check(by_grpc(), whole), "");
  EXPECT_EQ(whole.body(), std::string(5, '\0'));
}

TEST(Http2Check, SaysWhatTheHealthServiceSays) {
  EXPECT_EQ(check(by_grpc(), grpc_answer("\x08\x02")), "r is NOT_SERVING");
  EXPECT_EQ(check(by_grpc(), grpc_answer("")), "r is UNKNOWN");
  EXPECT_EQ(check(by_grpc(), grpc_answer("\x12\x02hi\x08\x01")), "") << "fields of a later version are passed over";
  EXPECT_EQ(check(by_grpc(), grpc_answer("\x08")), "r: the answer is no HealthCheckResponse");
  EXPECT_EQ(check(by_grpc(), grpc_answer("\x12\x20hi")), "r: the answer is no HealthCheckResponse");
  const auto status = [](const char* number) {
    return check(by_grpc(), {.head = {{":status", "200"}, {"grpc-status", number}}});
  };
  EXPECT_EQ(status("12"), "r: the replica has no grpc.health.v1.Health (status 12)");
  EXPECT_EQ(status("5"), "r: no such service is known to its Health (status 5)");
  EXPECT_EQ(status("14"), "r answers gRPC status 14");
  EXPECT_EQ(status("0"), "r: the answer is no HealthCheckResponse");
  EXPECT_EQ(check(by_grpc(), {.head = {{":status", "404"}}}), "r answers 404, which is not gRPC");
}

TEST(Http2Check, ToldByWhatIsNoHttp2) {
  const auto told = [](std::string_view bytes) {
    Http2Check check(by_path(), "r");
    check.take_output();
    const auto outcome = check.feed(bytes);
    return !outcome ? "more" : outcome->has_value() ? "healthy" : outcome->error().message;
  };
  EXPECT_EQ(told("HTTP/1.1 400 Bad Request\r\n\r\n"), "r: the answer is not HTTP/2");
  EXPECT_EQ(told(""), "r: the connection ended before the answer");
}

}  // namespace
}  // namespace busbar::control
