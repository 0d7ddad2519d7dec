#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "gateway/chunk_scanner.h"
#include "gateway/http_head.h"
#include "gateway/internal/head_writer.h"
#include "gateway/trailers.h"

namespace {

using busbar::gateway::ChunkScanner;
using busbar::gateway::Framing;
using busbar::gateway::HeaderId;
using busbar::gateway::HeaderLine;
using busbar::gateway::HeadParser;
using busbar::gateway::RequestHead;
using busbar::gateway::Trailers;

void require(bool holds) {
  if (!holds) std::abort();
}

/// What goes on of trailers is fields, and none that a receiver could take for its message's own.
void check_trailers(Trailers& trailers) {
  if (!close_section(trailers)) return;
  require(trailers.lines.size() <= busbar::gateway::kMaxTrailerBytes);
  const std::string head = "HTTP/1.1 200 \r\n" + trailers.lines + "\r\n";
  HeadParser parser;
  require(HeadParser::head_size(head, 0) == head.size());
  require(!parser.parse_response(head).is_fault());
  require(parser.response().framing == Framing::kUntilClose && parser.response().keeps_alive);
  for (const HeaderLine& header : parser.response().headers) {
    require(header.id == HeaderId::kOther && !header.is_hop_by_hop);
  }
}

/// A chunked body as it is read in pieces of this size: content, trailers, bytes used, and how it ended.
std::string walk(std::string_view bytes, std::size_t piece) {
  ChunkScanner scanner;
  Trailers trailers{.connection = "x-hop,"};
  std::string payload;
  std::size_t used = 0;
  while (used < bytes.size() && !scanner.is_done() && !scanner.is_broken()) {
    const ChunkScanner::Piece step = scanner.step(bytes.substr(used, piece));
    used += step.bytes;
    payload += step.payload;
    trailers.lines += step.trailers;
    require(step.payload.empty() || step.trailers.empty());
  }
  if (scanner.is_done()) check_trailers(trailers);
  return payload + "|" + trailers.lines + "|" + std::to_string(used) +
         (scanner.is_done()     ? "done"
          : scanner.is_broken() ? "broken"
                                : "more");
}

/// What a replica is sent means to it what the request meant to us: same host, target and framing, nothing hop-by-hop.
void check_forwarded(const RequestHead& head) {
  const std::string host(head.host);
  const std::string target(head.target);
  const Framing framing = head.framing;
  const std::uint64_t length = head.content_length;
  const bool is_upgrade = head.is_upgrade;
  std::string written;
  busbar::gateway::internal::append_request_head(
      written, head, {.target = head.target, .framing = head.framing, .content_length = head.content_length});
  require(HeadParser::head_size(written, 0) == written.size());
  HeadParser again;
  if (again.parse_request(written).is_fault()) {
    // The fields that we add may be the ones too many.
    require(head.headers.size() + 6 >= busbar::gateway::kMaxHeaders);
    return;
  }
  require(again.request().target == target);
  require(host.empty() || again.request().host == host);
  require(again.request().framing == framing);
  require(again.request().content_length == length || framing != Framing::kLength);
  require(again.request().is_upgrade == is_upgrade);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  const std::size_t piece = 1 + data[0] % 32;
  require(walk(bytes, bytes.size()) == walk(bytes, piece));

  std::size_t found = 0;
  for (std::size_t end = piece; found == 0 && end < bytes.size() + piece; end += piece) {
    found = HeadParser::head_size(bytes.substr(0, end), end > piece ? end - piece : 0);
  }
  require(found == HeadParser::head_size(bytes, 0));
  if (found == 0) return 0;
  HeadParser parser;
  const std::string_view head = bytes.substr(0, found);
  if (!parser.parse_request(head).is_fault()) check_forwarded(parser.request());
  parser.parse_response(head);
  return 0;
}
