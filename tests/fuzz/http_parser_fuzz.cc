#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "net/internal/request_parser.h"

namespace {

using busbar::net::HttpRequest;
using busbar::net::RequestParser;

/// Every request that the bytes hold, as one text. (How the rest ends is not compared: what is bad and not complete yet
/// may be refused now or when it is complete; that depends on the pieces, and harms nobody.)
std::string read_all(std::string_view bytes, std::size_t piece) {
  RequestParser parser({.max_header_bytes = 4096, .max_body_bytes = 4096});
  std::string seen;
  const auto take_complete = [&] {
    while (parser.state() == RequestParser::State::kComplete) {
      const HttpRequest request = parser.take();
      seen += request.method + "|" + request.target + "|" + request.path + "|" + request.body + "|";
      for (const auto& [name, value] : request.headers) seen += name + "=" + value + "|";
      for (const auto& [name, value] : request.query) seen += name + "=" + value + "|";
      if (request.path.find('\0') != std::string::npos || request.body.size() > 4096) std::abort();
      parser.feed({});
    }
  };
  for (std::size_t at = 0; at < bytes.size(); at += piece) {
    parser.feed(bytes.substr(at, piece));
    take_complete();
  }
  return seen;
}

}  // namespace

/// What the server reads must not depend on how the network cut it into pieces: that would be request smuggling.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  const std::size_t piece = 1 + data[0] % 64;
  if (read_all(bytes, bytes.size()) != read_all(bytes, piece)) std::abort();
  return 0;
}
