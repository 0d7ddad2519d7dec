// Both ends of HTTP/2 as the gateway has them: bytes of a client, and bytes of a replica. The first byte of the input
// says which, how the rest is cut into pieces, and whether it is raw or made of frames whose headers are written for
// it.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <deque>
#include <string>
#include <string_view>

#include "gateway/http_head.h"
#include "gateway/internal/http2_session.h"
#include "gateway/internal/upstream_session.h"

namespace {

using busbar::gateway::HeadParser;
using busbar::gateway::internal::Client;
using busbar::gateway::internal::Exchange;
using busbar::gateway::internal::Http2Session;
using busbar::gateway::internal::ResponsePhase;
using busbar::gateway::internal::SocketKind;
using busbar::gateway::internal::Stream;
using busbar::gateway::internal::Trunk;
using busbar::gateway::internal::UpstreamSession;
using busbar::gateway::internal::UpstreamStream;

constexpr std::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
constexpr std::string_view kSettings("\0\0\0\4\0\0\0\0\0", 9);
constexpr std::size_t kMostStreams = Http2Session::kMaxStreams + 600;  // Those of one piece that were reset.
constexpr std::size_t kRequests = 4;

void require(bool holds) {
  if (!holds) std::abort();
}

/// Records of type, flags, stream, length and so many bytes, as frames.
std::string as_frames(std::string_view bytes) {
  std::string out;
  while (bytes.size() >= 4) {
    const std::size_t length = std::min<std::size_t>(static_cast<unsigned char>(bytes[3]), bytes.size() - 4);
    out.append(2, '\0').append(1, static_cast<char>(length)).append(bytes.substr(0, 2));
    out.append(3, '\0').append(bytes.substr(2, 1)).append(bytes.substr(4, length));
    bytes.remove_prefix(4 + length);
  }
  return out;
}

/// What was made of the fields of HTTP/2 is one head of HTTP/1.1, whoever reads it.
void check_head(std::string_view head) {
  require(HeadParser::head_size(head, 0) == head.size());
}

struct ClientSide {
  Client connection = {};
  Http2Session session{connection};
  std::deque<Exchange> exchanges = {};
  HeadParser parser = {};

  void serve(Stream& stream) {
    if (stream.fd < 0) return;
    if (stream.is_closed) {
      stream.exchange = nullptr;
      session.forget(stream);
      return;
    }
    require(stream.body.size() <= Http2Session::kWindowBytes);
    require(stream.trailers.size() <= busbar::gateway::kMaxHeadBytes);
    if (stream.has_head && !stream.has_begun) {
      stream.has_begun = true;
      check_head(stream.head);
      const bool is_fine = !stream.is_head_too_long && !parser.parse_request(stream.head).is_fault();
      Exchange& exchange = exchanges.emplace_back();
      exchange.client = &stream;
      exchange.pending.append("answer");
      exchange.response_phase = is_fine ? ResponsePhase::kBody : ResponsePhase::kComplete;
      stream.exchange = &exchange;
      session.respond(stream, {.status = is_fine ? 200 : 400, .content_type = "text/plain"}, true);
    }
    session.consume(stream, stream.body.size() / 2);
    if (stream.has_ended && stream.exchange != nullptr) {
      session.consume(stream, stream.body.size());
      stream.answer_trailers = stream.trailers;
      stream.exchange->response_phase = ResponsePhase::kComplete;
      session.resume(stream);
    }
  }
  bool feed(std::string_view bytes, std::int64_t now_us) {
    const bool goes_on = session.feed(bytes, now_us);
    do {
      for (Stream* stream : session.take_touched()) serve(*stream);
      if (!session.fill()) return false;
      if (session.output().empty()) break;
      session.sent(session.output().size());
    } while (true);
    require(session.streams().size() <= kMostStreams);
    return goes_on && !session.is_over();
  }
};

struct ReplicaSide {
  UpstreamSession session = {};
  std::deque<UpstreamStream> streams = {};
  std::deque<Exchange> exchanges = {};
  HeadParser parser = {};

  ReplicaSide() {
    for (std::size_t index = 0; index < kRequests; ++index) ask(index);
  }
  void ask(std::size_t index) {
    std::string head = index % 2 == 0 ? "GET /a HTTP/1.1\r\nHost: a\r\n\r\n"
                                      : "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    Exchange& exchange = exchanges.emplace_back();
    UpstreamStream& stream = streams.emplace_back();
    stream.kind = SocketKind::kUpstreamStream;
    stream.exchange = &exchange;
    exchange.upstream = &stream;
    exchange.request.append(head);
    if (index % 2 != 0) exchange.request.append("5\r\nhello\r\n0\r\nx-a: b\r\n\r\n");
    if (index % 4 == 1) exchange.request_trailers.lines = "x-a: b\r\n";
    exchange.request_sent = head.size();
    require(!parser.parse_request(head).is_fault());
    session.add(stream);
    require(session.begin(stream, parser.request()));
  }
  void serve(UpstreamStream& stream) {
    if (stream.exchange == nullptr) return;
    require(stream.body.size() <= Http2Session::kWindowBytes);
    require(stream.trailers.size() <= busbar::gateway::kMaxHeadBytes);
    if (stream.has_head && !stream.head.empty()) {
      check_head(stream.head);
      parser.parse_response(stream.head);
      stream.head.clear();
    }
    const std::size_t size = stream.body.size();
    stream.body.consume(size);
    session.consume(stream, size);
    if (!stream.has_ended && !stream.is_closed) return;
    if (stream.has_ended) check_head("HTTP/1.1 200 \r\n" + stream.trailers + "\r\n");
    stream.exchange = nullptr;
    session.remove(stream);
    if (streams.size() < 64) ask(streams.size());
  }
  bool feed(std::string_view bytes) {
    const bool goes_on = session.feed(bytes);
    do {
      for (UpstreamStream* stream : session.take_touched()) serve(*stream);
      if (!session.fill()) return false;
      if (session.output().empty()) break;
      session.sent(session.output().size());
    } while (true);
    return goes_on && !session.is_over();
  }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  const std::string_view input(reinterpret_cast<const char*>(data) + 1, size - 1);
  const bool is_client = (data[0] & 1) != 0;
  const bool is_raw = (data[0] & 2) != 0;
  const std::size_t piece = static_cast<std::size_t>(1) << (data[0] >> 2 & 15);
  std::string bytes;
  if (!is_raw) {
    if (is_client) bytes += kPreface;
    bytes += kSettings;
  }
  bytes += is_raw ? std::string(input) : as_frames(input);
  ClientSide client;
  client.connection.fd = 0;
  ReplicaSide replica;
  std::int64_t now_us = 1'000'000;
  for (std::size_t at = 0; at < bytes.size(); at += piece) {
    const std::string_view part = std::string_view(bytes).substr(at, piece);
    if (!(is_client ? client.feed(part, ++now_us) : replica.feed(part))) break;
  }
  return 0;
}
