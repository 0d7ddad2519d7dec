#pragma once

#include <netinet/in.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "gateway/http_head.h"

/// Heads as they go on: made of lines that were read and found good, never passed through unread.
namespace busbar::gateway::internal {

/// What HTTP/1.1 says beside a status: clients want something there.
std::string_view reason_of(int status);

struct ForwardedRequest {
  std::string_view target = {};
  std::string_view prefix = {};  ///< Taken off the target; told in X-Forwarded-Prefix.
  in6_addr peer = {};
  bool is_secure = false;  ///< It came by TLS.
  Framing framing = Framing::kNone;
  std::uint64_t content_length = 0;
  HeaderId credential = HeaderId::kOther;  ///< The field that held the caller's key: it is not for the replica.
  std::string_view tenant = {};            ///< "": the caller is not known.
  std::string_view key_id = {};
};

/// Appends the head for the replica: HTTP/1.1, without hop-by-hop fields, framed anew, with X-Forwarded-For and -Proto.
void append_request_head(std::string& out, const RequestHead& head, const ForwardedRequest& request);

struct ForwardedResponse {
  Framing framing = Framing::kNone;  ///< Towards the client.
  bool is_http10 = false;
  bool keeps_alive = true;
  std::string_view more = {};  ///< Field lines of our own.
};

/// Appends the head for the client. Content-Length stays as the replica sent it, also where no body follows.
void append_response_head(std::string& out, const ResponseHead& head, const ForwardedResponse& response);

struct OwnAnswer {
  int status = 500;
  std::string_view content_type = "application/json";
  std::string_view body = {};
  std::optional<std::int64_t> retry_after_s = {};
  bool keeps_alive = true;
  bool is_http10 = false;
  bool is_head_request = false;
  std::string_view more = {};  ///< Field lines.
};
void append_own_answer(std::string& out, const OwnAnswer& answer);

/// {"error":{"code":"unavailable","message":"...","type":"unavailable"}}: the API's form, with OpenAI's members.
std::string error_body(int status, std::string_view message);
/// As OpenAI's API words it, for its clients: {"error":{"message":...,"type":...,"param":null,"code":...}}.
std::string openai_error_body(int status, std::string_view message);

/// "192.0.2.1", "2001:db8::1"; addresses mapped into IPv6 as IPv4.
void append_address(std::string& out, const in6_addr& address);
/// One chunk's size line.
void append_chunk_size(std::string& out, std::uint64_t size);

}  // namespace busbar::gateway::internal
