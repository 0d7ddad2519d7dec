// Chunked answers of replicas, and the trailers behind them.

#include "gateway/internal/worker.h"

namespace busbar::gateway::internal {

// What Connection names does not go on, in a head or behind the content (RFC 9110 §7.6.1).
void Worker::note_connection(Trailers& trailers, std::span<const HeaderLine> headers) {
  for (const HeaderLine& header : headers) {
    if (header.id == HeaderId::kConnection) trailers.connection.append(header.value).append(",");
  }
}

bool Worker::take_chunks(Exchange& exchange, std::string_view head, std::string_view bytes) {
  std::size_t used = 0;
  std::size_t passed = 0;  // Without the trailers.
  Trailers& trailers = exchange.response_trailers;
  // Where chunks mean nothing: what they hold.
  const bool is_plain = exchange.is_http10 || exchange.client->kind == SocketKind::kStream;
  std::string plain(is_plain ? head : std::string_view());
  while (used < bytes.size() && !exchange.response_chunks.is_done() && !exchange.response_chunks.is_broken()) {
    const ChunkScanner::Piece piece = exchange.response_chunks.step(bytes.substr(used));
    used += piece.bytes;
    if (piece.trailers.empty()) {
      passed = used;
    } else {
      trailers.lines.append(piece.trailers);
    }
    if (exchange.wants_usage) exchange.usage.feed(piece.payload);
    if (is_plain) plain += piece.payload;
  }
  const bool is_done = exchange.response_chunks.is_done();
  if (exchange.response_chunks.is_broken() || (is_done && !close_section(trailers))) {
    if (!head.empty()) exchange.response_phase = ResponsePhase::kHead;  // Nothing has been said yet.
    return response_broken(exchange, "the replica's chunked answer is broken");
  }
  if (is_plain) {
    if (!send_client(exchange, {}, plain)) return false;
  } else if (!send_chunks(exchange, head, bytes.substr(0, is_done ? used : passed), passed)) {
    return false;
  }
  if (!is_done) return true;
  if (exchange.client->kind == SocketKind::kStream) {
    static_cast<Stream&>(*exchange.client).answer_trailers = trailers.lines;
  }
  return finish_response(exchange, used == bytes.size());
}

// `bytes` as they came; behind `passed` of them is the end of the trailer section.
bool Worker::send_chunks(Exchange& exchange, std::string_view head, std::string_view bytes, std::size_t passed) {
  constexpr std::string_view kNoTrailers = "\r\n";
  if (head.empty() && bytes.empty()) return true;
  if (!exchange.response_chunks.is_done()) return send_client(exchange, head, bytes);
  const Trailers& trailers = exchange.response_trailers;
  if (trailers.lines.empty() && bytes.substr(passed) == kNoTrailers) return send_client(exchange, head, bytes);
  std::string last(bytes.substr(0, passed));
  // A client that does not ask for them need not have room for them.
  if (exchange.takes_trailers) last += trailers.lines;
  last += kNoTrailers;
  return send_client(exchange, head, last);
}

}  // namespace busbar::gateway::internal
