#include "net/http.h"

#include <algorithm>

#include "base/text.h"

namespace busbar::net {
namespace {

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

bool equals_ignoring_case(std::string_view a, std::string_view b) {
  return a.size() == b.size() &&
         std::equal(a.begin(), a.end(), b.begin(), [](char x, char y) { return lower(x) == lower(y); });
}

const std::string* find_value(const std::vector<NameValue>& pairs, std::string_view name) {
  for (const auto& [key, value] : pairs) {
    if (key == name) return &value;
  }
  return nullptr;
}

ErrorCode code_of_status(int status) {
  switch (status) {
    case 401:
      return ErrorCode::kUnauthenticated;
    case 403:
      return ErrorCode::kPermissionDenied;
    case 404:
      return ErrorCode::kNotFound;
    case 409:
      return ErrorCode::kAlreadyExists;
    case 412:
      return ErrorCode::kFailedPrecondition;
    case 413:
    case 429:
    case 431:
      return ErrorCode::kResourceExhausted;
    case 405:
    case 501:
      return ErrorCode::kUnsupported;
    case 408:
    case 504:
      return ErrorCode::kDeadlineExceeded;
    case 502:
    case 503:
      return ErrorCode::kUnavailable;
    default:
      return status >= 400 && status < 500 ? ErrorCode::kInvalidArgument : ErrorCode::kInternal;
  }
}

}  // namespace

const std::string* find_header(const HttpHeaders& headers, std::string_view name) {
  for (const auto& [key, value] : headers) {
    if (equals_ignoring_case(key, name)) return &value;
  }
  return nullptr;
}

void set_header(HttpHeaders& headers, std::string name, std::string value) {
  std::erase_if(headers, [&](const NameValue& header) { return equals_ignoring_case(header.first, name); });
  headers.emplace_back(std::move(name), std::move(value));
}

bool header_has_token(const HttpHeaders& headers, std::string_view name, std::string_view token) {
  for (const auto& [key, value] : headers) {
    if (!equals_ignoring_case(key, name)) continue;
    for (std::string_view item : split(value, ',')) {
      if (equals_ignoring_case(trim(item.substr(0, item.find(';'))), token)) return true;
    }
  }
  return false;
}

std::string_view HttpRequest::raw_path() const {
  const std::string_view view = target;
  return view.substr(0, view.find('?'));
}

std::optional<std::string> HttpRequest::query_value(std::string_view name) const {
  const std::string* value = find_value(query, name);
  return value ? std::optional(*value) : std::nullopt;
}

std::string HttpRequest::header(std::string_view name) const {
  const std::string* value = find_header(headers, name);
  return value ? *value : std::string();
}

std::string HttpRequest::path_parameter(std::string_view name) const {
  const std::string* value = find_value(path_parameters, name);
  return value ? *value : std::string();
}

std::string HttpRequest::bearer_token() const {
  constexpr std::string_view kScheme = "bearer ";
  const std::string* value = find_header(headers, "authorization");
  if (!value || value->size() <= kScheme.size()) return {};
  const std::string_view view = *value;
  if (!equals_ignoring_case(view.substr(0, kScheme.size()), kScheme)) return {};
  return std::string(trim(view.substr(kScheme.size())));
}

std::string HttpResponse::header(std::string_view name) const {
  const std::string* value = find_header(headers, name);
  return value ? *value : std::string();
}

HttpResponse json_response(int status, const Json& body) {
  return {.status = status, .headers = {{"Content-Type", "application/json"}}, .body = body.dump()};
}

HttpResponse text_response(int status, std::string content_type, std::string body) {
  return {.status = status, .headers = {{"Content-Type", std::move(content_type)}}, .body = std::move(body)};
}

HttpResponse error_response(int status, const Error& error) {
  return json_response(status, Json::object({{"error", Json::object({{"code", error_code_name(error.code)},
                                                                     {"message", error.message},
                                                                     {"cause", error.cause},
                                                                     {"retryable", error.is_retryable}})}}));
}

HttpResponse error_response(const Error& error) {
  return error_response(http_status(error.code), error);
}

Error error_from_response(const HttpResponse& response) {
  constexpr std::size_t kMaxQuotedBytes = 200;
  if (const Result<Json> body = parse_json(response.body); body && (*body)["error"].is_object()) {
    const Json& error = (*body)["error"];
    return {.code = error_code_from_name(error["code"].as_string()),
            .message = error["message"].as_string(),
            .cause = error["cause"].as_string(),
            .is_retryable = error["retryable"].as_bool()};
  }
  return {.code = code_of_status(response.status),
          .message = "the server answered " + std::to_string(response.status) + " " +
                     std::string(reason_phrase(response.status)),
          .cause = response.body.substr(0, kMaxQuotedBytes),
          .is_retryable = response.status == 502 || response.status == 503};
}

std::string_view reason_phrase(int status) {
  static constexpr std::pair<int, std::string_view> kPhrases[] = {
      {100, "Continue"},
      {101, "Switching Protocols"},
      {200, "OK"},
      {201, "Created"},
      {202, "Accepted"},
      {204, "No Content"},
      {206, "Partial Content"},
      {301, "Moved Permanently"},
      {302, "Found"},
      {303, "See Other"},
      {304, "Not Modified"},
      {307, "Temporary Redirect"},
      {308, "Permanent Redirect"},
      {400, "Bad Request"},
      {401, "Unauthorized"},
      {403, "Forbidden"},
      {404, "Not Found"},
      {405, "Method Not Allowed"},
      {406, "Not Acceptable"},
      {408, "Request Timeout"},
      {409, "Conflict"},
      {410, "Gone"},
      {411, "Length Required"},
      {412, "Precondition Failed"},
      {413, "Content Too Large"},
      {415, "Unsupported Media Type"},
      {416, "Range Not Satisfiable"},
      {417, "Expectation Failed"},
      {421, "Misdirected Request"},
      {422, "Unprocessable Content"},
      {426, "Upgrade Required"},
      {429, "Too Many Requests"},
      {431, "Request Header Fields Too Large"},
      {499, "Client Closed Request"},
      {500, "Internal Server Error"},
      {501, "Not Implemented"},
      {502, "Bad Gateway"},
      {503, "Service Unavailable"},
      {504, "Gateway Timeout"},
      {505, "HTTP Version Not Supported"},
      {507, "Insufficient Storage"},
  };
  for (const auto& [code, phrase] : kPhrases) {
    if (code == status) return phrase;
  }
  return {};
}

}  // namespace busbar::net
