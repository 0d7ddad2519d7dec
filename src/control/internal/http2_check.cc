#include "control/internal/http2_check.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>
#include <vector>

#include "base/check.h"

namespace busbar::control {
namespace {

constexpr std::size_t kFrameHead = 5;     ///< Of gRPC: compressed or not, and four bytes of length.
constexpr std::size_t kMostBody = 4'096;  ///< A health answer has a few bytes; what is beyond is not kept.
constexpr std::string_view kGrpcPath = "/grpc.health.v1.Health/Check";

tl::unexpected<Error> unhealthy(std::string message) {
  return make_error(ErrorCode::kUnavailable, std::move(message));
}

void append_varint(std::string& out, std::uint64_t value) {
  for (; value >= 0x80; value >>= 7) out.push_back(static_cast<char>(value | 0x80));
  out.push_back(static_cast<char>(value));
}

std::optional<std::uint64_t> take_varint(std::string_view& bytes) {
  std::uint64_t value = 0;
  for (int shift = 0; shift < 64 && !bytes.empty(); shift += 7) {
    const auto byte = static_cast<std::uint8_t>(bytes.front());
    bytes.remove_prefix(1);
    value |= std::uint64_t{byte & 0x7fU} << shift;
    if (byte < 0x80) return value;
  }
  return std::nullopt;
}

/// HealthCheckRequest {string service = 1} in a frame of gRPC.
std::string health_request(std::string_view service) {
  std::string message;
  if (!service.empty()) {
    message.push_back('\x0a');
    append_varint(message, service.size());
    message.append(service);
  }
  std::string frame(1, '\0');
  for (const int shift : {24, 16, 8, 0}) frame.push_back(static_cast<char>((message.size() >> shift) & 0xff));
  return frame + message;
}

/// Field 1 of HealthCheckResponse {ServingStatus status = 1}; absent is 0. nullopt: no such message.
std::optional<std::uint64_t> serving_status(std::string_view frame) {
  if (frame.size() < kFrameHead || frame[0] != '\0') return std::nullopt;
  std::string_view message = frame.substr(kFrameHead);
  std::uint64_t status = 0;
  while (!message.empty()) {
    const auto key = take_varint(message);
    if (!key) return std::nullopt;
    const auto value = take_varint(message);  // a varint, or the length of what follows
    if (!value) return std::nullopt;
    if (*key == 0x08) {
      status = *value;
    } else if ((*key & 7) == 2 && *value <= message.size()) {
      message.remove_prefix(*value);
    } else if ((*key & 7) != 0) {
      return std::nullopt;
    }
  }
  return status;
}

std::string serving_name(std::uint64_t status) {
  constexpr std::array<std::string_view, 4> kNames = {"UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"};
  return status < kNames.size() ? std::string(kNames[status]) : fmt::format("status {}", status);
}

}  // namespace

struct Http2Check::Callbacks {
  static Http2Check& self(void* user) { return *static_cast<Http2Check*>(user); }

  static int on_header(nghttp2_session* /*session*/, const nghttp2_frame* /*frame*/, const std::uint8_t* name,
                       std::size_t name_size, const std::uint8_t* value, std::size_t value_size, std::uint8_t /*flags*/,
                       void* user) {
    const std::string_view key = net::text_of(name, name_size);
    if (key == ":status") self(user).status_ = net::text_of(value, value_size);
    if (key == "grpc-status") self(user).grpc_status_ = net::text_of(value, value_size);
    return 0;
  }
  static int on_data(nghttp2_session* /*session*/, std::uint8_t /*flags*/, std::int32_t /*stream*/,
                     const std::uint8_t* bytes, std::size_t size, void* user) {
    std::string& body = self(user).body_;
    body.append(net::text_of(bytes, std::min(size, kMostBody - body.size())));
    return 0;
  }
  static int on_close(nghttp2_session* /*session*/, std::int32_t /*stream*/, std::uint32_t error, void* user) {
    self(user).is_over_ = true;
    self(user).was_reset_ = error != NGHTTP2_NO_ERROR;
    return 0;
  }
  static ssize_t read_message(nghttp2_session* /*session*/, std::int32_t /*stream*/, std::uint8_t* out,
                              std::size_t room, std::uint32_t* flags, nghttp2_data_source* /*source*/, void* user) {
    std::string& message = self(user).message_;
    const std::size_t count = std::min(room, message.size());
    std::memcpy(out, message.data(), count);
    message.erase(0, count);
    if (message.empty()) *flags |= NGHTTP2_DATA_FLAG_EOF;
    return static_cast<ssize_t>(count);
  }
};

Http2Check::Http2Check(const HealthTarget& target, std::string where)
    : where_(std::move(where)), is_grpc_(target.grpc_service.has_value()) {
  nghttp2_session_callbacks* callbacks = nullptr;
  CHECK(nghttp2_session_callbacks_new(&callbacks) == 0, "out of memory");
  nghttp2_session_callbacks_set_on_header_callback(callbacks, Callbacks::on_header);
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, Callbacks::on_data);
  nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, Callbacks::on_close);
  CHECK(nghttp2_session_client_new(&session_, callbacks, this) == 0, "out of memory");
  nghttp2_session_callbacks_del(callbacks);
  CHECK(nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, nullptr, 0) == 0, "out of memory");
  submit(target);
}

