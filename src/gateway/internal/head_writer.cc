#include "gateway/internal/head_writer.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <array>
#include <cstring>

#include "base/error.h"
#include "base/json.h"

namespace busbar::gateway::internal {
namespace {

std::string_view code_of(int status) {
  switch (status) {
    case 401:
      return "unauthenticated";
    case 403:
      return "permission_denied";
    case 404:
      return "not_found";
    case 413:
    case 429:
      return "resource_exhausted";
    case 501:
    case 505:
      return "unsupported";
    case 502:
    case 503:
      return "unavailable";
    case 408:
    case 504:
      return "deadline_exceeded";
    default:
      return status < 500 ? "invalid_argument" : "internal";
  }
}

/// Bytes that are appended in one piece where they lie together. What is added stays where it is until the end.
class Gatherer {
 public:
  explicit Gatherer(std::string& out) : out_(out) {}
  ~Gatherer() { flush(); }
  Gatherer(const Gatherer&) = delete;
  Gatherer& operator=(const Gatherer&) = delete;

  void add(std::string_view bytes) {
    if (bytes.data() != end_) {
      flush();
      begin_ = bytes.data();
    }
    end_ = bytes.data() + bytes.size();
  }

 private:
  void flush() {
    if (begin_ != nullptr) out_.append(begin_, static_cast<std::size_t>(end_ - begin_));
  }

  std::string& out_;
  const char* begin_ = nullptr;
  const char* end_ = nullptr;
};

/// Short pieces of known size, gathered on the stack: each is a few stores instead of a call.
class Piece {
 public:
  static constexpr std::size_t kMost = 256;  ///< Who adds more flushes in between.

  explicit Piece(std::string& out) : out_(out) {}
  ~Piece() { flush(); }
  Piece(const Piece&) = delete;
  Piece& operator=(const Piece&) = delete;

  template <std::size_t kSize>
  void add(const char (&text)[kSize]) {
    std::memcpy(at_, text, kSize - 1);
    at_ += kSize - 1;
  }
  void add_number(std::uint64_t number) {
    const fmt::format_int digits(number);
    std::memcpy(at_, digits.data(), digits.size());
    at_ += digits.size();
  }
  void add_address(const in6_addr& address) { at_ = write_address(at_, address); }
  /// Of any size.
  void add_text(std::string_view text) {
    flush();
    out_.append(text);
  }
  void flush() {
    out_.append(bytes_.data(), static_cast<std::size_t>(at_ - bytes_.data()));
    at_ = bytes_.data();
  }

 private:
  static char* write_address(char* at, const in6_addr& address);

  std::string& out_;
  std::array<char, kMost> bytes_;
  char* at_ = bytes_.data();
};

char* Piece::write_address(char* at, const in6_addr& address) {
  if (!IN6_IS_ADDR_V4MAPPED(&address)) {
    return inet_ntop(AF_INET6, &address, at, INET6_ADDRSTRLEN) != nullptr ? at + std::strlen(at) : at;
  }
  for (std::size_t index = 12; index < 16; ++index) {
    const unsigned value = address.s6_addr[index];
    if (index > 12) *at++ = '.';
    if (value >= 100) *at++ = static_cast<char>('0' + value / 100);
    if (value >= 10) *at++ = static_cast<char>('0' + value / 10 % 10);
    *at++ = static_cast<char>('0' + value % 10);
  }
  return at;
}

void add_framing(Piece& piece, Framing framing, std::uint64_t length) {
  if (framing == Framing::kChunked) piece.add("Transfer-Encoding: chunked\r\n");
  if (framing == Framing::kLength) {
    piece.add("Content-Length: ");
    piece.add_number(length);
    piece.add("\r\n");
  }
}

void add_upgrade(Piece& piece, std::span<const HeaderLine> headers) {
  piece.add("Connection: upgrade\r\n");
  for (const HeaderLine& header : headers) {
    if (header.id == HeaderId::kUpgrade) piece.add_text(header.line);
  }
}

/// The request line and the fields that go on. Whether X-Forwarded-For is among the fields.
bool append_request_lines(std::string& out, const RequestHead& head, const ForwardedRequest& request) {
  bool was_forwarded = false;
  Gatherer lines(out);
  if (!head.line.empty() && request.target.data() == head.target.data() &&
      request.target.size() == head.target.size()) {
    lines.add(head.line);
  } else {
    out.append(head.method);
    out += ' ';
    out.append(request.target);
    out.append(std::string_view(" HTTP/1.1\r\n"));
  }
  for (const HeaderLine& header : head.headers) {
    if (header.id == HeaderId::kOther && !header.is_hop_by_hop) {
      lines.add(header.line);
      continue;
    }
    was_forwarded = was_forwarded || header.id == HeaderId::kForwardedFor;
    if (header.id == request.credential || header.is_hop_by_hop || header.id == HeaderId::kForwardedFor ||
        header.id == HeaderId::kContentLength || header.id == HeaderId::kForwardedProto) {
      continue;
    }
    lines.add(header.line);
  }
  return was_forwarded;
}

}  // namespace

std::string_view reason_of(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 204:
      return "No Content";
    case 304:
      return "Not Modified";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 408:
      return "Request Timeout";
    case 413:
      return "Content Too Large";
    case 417:
      return "Expectation Failed";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 501:
      return "Not Implemented";
    case 502:
      return "Bad Gateway";
    case 503:
      return "Service Unavailable";
    case 504:
      return "Gateway Timeout";
    case 505:
      return "HTTP Version Not Supported";
    default:
      return status < 400 ? "OK" : "Error";
  }
}

