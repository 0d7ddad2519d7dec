#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "api/types.h"
#include "base/error.h"
#include "base/json.h"
#include "cli/command.h"
#include "cli/output.h"
#include "net/client.h"

namespace busbar::cli {

/// Where the server is and how we prove who we are. docs/cli.md has the table of what wins.
struct Endpoint {
  std::string url = {};
  std::string url_source = {};  ///< "--server", "BUSBAR_SERVER", the path of server.json, "default".
  std::string token = {};
  std::string token_source = {};  ///< Empty: there is no token.
  std::string state_dir = {};
};

/// Reads a whole small file; nullopt if it is not there or not readable.
using FileReader = std::function<std::optional<std::string>(const std::string& path)>;
std::optional<std::string> read_text_file(const std::string& path);

/// --state-dir, BUSBAR_STATE_DIR, /var/lib/busbar for root, $XDG_STATE_HOME/busbar, ~/.local/state/busbar.
std::string find_state_dir(const std::string& flag, const Environment& environment, bool is_root);

struct EndpointInput {
  const GlobalOptions& global;
  const Environment& environment;
  const FileReader& read_file;
  bool is_root = false;
};
/// The token of the local state directory is sent only to the server that wrote it or to a loopback address, so that it
/// never leaves the machine by a wrong --server. kInvalidArgument: an address that is none, a token file not readable.
Result<Endpoint> resolve_endpoint(const EndpointInput& input);

/// What to do about an error, "" if there is nothing to say.
std::string hint_for(const Error& error, const Endpoint& endpoint);

using Query = std::vector<std::pair<std::string, std::string>>;
/// "/v1/jobs/{}/stop" with the name encoded; `query` appended.
std::string job_target(std::string_view job, std::string_view rest, const Query& query = {});
std::string api_target(std::string_view path, const Query& query = {});

/// The HTTP API over one connection. One call at a time; `cancel` from any thread.
class ApiClient {
 public:
  static Result<std::unique_ptr<ApiClient>> open(const Endpoint& endpoint);

  /// Any answer below 400 as JSON (null for an empty body); an error with its diagnostics otherwise.
  tl::expected<Json, api::ErrorBody> send(const net::ClientRequest& request);
  Result<Json> get(const std::string& target);
  Result<Json> post(const std::string& target, const Json& body = {});
  Result<Json> put(const std::string& target, const Json& body);
  Result<Json> put_bytes(const std::string& target, std::string bytes);
  Result<Json> remove(const std::string& target);

  Result<void> stream(const std::string& target, const std::function<bool(std::string_view)>& on_bytes);
  /// `on_event` gets the event's name and its data as JSON; events whose data is no JSON are kInternal.
  Result<void> events(const std::string& target, const std::function<bool(std::string_view, const Json&)>& on_event);

  void cancel() { http_->cancel(); }

 private:
  ApiClient(std::unique_ptr<net::HttpClient> http, std::string url) : http_(std::move(http)), url_(std::move(url)) {}
  Result<Json> call(const net::ClientRequest& request);

  std::unique_ptr<net::HttpClient> http_;
  std::string url_;
};

/// An answer as its type, with a message for an answer that is none.
template <class T>
Result<T> read_answer(const Json& json) {
  auto value = api::from_json<T>(json);
  if (!value) {
    return with_context("the server's answer is not what this version of busbar understands", value.error());
  }
  return value;
}

}  // namespace busbar::cli
