#include "net/internal/response_text.h"

#include <algorithm>
#include <charconv>

#include "base/text.h"

namespace busbar::net {
namespace {

/// RFC 9110 §5.6.7, the same in every locale.
std::string http_date(std::time_t now) {
  static constexpr const char* kDays[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  static constexpr const char* kMonths[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                            "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  std::tm utc{};
  gmtime_r(&now, &utc);
  const auto two = [](int value) { return (value < 10 ? "0" : "") + std::to_string(value); };
  return std::string(kDays[utc.tm_wday]) + ", " + two(utc.tm_mday) + " " + kMonths[utc.tm_mon] + " " +
         std::to_string(1900 + utc.tm_year) + " " + two(utc.tm_hour) + ":" + two(utc.tm_min) + ":" + two(utc.tm_sec) +
         " GMT";
}

bool is_ours(std::string_view name) {
  static constexpr std::string_view kOurs[] = {"content-length", "transfer-encoding", "connection", "keep-alive",
                                               "date"};
  return std::find(std::begin(kOurs), std::end(kOurs), to_lower(name)) != std::end(kOurs);
}

void append_header(std::string& out, std::string_view name, std::string_view value) {
  const auto append_line_safe = [&out](std::string_view text) {
    for (char c : text) out += c == '\r' || c == '\n' || c == '\0' ? ' ' : c;
  };
  append_line_safe(name);
  out += ": ";
  append_line_safe(value);
  out += "\r\n";
}

}  // namespace

std::string format_head(int status, const HttpHeaders& headers, const HeadOptions& options) {
  std::string out;
  out.reserve(256);
  out += "HTTP/1.1 " + std::to_string(status) + " ";
  out += reason_phrase(status);
  out += "\r\n";
  for (const auto& [name, value] : headers) {
    if (!is_ours(name)) append_header(out, name, value);
  }
  append_header(out, "Date", http_date(options.now));
  switch (options.framing) {
    case BodyFraming::kContentLength:
      append_header(out, "Content-Length", std::to_string(options.content_length));
      break;
    case BodyFraming::kChunked:
      append_header(out, "Transfer-Encoding", "chunked");
      break;
    case BodyFraming::kUntilClose:
    case BodyFraming::kNone:
      break;
  }
  if (options.is_last) {
    append_header(out, "Connection", "close");
  } else if (options.names_keep_alive) {
    append_header(out, "Connection", "keep-alive");
  }
  out += "\r\n";
  return out;
}

std::string format_chunk_head(std::size_t bytes) {
  char size[20];
  const auto end = std::to_chars(size, size + sizeof size, bytes, 16).ptr;
  return std::string(size, end) + "\r\n";
}

}  // namespace busbar::net