void append_address(std::string& out, const in6_addr& address) {
  Piece(out).add_address(address);
}

void append_chunk_size(std::string& out, std::uint64_t size) {
  fmt::format_to(std::back_inserter(out), "{:x}\r\n", size);
}

void append_request_head(std::string& out, const RequestHead& head, const ForwardedRequest& request) {
  const bool was_forwarded = append_request_lines(out, head, request);
  Piece piece(out);
  if (head.host.empty()) piece.add("Host: busbar\r\n");
  // A length of zero is a fact too: some servers want it of a POST.
  const bool has_empty_body = request.framing == Framing::kNone && (head.method == "POST" || head.method == "PUT");
  add_framing(piece, has_empty_body ? Framing::kLength : request.framing, request.content_length);
  piece.add("X-Forwarded-For: ");
  for (const HeaderLine& header : was_forwarded ? head.headers : std::span<const HeaderLine>()) {
    if (header.id != HeaderId::kForwardedFor || header.is_hop_by_hop || header.value.empty()) continue;
    piece.add_text(header.value);
    piece.add(", ");
  }
  piece.add_address(request.peer);
  piece.add("\r\nX-Forwarded-Proto: http");
  if (request.is_secure) piece.add("s");
  piece.add("\r\n");
  if (!request.prefix.empty()) {
    piece.add("X-Forwarded-Prefix: ");
    piece.add_text(request.prefix);
    piece.add("\r\n");
  }
  if (!request.tenant.empty()) {
    piece.add("X-Busbar-Tenant: ");
    piece.add_text(request.tenant);
    piece.add("\r\nX-Busbar-Key: ");
    piece.add_text(request.key_id);
    piece.add("\r\n");
  }
  if (head.is_upgrade) {
    add_upgrade(piece, head.headers);
  } else if (head.takes_trailers) {
    // The client's word for it: we could drop them (RFC 9110 §10.1.4).
    piece.add("TE: trailers\r\nConnection: TE\r\n");
  }
  piece.add("\r\n");
}

void append_response_head(std::string& out, const ResponseHead& head, const ForwardedResponse& response) {
  Piece piece(out);
  {
    Gatherer lines(out);
    if (!head.line.empty() && !response.is_http10) {
      lines.add(head.line);
    } else {
      if (response.is_http10) piece.add("HTTP/1.0 ");
      if (!response.is_http10) piece.add("HTTP/1.1 ");
      piece.add_number(static_cast<std::uint64_t>(head.status));
      piece.add(" ");
      piece.add_text(head.reason);
      piece.add("\r\n");
      piece.flush();
    }
    for (const HeaderLine& header : head.headers) {
      if (!header.is_hop_by_hop) lines.add(header.line);
    }
  }
  if (!response.more.empty()) out.append(response.more);
  if (response.framing == Framing::kChunked) piece.add("Transfer-Encoding: chunked\r\n");
  if (head.status == 101) {
    add_upgrade(piece, head.headers);
  } else if (!response.keeps_alive) {
    piece.add("Connection: close\r\n");
  } else if (response.is_http10) {
    piece.add("Connection: keep-alive\r\n");
  }
  piece.add("\r\n");
}

void append_own_answer(std::string& out, const OwnAnswer& answer) {
  fmt::format_to(std::back_inserter(out), "HTTP/1.{} {} {}\r\nContent-Type: {}\r\nContent-Length: {}\r\n",
                 answer.is_http10 ? 0 : 1, answer.status, reason_of(answer.status), answer.content_type,
                 answer.body.size());
  if (answer.retry_after_s) fmt::format_to(std::back_inserter(out), "Retry-After: {}\r\n", *answer.retry_after_s);
  out.append(answer.more);
  if (!answer.keeps_alive) {
    out += "Connection: close\r\n";
  } else if (answer.is_http10) {
    out += "Connection: keep-alive\r\n";
  }
  out += "\r\n";
  if (!answer.is_head_request) out += answer.body;
}

std::string error_body(int status, std::string_view message) {
  const std::string_view code = code_of(status);
  return Json::object({{"error", Json::object({{"code", code}, {"message", message}, {"type", code}})}}).dump();
}

std::string openai_error_body(int status, std::string_view message) {
  std::string_view type = status < 500 ? "invalid_request_error" : "server_error";
  std::string_view code = code_of(status);
  if (status == 401) code = "invalid_api_key";
  if (status == 403) type = "permission_error";
  if (status == 404) code = "model_not_found";
  if (status == 429) {
    type = "rate_limit_error";
    code = "rate_limit_exceeded";
  }
  return Json::object(
             {{"error", Json::object({{"message", message}, {"type", type}, {"param", nullptr}, {"code", code}})}})
      .dump();
}

}  // namespace busbar::gateway::internal
