#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/json.h"

/// Plain HTTP values: what a handler gets and gives, and what the client returns. No sockets, no threads; values to
/// copy and move. Names of headers compare without case, as RFC 9110 §5.1 says.
namespace busbar::net {

using NameValue = std::pair<std::string, std::string>;
using HttpHeaders = std::vector<NameValue>;

/// The first header of that name (any case); nullptr when absent.
const std::string* find_header(const HttpHeaders& headers, std::string_view name);
/// Replaces every header of that name by one.
void set_header(HttpHeaders& headers, std::string name, std::string value);
/// True if a comma-separated header such as `Connection` or `Accept` names the token (any case, parameters ignored).
bool header_has_token(const HttpHeaders& headers, std::string_view name, std::string_view token);

/// One request, complete with its body. The server has checked it: the target is in origin form, every escape is valid,
/// the decoded path is UTF-8 without NUL and without "." or ".." segments.
struct HttpRequest {
  std::string method = "GET";
  std::string target = "/";           ///< As it stood on the request line.
  std::string path = "/";             ///< Decoded, without the query. Routers match `raw_path()`: %2F is no separator.
  std::vector<NameValue> query = {};  ///< Decoded ('+' is a space), in order; `?flag` has the value "".
  HttpHeaders headers = {};
  std::string body = {};
  std::string peer = {};                        ///< "127.0.0.1:40312", "[::1]:40312" or "unix".
  std::optional<std::uint32_t> peer_uid = {};   ///< The kernel's word for who connected; unix sockets only.
  std::vector<NameValue> path_parameters = {};  ///< Decoded; filled from Router::match by the handler.

  std::string_view raw_path() const;                                    ///< `target` up to the '?'.
  std::optional<std::string> query_value(std::string_view name) const;  ///< The first of that name.
  std::string header(std::string_view name) const;                      ///< "" when absent.
  std::string path_parameter(std::string_view name) const;              ///< "" when absent.
  std::string bearer_token() const;  ///< Of `Authorization: Bearer ...`; "" when absent.
};

struct HttpResponse {
  int status = 200;
  HttpHeaders headers = {};
  std::string body = {};

  std::string header(std::string_view name) const;  ///< "" when absent.
  bool is_success() const { return status >= 200 && status < 300; }
};

HttpResponse json_response(int status, const Json& body);
HttpResponse text_response(int status, std::string content_type, std::string body);
/// {"error":{"code":"not_found","message":"...","cause":"...","retryable":false}} with the status of the code.
HttpResponse error_response(const Error& error);
/// The same body with a status of its own, for what HTTP tells apart and ErrorCode does not (405, 413, 431 ...).
HttpResponse error_response(int status, const Error& error);
/// What `error_response` wrote, read back; any other body gives the code nearest to the status and the body's start.
Error error_from_response(const HttpResponse& response);

/// "Not Found"; "" for a status without a registered phrase.
std::string_view reason_phrase(int status);

/// Everything but RFC 3986's unreserved characters becomes %XX, so the result fits a path segment or a query value.
std::string percent_encode(std::string_view text);
/// Refuses bad escapes and NUL. `plus_is_space` is the query's rule.
enum class PlusSign { kLiteral, kSpace };
Result<std::string> percent_decode(std::string_view text, PlusSign plus = PlusSign::kLiteral);
/// "/v1/jobs" + {{"state", "running"}} -> "/v1/jobs?state=running".
std::string make_target(std::string_view path, const std::vector<NameValue>& query);

}  // namespace busbar::net
