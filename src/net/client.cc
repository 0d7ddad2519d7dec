#include "net/client.h"

#include <curl/curl.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <mutex>
#include <optional>
#include <utility>

#include "base/text.h"
#include "net/internal/base_url.h"

namespace busbar::net {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

/// Of an error answer to `stream`, which nobody else bounds.
constexpr std::size_t kMaxErrorBodyBytes = 1 << 20;
constexpr int kMaxWaitMs = 1'000;

using CurlList = std::unique_ptr<curl_slist, decltype(&curl_slist_free_all)>;

/// What libcurl's callbacks need of the call in work.
struct Transfer {
  HttpResponse response = {};
  std::size_t max_body_bytes = 0;
  const std::function<bool(std::string_view)>* on_bytes = nullptr;  ///< Set: success bodies go here.
  steady_clock::time_point last_bytes = steady_clock::now();
  bool is_stopped_by_caller = false;
  bool is_too_big = false;
};

std::size_t on_header(char* data, std::size_t, std::size_t bytes, void* user) {
  Transfer& transfer = *static_cast<Transfer*>(user);
  const std::string_view line = trim(std::string_view(data, bytes));
  if (line.starts_with("HTTP/")) {  // a new answer: what came before was a 100 Continue
    transfer.response.headers.clear();
    const auto status = parse_int(line.substr(std::min(line.find(' ') + 1, line.size())).substr(0, 3));
    transfer.response.status = static_cast<int>(status.value_or(0));
  } else if (const std::size_t colon = line.find(':'); colon != std::string_view::npos) {
    transfer.response.headers.emplace_back(line.substr(0, colon), trim(line.substr(colon + 1)));
  }
  transfer.last_bytes = steady_clock::now();
  return bytes;
}

std::size_t on_body(char* data, std::size_t, std::size_t bytes, void* user) {
  Transfer& transfer = *static_cast<Transfer*>(user);
  transfer.last_bytes = steady_clock::now();
  if (transfer.on_bytes && transfer.response.is_success()) {
    transfer.is_stopped_by_caller = !(*transfer.on_bytes)({data, bytes});
    return transfer.is_stopped_by_caller ? CURL_WRITEFUNC_ERROR : bytes;
  }
  if (transfer.response.body.size() + bytes > transfer.max_body_bytes) {
    transfer.is_too_big = true;
    return CURL_WRITEFUNC_ERROR;
  }
  transfer.response.body.append(data, bytes);
  return bytes;
}

class CurlClient : public HttpClient {
 public:
  CurlClient(HttpClientOptions options, BaseUrl url) : options_(std::move(options)), url_(std::move(url)) {
    // Once a process; thread-safe since libcurl 7.84. Since 7.57 the flags do not say whether TLS is set up.
    static std::once_flag is_ready;
    std::call_once(is_ready, [] { curl_global_init(CURL_GLOBAL_NOTHING); });
    multi_ = curl_multi_init();
    easy_ = curl_easy_init();
  }

  ~CurlClient() override {
    curl_easy_cleanup(easy_);
    curl_multi_cleanup(multi_);
  }

  bool is_ready() const { return multi_ && easy_; }

  Result<HttpResponse> request(const ClientRequest& request) override {
    Transfer transfer{.max_body_bytes = options_.max_response_bytes};
    const std::int64_t timeout_ms = request.timeout_ms > 0 ? request.timeout_ms : options_.timeout_ms;
    TRY(perform(request, transfer, timeout_ms, std::nullopt));
    return std::move(transfer.response);
  }

  Result<void> stream(const ClientRequest& request, const std::function<bool(std::string_view)>& on_bytes) override {
    Transfer transfer{.max_body_bytes = kMaxErrorBodyBytes, .on_bytes = &on_bytes};
    TRY(perform(request, transfer, request.timeout_ms, options_.stream_idle_timeout_ms));
    if (!transfer.response.is_success()) return tl::unexpected(error_from_response(transfer.response));
    return {};
  }

  void cancel() override {
    is_cancelled_.store(true);
    curl_multi_wakeup(multi_);
  }

 private:
  Result<void> perform(const ClientRequest& request, Transfer& transfer, std::int64_t timeout_ms,
                       std::optional<std::int64_t> idle_timeout_ms) {
    if (!request.target.starts_with('/') ||
        std::any_of(request.target.begin(), request.target.end(), [](char c) { return c <= ' ' || c == 0x7f; })) {
      return make_error(ErrorCode::kInvalidArgument,
                        "the request target \"" + request.target + "\" is not an encoded path");
    }
    TRY_ASSIGN(const CurlList headers, prepare(request, transfer, timeout_ms));
    curl_multi_add_handle(multi_, easy_);
    Result<CURLcode> code = drive(transfer, idle_timeout_ms);
    curl_multi_remove_handle(multi_, easy_);
    if (transfer.is_stopped_by_caller) return {};
    if (!code) return tl::unexpected(std::move(code.error()));
    return outcome(*code, transfer, timeout_ms);
  }

