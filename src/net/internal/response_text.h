#pragma once

#include <ctime>
#include <string>
#include <string_view>

#include "net/http.h"

namespace busbar::net {

/// How an answer's length is told to the client.
enum class BodyFraming {
  kContentLength,
  kChunked,
  kUntilClose,  ///< HTTP/1.0 streams.
  kNone,        ///< 204 and 304.
};

struct HeadOptions {
  BodyFraming framing = BodyFraming::kContentLength;
  std::size_t content_length = 0;
  bool is_last = false;           ///< Adds `Connection: close`.
  bool names_keep_alive = false;  ///< HTTP/1.0 wants to be told.
  std::time_t now = 0;            ///< For `Date`.
};

/// Status line and headers with the empty line. Framing headers of the caller are ignored (ours are right); line breaks
/// in values become spaces, so no value can add a header.
std::string format_head(int status, const HttpHeaders& headers, const HeadOptions& options);

/// The size line of one chunk of the chunked coding; the bytes and CR LF follow. Not for 0 bytes: that is the end mark.
std::string format_chunk_head(std::size_t bytes);
inline constexpr std::string_view kLastChunk = "0\r\n\r\n";

}  // namespace busbar::net
