#include "cli/connection.h"

#include <fmt/format.h>

#include <array>

#include "base/text.h"
#include "os/files.h"

namespace busbar::cli {
namespace {

constexpr std::string_view kDefaultUrl = "http://127.0.0.1:7717";

bool is_url(std::string_view text) {
  return text.starts_with("http://") || text.starts_with("https://") || text.starts_with("unix:");
}

/// Host of "http://host:port/...", brackets of IPv6 kept.
std::string_view host_of(std::string_view url) {
  const std::size_t scheme = url.find("://");
  std::string_view rest = scheme == std::string_view::npos ? url : url.substr(scheme + 3);
  rest = rest.substr(0, rest.find('/'));
  if (rest.starts_with('[')) {
    return rest.substr(0, rest.find(']') + 1);
  }
  return rest.substr(0, rest.find(':'));
}

bool is_loopback(std::string_view url) {
  if (url.starts_with("unix:")) {
    return true;
  }
  const std::string_view host = host_of(url);
  // A name such as 127.0.0.1.example.org is somebody else's machine.
  const bool is_ipv4 = host.find_first_not_of("0123456789.") == std::string_view::npos;
  return host == "localhost" || host == "[::1]" || (is_ipv4 && host.starts_with("127."));
}

struct ServerFile {
  std::string url = {};
  std::string token_file = {};
};

/// What a running local server wrote about itself.
ServerFile read_server_file(const std::string& state_dir, const FileReader& read_file) {
  const auto text = read_file(state_dir + "/server.json");
  if (!text) {
    return {};
  }
  const auto json = parse_json(*text);
  if (!json) {
    return {};  // Half-written or foreign: as good as absent.
  }
  return {.url = (*json)["url"].as_string(), .token_file = (*json)["token_file"].as_string()};
}

Result<void> resolve_url(const EndpointInput& input, const ServerFile& file, Endpoint& endpoint) {
  const auto from_environment = input.environment("BUSBAR_SERVER").value_or("");
  if (!input.global.server.empty()) {
    endpoint.url = input.global.server;
    endpoint.url_source = "--server";
  } else if (!from_environment.empty()) {
    endpoint.url = from_environment;
    endpoint.url_source = "BUSBAR_SERVER";
  } else if (!file.url.empty()) {
    endpoint.url = file.url;
    endpoint.url_source = endpoint.state_dir + "/server.json";
  } else {
    endpoint.url = kDefaultUrl;
    endpoint.url_source = "default";
  }
  if (!is_url(endpoint.url)) {
    return make_error(ErrorCode::kInvalidArgument,
                      fmt::format("{} \"{}\" is no address; write http://HOST:PORT, https://HOST:PORT or unix:/PATH",
                                  endpoint.url_source, endpoint.url));
  }
  while (endpoint.url.ends_with('/')) {
    endpoint.url.pop_back();
  }
  return {};
}

Result<void> resolve_token(const EndpointInput& input, const ServerFile& file, Endpoint& endpoint) {
  if (!input.global.token.empty()) {
    endpoint.token = input.global.token;
    endpoint.token_source = "--token";
    return {};
  }
  if (const auto token = input.environment("BUSBAR_TOKEN"); token && !token->empty()) {
    endpoint.token = *token;
    endpoint.token_source = "BUSBAR_TOKEN";
    return {};
  }
  if (const auto path = input.environment("BUSBAR_TOKEN_FILE"); path && !path->empty()) {
    const auto text = input.read_file(*path);
    if (!text) {
      return make_error(ErrorCode::kInvalidArgument, "BUSBAR_TOKEN_FILE " + *path + " cannot be read");
    }
    endpoint.token = trim(*text);
    endpoint.token_source = "BUSBAR_TOKEN_FILE";
    return {};
  }
  const bool is_own_server = !file.url.empty() && endpoint.url == file.url;
  if (!is_own_server && !is_loopback(endpoint.url)) {
    return {};
  }
  for (const std::string& path : std::array{file.token_file, endpoint.state_dir + "/token"}) {
    const auto text = path.empty() ? std::nullopt : input.read_file(path);
    if (text) {
      endpoint.token = trim(*text);
      endpoint.token_source = path;
      return {};
    }
  }
  return {};
}

}  // namespace

std::optional<std::string> read_text_file(const std::string& path) {
  constexpr std::size_t kMaxBytes = 64 << 10;
  auto text = os::read_file(path, kMaxBytes);
  return text ? std::optional(*std::move(text)) : std::nullopt;
}

std::string find_state_dir(const std::string& flag, const Environment& environment, bool is_root) {
  if (!flag.empty()) {
    return flag;
  }
  if (const auto path = environment("BUSBAR_STATE_DIR"); path && !path->empty()) {
    return *path;
  }
  if (is_root) {
    return "/var/lib/busbar";
  }
  if (const auto path = environment("XDG_STATE_HOME"); path && path->starts_with('/')) {
    return *path + "/busbar";
  }
  return environment("HOME").value_or("") + "/.local/state/busbar";
}

Result<Endpoint> resolve_endpoint(const EndpointInput& input) {
  Endpoint endpoint{.state_dir = find_state_dir(input.global.state_dir, input.environment, input.is_root)};
  const ServerFile file = read_server_file(endpoint.state_dir, input.read_file);
  TRY(resolve_url(input, file, endpoint));
  TRY(resolve_token(input, file, endpoint));
  return endpoint;
}

std::string hint_for(const Error& error, const Endpoint& endpoint) {
  if (error.code == ErrorCode::kUnavailable && error.is_retryable) {
    return endpoint.url_source == "default" || endpoint.url_source.ends_with("/server.json")
               ? "start a server here with: busbar up (or name another with --server URL or BUSBAR_SERVER)"
               : fmt::format("the address came from {}; is the server running there?", endpoint.url_source);
  }
  if (error.code == ErrorCode::kUnauthenticated) {
    return endpoint.token_source.empty()
               ? fmt::format(
                     "no token was sent: give --token, BUSBAR_TOKEN or BUSBAR_TOKEN_FILE (the server keeps its "
                     "own in STATE_DIR/token; looked in {})",
                     endpoint.state_dir)
               : fmt::format("the token came from {}; it is not one that {} knows", endpoint.token_source,
                             endpoint.url);
  }
  return "";
}

std::string api_target(std::string_view path, const Query& query) {
  return net::make_target(path, query);
}

std::string job_target(std::string_view job, std::string_view rest, const Query& query) {
  return net::make_target(fmt::format("/v1/jobs/{}{}", net::percent_encode(job), rest), query);
}

Result<std::unique_ptr<ApiClient>> ApiClient::open(const Endpoint& endpoint) {
  TRY_ASSIGN(auto http, net::HttpClient::create({.base_url = endpoint.url, .bearer_token = endpoint.token}));
  return std::unique_ptr<ApiClient>(new ApiClient(std::move(http), endpoint.url));
}

tl::expected<Json, api::ErrorBody> ApiClient::send(const net::ClientRequest& request) {
  const auto response = http_->request(request);
  if (!response) {
    Error error = response.error();
    if (error.code == ErrorCode::kUnavailable) {
      error = {.code = error.code,
               .message = "no busbar server answers at " + url_,
               .cause = error.cause.empty() ? error.message : error.cause,
               .is_retryable = true};
    }
    return tl::unexpected(api::ErrorBody{.error = std::move(error)});
  }
  const auto json = response->body.empty() ? Result<Json>(Json()) : parse_json(response->body);
  if (response->status >= 400) {
    return tl::unexpected(api::error_body_from_json(json.value_or(Json()), response->status));
  }
  if (!json) {
    return tl::unexpected(api::ErrorBody{
        .error =
            with_context(fmt::format("{} is not a busbar server: its answer is no JSON", url_), json.error()).value()});
  }
  return *json;
}

Result<Json> ApiClient::call(const net::ClientRequest& request) {
  auto answer = send(request);
  if (!answer) {
    return tl::unexpected(std::move(answer.error().error));
  }
  return *std::move(answer);
}

Result<Json> ApiClient::get(const std::string& target) {
  return call({.method = "GET", .target = target});
}

Result<Json> ApiClient::post(const std::string& target, const Json& body) {
  net::ClientRequest request{.method = "POST", .target = target};
  if (!body.is_null()) {
    request.headers = {{"Content-Type", "application/json"}};
    request.body = body.dump();
  }
  return call(request);
}

Result<Json> ApiClient::put(const std::string& target, const Json& body) {
  return call(
      {.method = "PUT", .target = target, .headers = {{"Content-Type", "application/json"}}, .body = body.dump()});
}

Result<Json> ApiClient::put_bytes(const std::string& target, std::string bytes) {
  return call({.method = "PUT",
               .target = target,
               .headers = {{"Content-Type", "application/octet-stream"}},
               .body = std::move(bytes)});
}

Result<Json> ApiClient::remove(const std::string& target) {
  return call({.method = "DELETE", .target = target});
}

Result<void> ApiClient::stream(const std::string& target, const std::function<bool(std::string_view)>& on_bytes) {
  auto outcome = http_->stream({.method = "GET", .target = target}, on_bytes);
  if (!outcome && outcome.error().code == ErrorCode::kUnavailable) {
    return with_context("lost the busbar server at " + url_, outcome.error());
  }
  return outcome;
}

Result<void> ApiClient::events(const std::string& target,
                               const std::function<bool(std::string_view, const Json&)>& on_event) {
  Result<void> broken;
  auto outcome = http_->stream_events({.method = "GET", .target = target}, [&](const net::SseEvent& event) {
    const auto json = event.data.empty() ? Result<Json>(Json()) : parse_json(event.data);
    if (!json) {
      broken = with_context("the server sent an event that is no JSON", json.error());
      return false;
    }
    return on_event(event.event.empty() ? "message" : event.event, *json);
  });
  TRY(broken);
  if (!outcome && outcome.error().code == ErrorCode::kUnavailable) {
    return with_context("lost the busbar server at " + url_, outcome.error());
  }
  return outcome;
}

}  // namespace busbar::cli
