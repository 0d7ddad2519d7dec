#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "api/types.h"
#include "base/clock.h"
#include "cli/cli.h"
#include "cli/context.h"
#include "net/server.h"

/// For the tests of this folder only.
namespace busbar::cli::testing {

/// 2026-01-02 03:04:05 UTC: what "now" is in golden files.
inline constexpr TimeMs kNow = 1'767'323'045'000;

/// Compares with tests/golden/cli/NAME; UPDATE_GOLDEN=1 writes the file instead.
void expect_golden(const std::string& name, const std::string& text);

/// A job that is half-way, with every field that describe shows.
api::JobStatus sample_job();
/// The same job when it is over.
api::JobStatus finished_job(model::ExitClass exit_class = model::ExitClass::kSuccess, int exit_code = 0);

/// An API server of canned answers on 127.0.0.1. Answers run on its I/O thread.
class FakeServer final : public net::HttpHandler {
 public:
  using Answer = std::function<void(const net::HttpRequest& request, std::shared_ptr<net::HttpExchange> exchange)>;

  FakeServer();
  ~FakeServer() override { server_->stop(0); }
  /// "GET /v1/jobs/17/why"; without the query.
  void on(const std::string& method_and_path, Answer answer);
  void on_json(const std::string& method_and_path, const Json& body, int status = 200);
  /// Events of an event stream, "name" and data, then its end.
  void on_events(const std::string& method_and_path, std::vector<std::pair<std::string, Json>> events);
  std::string url() const;
  /// "POST /v1/jobs/17/stop?grace_ms=5" in the order of arrival.
  std::vector<std::string> requests() const;
  /// Body of the last request with this method and path.
  std::string body_of(const std::string& method_and_path) const;
  std::string last_authorization() const;

  void handle(net::HttpRequest request, std::shared_ptr<net::HttpExchange> exchange) override;

 private:
  mutable std::mutex mutex_;
  std::map<std::string, Answer> answers_;
  std::vector<std::string> requests_;
  std::map<std::string, std::string> bodies_;
  std::string authorization_;
  std::unique_ptr<net::HttpServer> server_;
};

struct RunResult {
  int exit_code = 0;
  std::string out = {};
  std::string err = {};
};

/// One command line in an environment of its own: no state directory, no token.
struct CommandLineRunner {
  std::map<std::string, std::string> environment = {{"BUSBAR_STATE_DIR", "/nonexistent"}};
  CliHooks hooks = {.version = "1.2.3", .build_id = "abc"};
  int width = 0;  ///< Above 0: output and error are terminals.
  int input = 0;
  int output = 1;

  RunResult run(const std::vector<std::string>& arguments);
};

}  // namespace busbar::cli::testing
