#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "base/error.h"
#include "net/client.h"
#include "net/internal/base_url.h"

/// What both HTTP clients do and say alike, so that a caller cannot tell which one it has.
namespace busbar::net {

/// For servers on this machine, in clear: sockets and the parser, no library behind it. A process that only asks the
/// local server something is done before libcurl and what it needs would have been loaded.
std::unique_ptr<HttpClient> make_plain_client(HttpClientOptions options, BaseUrl url);
/// For all others: libcurl, which is loaded now if it has not been. kUnsupported if it is not installed.
Result<std::unique_ptr<HttpClient>> make_curl_client(HttpClientOptions options, BaseUrl url);

/// Of an error answer to `stream`, which nobody else bounds.
inline constexpr std::size_t kMaxErrorBodyBytes = 1 << 20;

/// kInvalidArgument unless the target can be sent as it is.
Result<void> check_client_target(const std::string& target);
/// The caller's headers with ours, checked. `has_body`: one is sent, even if it is empty.
Result<HttpHeaders> client_headers(const HttpClientOptions& options, const ClientRequest& request);
bool sends_body(const ClientRequest& request);

Error cancelled_error();
Error no_answer_error(const BaseUrl& url, std::int64_t timeout_ms, std::string cause);
Error silent_error(const BaseUrl& url, std::int64_t idle_ms);
Error too_big_error(std::size_t max_bytes);
Error broken_error(const BaseUrl& url, std::string cause);

}  // namespace busbar::net
