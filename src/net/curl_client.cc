#include <curl/curl.h>
#include <dlfcn.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>

#include "base/text.h"
#include "net/internal/client_parts.h"

namespace busbar::net {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr int kMaxWaitMs = 1'000;

/// What we use of libcurl. Loaded when it is first needed: with the 25 libraries that it brings it would double the
/// time that a process takes to start, and most never speak to another machine.
struct CurlLibrary {
  decltype(&::curl_global_init) global_init = nullptr;
  decltype(&::curl_easy_init) easy_init = nullptr;
  decltype(&::curl_easy_cleanup) easy_cleanup = nullptr;
  decltype(&::curl_easy_reset) easy_reset = nullptr;
  decltype(&::curl_easy_setopt) easy_setopt = nullptr;
  decltype(&::curl_easy_strerror) easy_strerror = nullptr;
  decltype(&::curl_multi_init) multi_init = nullptr;
  decltype(&::curl_multi_cleanup) multi_cleanup = nullptr;
  decltype(&::curl_multi_add_handle) multi_add_handle = nullptr;
  decltype(&::curl_multi_remove_handle) multi_remove_handle = nullptr;
  decltype(&::curl_multi_perform) multi_perform = nullptr;
  decltype(&::curl_multi_poll) multi_poll = nullptr;
  decltype(&::curl_multi_wakeup) multi_wakeup = nullptr;
  decltype(&::curl_multi_info_read) multi_info_read = nullptr;
  decltype(&::curl_multi_strerror) multi_strerror = nullptr;
  decltype(&::curl_slist_append) slist_append = nullptr;
  decltype(&::curl_slist_free_all) slist_free_all = nullptr;
};

Result<CurlLibrary> load_curl() {
  void* const handle = ::dlopen("libcurl.so.4", RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) {
    const char* const reason = ::dlerror();
    return make_error(ErrorCode::kUnsupported,
                      "https and servers on other machines need libcurl, which cannot be loaded; install libcurl4",
                      reason == nullptr ? "" : reason);
  }
  CurlLibrary curl;
  std::string missing;
  const auto bind = [&](auto& function, const char* name) {
    function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(::dlsym(handle, name));
    if (function == nullptr) missing = name;
  };
  bind(curl.global_init, "curl_global_init");
  bind(curl.easy_init, "curl_easy_init");
  bind(curl.easy_cleanup, "curl_easy_cleanup");
  bind(curl.easy_reset, "curl_easy_reset");
  bind(curl.easy_setopt, "curl_easy_setopt");
  bind(curl.easy_strerror, "curl_easy_strerror");
  bind(curl.multi_init, "curl_multi_init");
  bind(curl.multi_cleanup, "curl_multi_cleanup");
  bind(curl.multi_add_handle, "curl_multi_add_handle");
  bind(curl.multi_remove_handle, "curl_multi_remove_handle");
  bind(curl.multi_perform, "curl_multi_perform");
  bind(curl.multi_poll, "curl_multi_poll");
  bind(curl.multi_wakeup, "curl_multi_wakeup");
  bind(curl.multi_info_read, "curl_multi_info_read");
  bind(curl.multi_strerror, "curl_multi_strerror");
  bind(curl.slist_append, "curl_slist_append");
  bind(curl.slist_free_all, "curl_slist_free_all");
  if (!missing.empty()) {
    return make_error(ErrorCode::kUnsupported,
                      "libcurl is too old: it has no " + missing + "; 7.85 or later is needed");
  }
  // Since 7.57 the flags do not say whether TLS is set up.
  curl.global_init(CURL_GLOBAL_NOTHING);
  return curl;
}

/// Stays loaded: it keeps threads and handlers of its own.
const Result<CurlLibrary>& curl_library() {
  static const Result<CurlLibrary> library = load_curl();
  return library;
}

using CurlList = std::unique_ptr<curl_slist, decltype(&::curl_slist_free_all)>;

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
  CurlClient(const CurlLibrary& curl, HttpClientOptions options, BaseUrl url)
      : curl_(curl),
        options_(std::move(options)),
        url_(std::move(url)),
        multi_(curl_.multi_init()),
        easy_(curl_.easy_init()) {}

  ~CurlClient() override {
    curl_.easy_cleanup(easy_);
    curl_.multi_cleanup(multi_);
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
    curl_.multi_wakeup(multi_);
  }

 private:
  Result<void> perform(const ClientRequest& request, Transfer& transfer, std::int64_t timeout_ms,
                       std::optional<std::int64_t> idle_timeout_ms) {
    TRY(check_client_target(request.target));
    TRY_ASSIGN(const CurlList headers, prepare(request, transfer, timeout_ms));
    curl_.multi_add_handle(multi_, easy_);
    Result<CURLcode> code = drive(transfer, idle_timeout_ms);
    curl_.multi_remove_handle(multi_, easy_);
    if (transfer.is_stopped_by_caller) return {};
    if (!code) return tl::unexpected(std::move(code.error()));
    return outcome(*code, transfer, timeout_ms);
  }

