#include "gateway/internal/head_writer.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <cstring>

#include "base/error.h"
#include "base/json.h"

namespace busbar::gateway::internal {
namespace {

std::string_view reason_of(int status) {
  switch (status) {
    case 200:
      return "OK";
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
      return "Error";
  }
}

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

/// Copies the field lines that `keep` wants, neighbours in one piece.
template <class Keep>
void append_lines(std::string& out, std::span<const HeaderLine> headers, Keep keep) {
  const char* begin = nullptr;
  const char* end = nullptr;
  for (const HeaderLine& header : headers) {
    if (!keep(header)) continue;
    if (header.line.data() != end) {
      if (begin != nullptr) out.append(begin, static_cast<std::size_t>(end - begin));
      begin = header.line.data();
    }
    end = header.line.data() + header.line.size();
  }
  if (begin != nullptr) out.append(begin, static_cast<std::size_t>(end - begin));
}

void append_framing(std::string& out, Framing framing, std::uint64_t length) {
  if (framing == Framing::kChunked) out += "Transfer-Encoding: chunked\r\n";
  if (framing == Framing::kLength) {
    out += "Content-Length: ";
    out += fmt::format_int(length).c_str();
    out += "\r\n";
  }
}

}  // namespace

void append_address(std::string& out, const in6_addr& address) {
  if (IN6_IS_ADDR_V4MAPPED(&address)) {
    for (std::size_t index = 12; index < 16; ++index) {
      const unsigned value = address.s6_addr[index];
      if (index > 12) out += '.';
      if (value >= 100) out += static_cast<char>('0' + value / 100);
      if (value >= 10) out += static_cast<char>('0' + value / 10 % 10);
      out += static_cast<char>('0' + value % 10);
    }
    return;
  }
  char text[INET6_ADDRSTRLEN] = {};
  if (inet_ntop(AF_INET6, &address, text, sizeof(text)) != nullptr) out += text;
}

void append_chunk_size(std::string& out, std::uint64_t size) {
  fmt::format_to(std::back_inserter(out), "{:x}\r\n", size);
}

void append_request_head(std::string& out, const RequestHead& head, const ForwardedRequest& request) {
  out.append(head.method);
  out += ' ';
  out.append(request.target);
  out += " HTTP/1.1\r\n";
  bool was_forwarded = false;
  const HeaderId credential = request.credential;
  append_lines(out, head.headers, [&was_forwarded, credential](const HeaderLine& header) {
    was_forwarded = was_forwarded || header.id == HeaderId::kForwardedFor;
    if (header.id == credential && credential != HeaderId::kOther) return false;
    return !header.is_hop_by_hop && header.id != HeaderId::kForwardedFor && header.id != HeaderId::kContentLength &&
           header.id != HeaderId::kForwardedProto;
  });
  if (head.host.empty()) out += "Host: busbar\r\n";
  // A length of zero is a fact too: some servers want it of a POST.
  const bool has_empty_body = request.framing == Framing::kNone && (head.method == "POST" || head.method == "PUT");
  append_framing(out, has_empty_body ? Framing::kLength : request.framing, request.content_length);
  out += "X-Forwarded-For: ";
  for (const HeaderLine& header : was_forwarded ? head.headers : std::span<const HeaderLine>()) {
    if (header.id != HeaderId::kForwardedFor || header.is_hop_by_hop || header.value.empty()) continue;
    out.append(header.value);
    out += ", ";
  }
  append_address(out, request.peer);
  out += request.is_secure ? "\r\nX-Forwarded-Proto: https\r\n" : "\r\nX-Forwarded-Proto: http\r\n";
  if (!request.prefix.empty()) {
    out += "X-Forwarded-Prefix: ";
    out.append(request.prefix);
    out += "\r\n";
  }
  if (!request.tenant.empty()) {
    out += "X-Busbar-Tenant: ";
    out.append(request.tenant);
    out += "\r\nX-Busbar-Key: ";
    out.append(request.key_id);
    out += "\r\n";
  }
  if (head.is_upgrade) {
    out += "Connection: upgrade\r\n";
    append_lines(out, head.headers, [](const HeaderLine& header) { return header.id == HeaderId::kUpgrade; });
  }
  out += "\r\n";
}

void append_response_head(std::string& out, const ResponseHead& head, const ForwardedResponse& response) {
  out += response.is_http10 ? "HTTP/1.0 " : "HTTP/1.1 ";
  out += fmt::format_int(head.status).c_str();
  out += ' ';
  out.append(head.reason);
  out += "\r\n";
  append_lines(out, head.headers, [](const HeaderLine& header) { return !header.is_hop_by_hop; });
  if (!response.more.empty()) out.append(response.more);
  if (response.framing == Framing::kChunked) out += "Transfer-Encoding: chunked\r\n";
  if (head.status == 101) {
    out += "Connection: upgrade\r\n";
    append_lines(out, head.headers, [](const HeaderLine& header) { return header.id == HeaderId::kUpgrade; });
  } else if (!response.keeps_alive) {
    out += "Connection: close\r\n";
  } else if (response.is_http10) {
    out += "Connection: keep-alive\r\n";
  }
  out += "\r\n";
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