  Result<CurlList> prepare(const ClientRequest& request, Transfer& transfer, std::int64_t timeout_ms) {
    curl_easy_reset(easy_);  // keeps the connections: they are the multi handle's
    const std::string scheme = url_.is_tls ? "https://" : "http://";
    const std::string full = scheme + url_.authority() + url_.prefix + request.target;
    curl_easy_setopt(easy_, CURLOPT_URL, full.c_str());
    curl_easy_setopt(easy_, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy_, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(easy_, CURLOPT_NOSIGNAL, 1L);
    if (!url_.is_tls) curl_easy_setopt(easy_, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
    if (!url_.unix_path.empty()) curl_easy_setopt(easy_, CURLOPT_UNIX_SOCKET_PATH, url_.unix_path.c_str());
    if (url_.is_local()) curl_easy_setopt(easy_, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(easy_, CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(options_.connect_timeout_ms));
    curl_easy_setopt(easy_, CURLOPT_TIMEOUT_MS, static_cast<long>(timeout_ms));
    curl_easy_setopt(easy_, CURLOPT_ERRORBUFFER, error_text_);
    error_text_[0] = '\0';
    curl_easy_setopt(easy_, CURLOPT_HEADERFUNCTION, &on_header);
    curl_easy_setopt(easy_, CURLOPT_HEADERDATA, &transfer);
    curl_easy_setopt(easy_, CURLOPT_WRITEFUNCTION, &on_body);
    curl_easy_setopt(easy_, CURLOPT_WRITEDATA, &transfer);
    set_method(request);
    return set_headers(request);
  }

  void set_method(const ClientRequest& request) {
    if (request.method == "HEAD") {
      curl_easy_setopt(easy_, CURLOPT_NOBODY, 1L);
      return;
    }
    const bool has_body =
        !request.body.empty() || request.method == "POST" || request.method == "PUT" || request.method == "PATCH";
    if (has_body) {
      curl_easy_setopt(easy_, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request.body.size()));
      curl_easy_setopt(easy_, CURLOPT_POSTFIELDS, request.body.data());
    }
    curl_easy_setopt(easy_, CURLOPT_CUSTOMREQUEST, request.method.c_str());
  }

  Result<CurlList> set_headers(const ClientRequest& request) {
    HttpHeaders headers = request.headers;
    set_header(headers, "User-Agent", options_.user_agent);
    if (!options_.bearer_token.empty()) set_header(headers, "Authorization", "Bearer " + options_.bearer_token);
    // libcurl would send a form's type, and wait a second for "100 Continue" before a big body.
    if (!request.body.empty() && !find_header(headers, "content-type")) {
      headers.emplace_back("Content-Type", "application/json");
    }
    CurlList list(curl_slist_append(nullptr, "Expect:"), &curl_slist_free_all);
    for (const auto& [name, value] : headers) {
      const std::string line = value.empty() ? name + ";" : name + ": " + value;
      if (line.find_first_of("\r\n") != std::string::npos) {
        return make_error(ErrorCode::kInvalidArgument, "a line break in the request header \"" + name + "\"");
      }
      list.reset(curl_slist_append(list.release(), line.c_str()));
    }
    curl_easy_setopt(easy_, CURLOPT_HTTPHEADER, list.get());
    return list;
  }

  /// Runs the transfer to its end, `cancel`, or silence beyond the idle timeout.
  Result<CURLcode> drive(Transfer& transfer, std::optional<std::int64_t> idle_timeout_ms) {
    for (;;) {
      if (is_cancelled_.load()) return make_error(ErrorCode::kCancelled, "the call was cancelled");
      int running = 0;
      if (const CURLMcode code = curl_multi_perform(multi_, &running); code != CURLM_OK) {
        return make_error(ErrorCode::kInternal, "the HTTP client failed", curl_multi_strerror(code));
      }
      int queued = 0;
      while (const CURLMsg* message = curl_multi_info_read(multi_, &queued)) {
        if (message->msg == CURLMSG_DONE) return message->data.result;
      }
      if (idle_timeout_ms && steady_clock::now() - transfer.last_bytes > milliseconds(*idle_timeout_ms)) {
        return make_error(ErrorCode::kDeadlineExceeded, "the server at " + url_.authority() + " sent nothing for " +
                                                            std::to_string(*idle_timeout_ms / 1000) + " s");
      }
      const std::int64_t wait_ms = std::min<std::int64_t>(kMaxWaitMs, idle_timeout_ms.value_or(kMaxWaitMs));
      curl_multi_poll(multi_, nullptr, 0, static_cast<int>(wait_ms), nullptr);
    }
  }

  Result<void> outcome(CURLcode code, const Transfer& transfer, std::int64_t timeout_ms) const {
    const std::string cause = error_text_[0] ? error_text_ : curl_easy_strerror(code);
    switch (code) {
      case CURLE_OK:
        return {};
      case CURLE_COULDNT_CONNECT:
      case CURLE_COULDNT_RESOLVE_HOST:
        return tl::unexpected(unreachable_error(url_, cause));
      case CURLE_OPERATION_TIMEDOUT:
        return make_error(ErrorCode::kDeadlineExceeded,
                          "no answer from " + url_.authority() + " within " + std::to_string(timeout_ms) + " ms",
                          cause);
      case CURLE_WRITE_ERROR:
        if (transfer.is_too_big) {
          return make_error(ErrorCode::kResourceExhausted,
                            "the server's answer is bigger than " + std::to_string(transfer.max_body_bytes) + " bytes");
        }
        [[fallthrough]];
      default:
        return tl::unexpected(Error{.code = ErrorCode::kUnavailable,
                                    .message = "the connection to " + url_.authority() + " broke",
                                    .cause = cause,
                                    .is_retryable = true});
    }
  }

  const HttpClientOptions options_;
  const BaseUrl url_;
  CURLM* multi_ = nullptr;
  CURL* easy_ = nullptr;
  char error_text_[CURL_ERROR_SIZE] = {};
  std::atomic<bool> is_cancelled_ = false;
};

}  // namespace

Result<std::unique_ptr<HttpClient>> HttpClient::create(HttpClientOptions options) {
  TRY_ASSIGN(BaseUrl url, parse_base_url(options.base_url));
  auto client = std::make_unique<CurlClient>(std::move(options), std::move(url));
  if (!client->is_ready()) return make_error(ErrorCode::kInternal, "libcurl could not be set up");
  return client;
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

}  // namespace busbar::net
