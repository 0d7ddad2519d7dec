#include "net/client.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "net/internal/client_parts.h"

namespace busbar::net {

Result<std::unique_ptr<HttpClient>> HttpClient::create(HttpClientOptions options) {
  TRY_ASSIGN(BaseUrl url, parse_base_url(options.base_url));
  if (url.is_local() && !url.is_tls) return make_plain_client(std::move(options), std::move(url));
  return make_curl_client(std::move(options), std::move(url));
}

Result<void> HttpClient::stream_events(const ClientRequest& request,
                                       const std::function<bool(const SseEvent&)>& on_event) {
  ClientRequest events = request;
  set_header(events.headers, "Accept", "text/event-stream");
  SseParser parser;
  std::optional<Error> failure;
  TRY(stream(events, [&](std::string_view bytes) {
    Result<bool> goes_on = parser.feed(bytes, on_event);
    if (!goes_on) failure = std::move(goes_on.error());
    return goes_on.value_or(false);
  }));
  if (failure) return tl::unexpected(*std::move(failure));
  return {};
}

Result<void> check_client_target(const std::string& target) {
  if (!target.starts_with('/') ||
      std::any_of(target.begin(), target.end(), [](char c) { return c <= ' ' || c == 0x7f; })) {
    return make_error(ErrorCode::kInvalidArgument, "the request target \"" + target + "\" is not an encoded path");
  }
  return {};
}

Result<HttpHeaders> client_headers(const HttpClientOptions& options, const ClientRequest& request) {
  HttpHeaders headers = request.headers;
  set_header(headers, "User-Agent", options.user_agent);
  if (!options.bearer_token.empty()) set_header(headers, "Authorization", "Bearer " + options.bearer_token);
  if (!request.body.empty() && !find_header(headers, "content-type")) {
    headers.emplace_back("Content-Type", "application/json");
  }
  for (const auto& [name, value] : headers) {
    if ((name + value).find_first_of("\r\n") != std::string::npos) {
      return make_error(ErrorCode::kInvalidArgument, "a line break in the request header \"" + name + "\"");
    }
  }
  return headers;
}

bool sends_body(const ClientRequest& request) {
  return !request.body.empty() || request.method == "POST" || request.method == "PUT" || request.method == "PATCH";
}

Error cancelled_error() {
  return {.code = ErrorCode::kCancelled, .message = "the call was cancelled"};
}

Error no_answer_error(const BaseUrl& url, std::int64_t timeout_ms, std::string cause) {
  return {.code = ErrorCode::kDeadlineExceeded,
          .message = "no answer from " + url.authority() + " within " + std::to_string(timeout_ms) + " ms",
          .cause = std::move(cause)};
}

Error silent_error(const BaseUrl& url, std::int64_t idle_ms) {
  return {.code = ErrorCode::kDeadlineExceeded,
          .message = "the server at " + url.authority() + " sent nothing for " + std::to_string(idle_ms / 1000) + " s"};
}

Error too_big_error(std::size_t max_bytes) {
  return {.code = ErrorCode::kResourceExhausted,
          .message = "the server's answer is bigger than " + std::to_string(max_bytes) + " bytes"};
}

Error broken_error(const BaseUrl& url, std::string cause) {
  return {.code = ErrorCode::kUnavailable,
          .message = "the connection to " + url.authority() + " broke",
          .cause = std::move(cause),
          .is_retryable = true};
}

}  // namespace busbar::net