Http2Check::~Http2Check() {
  nghttp2_session_del(session_);
}

void Http2Check::submit(const HealthTarget& target) {
  const std::string authority = fmt::format("{}:{}", target.address, target.port);
  net::Http2Fields fields;
  fields.add(":method", is_grpc_ ? "POST" : "GET");
  fields.add(":scheme", "http");
  fields.add(":authority", authority);
  fields.add(":path", is_grpc_ ? kGrpcPath : std::string_view(target.path));
  fields.add("user-agent", "busbar-health");
  nghttp2_data_provider body = {};
  body.read_callback = Callbacks::read_message;
  if (is_grpc_) {
    message_ = health_request(*target.grpc_service);
    fields.add("content-type", "application/grpc");
    fields.add("te", "trailers");
  }
  const std::vector<nghttp2_nv>& values = fields.values();
  CHECK(
      nghttp2_submit_request(session_, nullptr, values.data(), values.size(), is_grpc_ ? &body : nullptr, nullptr) > 0,
      "a new connection has numbers for streams");
}

std::string Http2Check::take_output() {
  // Broken or not, what there is goes out: `feed` says how it ends.
  (void)output_.fill(session_);
  std::string output(output_.view());
  output_.sent(output.size(), true);
  return output;
}

std::optional<Result<void>> Http2Check::feed(std::string_view bytes) {
  const ssize_t used =
      nghttp2_session_mem_recv(session_, reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
  if (is_over_) return verdict();
  // To nghttp2 it is a frame too large, answered with GOAWAY.
  if (used < 0 || bytes.starts_with("HTTP/")) return unhealthy(fmt::format("{}: the answer is not HTTP/2", where_));
  if (bytes.empty()) return unhealthy(fmt::format("{}: the connection ended before the answer", where_));
  return std::nullopt;
}

Result<void> Http2Check::verdict() const {
  if (was_reset_) return unhealthy(fmt::format("{}: the request was reset", where_));
  if (is_grpc_) return grpc_verdict();
  if (!status_.starts_with('2')) return unhealthy(fmt::format("{} answers {}", where_, status_));
  return {};
}

Result<void> Http2Check::grpc_verdict() const {
  if (status_ != "200") return unhealthy(fmt::format("{} answers {}, which is not gRPC", where_, status_));
  if (grpc_status_ == "12") {
    return unhealthy(fmt::format("{}: the replica has no grpc.health.v1.Health (status 12)", where_));
  }
  if (grpc_status_ == "5")
    return unhealthy(fmt::format("{}: no such service is known to its Health (status 5)", where_));
  if (grpc_status_ != "0") return unhealthy(fmt::format("{} answers gRPC status {}", where_, grpc_status_));
  const auto status = serving_status(body_);
  if (!status) return unhealthy(fmt::format("{}: the answer is no HealthCheckResponse", where_));
  if (*status != 1) return unhealthy(fmt::format("{} is {}", where_, serving_name(*status)));
  return {};
}

}  // namespace busbar::control