  Result<CurlList> prepare(const ClientRequest& request, Transfer& transfer, std::int64_t timeout_ms) {
    curl_.easy_reset(easy_);  // keeps the connections: they are the multi handle's
    const std::string scheme = url_.is_tls ? "https://" : "http://";
    const std::string full = scheme + url_.authority() + url_.prefix + request.target;
    curl_.easy_setopt(easy_, CURLOPT_URL, full.c_str());
    curl_.easy_setopt(easy_, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_.easy_setopt(easy_, CURLOPT_PATH_AS_IS, 1L);
    curl_.easy_setopt(easy_, CURLOPT_NOSIGNAL, 1L);
    if (!url_.is_tls) curl_.easy_setopt(easy_, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
    if (url_.is_local()) curl_.easy_setopt(easy_, CURLOPT_NOPROXY, "*");
    curl_.easy_setopt(easy_, CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(options_.connect_timeout_ms));
    curl_.easy_setopt(easy_, CURLOPT_TIMEOUT_MS, static_cast<long>(timeout_ms));
    curl_.easy_setopt(easy_, CURLOPT_ERRORBUFFER, error_text_);
    error_text_[0] = '\0';
    curl_.easy_setopt(easy_, CURLOPT_HEADERFUNCTION, &on_header);
    curl_.easy_setopt(easy_, CURLOPT_HEADERDATA, &transfer);
    curl_.easy_setopt(easy_, CURLOPT_WRITEFUNCTION, &on_body);
    curl_.easy_setopt(easy_, CURLOPT_WRITEDATA, &transfer);
    set_method(request);
    return set_headers(request);
  }

  void set_method(const ClientRequest& request) {
    if (request.method == "HEAD") {
      curl_.easy_setopt(easy_, CURLOPT_NOBODY, 1L);
      return;
    }
    if (sends_body(request)) {
      curl_.easy_setopt(easy_, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request.body.size()));
      curl_.easy_setopt(easy_, CURLOPT_POSTFIELDS, request.body.data());
    }
    curl_.easy_setopt(easy_, CURLOPT_CUSTOMREQUEST, request.method.c_str());
  }

  Result<CurlList> set_headers(const ClientRequest& request) {
    TRY_ASSIGN(const HttpHeaders headers, client_headers(options_, request));
    // libcurl would wait a second for "100 Continue" before a big body.
    CurlList list(curl_.slist_append(nullptr, "Expect:"), curl_.slist_free_all);
    for (const auto& [name, value] : headers) {
      const std::string line = value.empty() ? name + ";" : name + ": " + value;
      list.reset(curl_.slist_append(list.release(), line.c_str()));
    }
    curl_.easy_setopt(easy_, CURLOPT_HTTPHEADER, list.get());
    return list;
  }

  /// Runs the transfer to its end, `cancel`, or silence beyond the idle timeout.
  Result<CURLcode> drive(Transfer& transfer, std::optional<std::int64_t> idle_timeout_ms) {
    for (;;) {
      if (is_cancelled_.load()) return tl::unexpected(cancelled_error());
      int running = 0;
      if (const CURLMcode code = curl_.multi_perform(multi_, &running); code != CURLM_OK) {
        return make_error(ErrorCode::kInternal, "the HTTP client failed", curl_.multi_strerror(code));
      }
      int queued = 0;
      while (const CURLMsg* message = curl_.multi_info_read(multi_, &queued)) {
        if (message->msg == CURLMSG_DONE) return message->data.result;
      }
      if (idle_timeout_ms && steady_clock::now() - transfer.last_bytes > milliseconds(*idle_timeout_ms)) {
        return tl::unexpected(silent_error(url_, *idle_timeout_ms));
      }
      const std::int64_t wait_ms = std::min<std::int64_t>(kMaxWaitMs, idle_timeout_ms.value_or(kMaxWaitMs));
      curl_.multi_poll(multi_, nullptr, 0, static_cast<int>(wait_ms), nullptr);
    }
  }

  Result<void> outcome(CURLcode code, const Transfer& transfer, std::int64_t timeout_ms) const {
    const std::string cause = error_text_[0] ? error_text_ : curl_.easy_strerror(code);
    switch (code) {
      case CURLE_OK:
        return {};
      case CURLE_COULDNT_CONNECT:
      case CURLE_COULDNT_RESOLVE_HOST:
        return tl::unexpected(unreachable_error(url_, cause));
      case CURLE_OPERATION_TIMEDOUT:
        return tl::unexpected(no_answer_error(url_, timeout_ms, cause));
      case CURLE_WRITE_ERROR:
        if (transfer.is_too_big) return tl::unexpected(too_big_error(transfer.max_body_bytes));
        [[fallthrough]];
      default:
        return tl::unexpected(broken_error(url_, cause));
    }
  }

  const CurlLibrary& curl_;
  const HttpClientOptions options_;
  const BaseUrl url_;
  CURLM* const multi_;
  CURL* const easy_;
  char error_text_[CURL_ERROR_SIZE] = {};
  std::atomic<bool> is_cancelled_ = false;
};

}  // namespace

Result<std::unique_ptr<HttpClient>> make_curl_client(HttpClientOptions options, BaseUrl url) {
  const Result<CurlLibrary>& curl = curl_library();
  if (!curl) return tl::unexpected(curl.error());
  auto client = std::make_unique<CurlClient>(*curl, std::move(options), std::move(url));
  if (!client->is_ready()) return make_error(ErrorCode::kInternal, "libcurl could not be set up");
  return client;
}

}  // namespace busbar::net
