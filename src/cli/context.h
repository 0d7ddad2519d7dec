#pragma once

#include <memory>
#include <string>
#include <vector>

#include "api/types.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/json.h"
#include "cli/cli.h"
#include "cli/command.h"
#include "cli/connection.h"
#include "cli/output.h"

namespace busbar::cli {

/// The process around one command line; tests bring their own.
struct Platform {
  Output out;
  Output err;
  Environment environment;
  const Clock& clock;
  int input = 0;   ///< Descriptor of standard input.
  int output = 1;  ///< Descriptor of standard output, for bytes of terminals.
  int error = 2;
  /// Descriptor of the terminal whose mode and size count; -1: none.
  int terminal = -1;
};

/// What a verb works with. One a command line; not thread-safe.
class Context {
 public:
  Context(const CliHooks& hooks_of_main, GlobalOptions global_options, Platform& platform_of_process)
      : hooks(hooks_of_main), global(std::move(global_options)), platform(platform_of_process) {}

  const CliHooks& hooks;
  GlobalOptions global;
  Platform& platform;
  /// The words after "--", or after the flags of a verb that takes a command.
  std::vector<std::string> command_line = {};
  bool is_after_mark = false;  ///< They stood after "--".
  /// Set by a verb once its exit code stands for a job's: failures of busbar itself then give 125.
  bool mirrors_exit_code = false;
  /// All that is wrong with a job file; printed with the error that a verb gives.
  std::string diagnostics_text = {};
  std::vector<api::Diagnostic> diagnostics = {};

  Output& out() { return platform.out; }
  Output& err() { return platform.err; }
  bool wants_json() const { return global.wants_json; }
  TimeMs now_ms() const { return platform.clock.now_ms(); }

  /// Where the server is; found once.
  Result<const Endpoint*> endpoint();
  /// The connection for calls of the main thread; opened once.
  Result<ApiClient*> client();
  /// A connection of its own, for another thread.
  Result<std::unique_ptr<ApiClient>> new_client();

  /// A remark on standard error, unless --quiet.
  void note(std::string_view text);
  /// One JSON document on standard output: indented on a terminal.
  void print_json(const Json& json);
  /// One JSON object on a line of its own.
  void print_json_line(const Json& json);

 private:
  std::unique_ptr<Endpoint> endpoint_;
  std::unique_ptr<ApiClient> client_;
};

/// Runs `busbar ARGUMENTS...` on a platform: what run_cli does with the real one.
int run_command_line(const std::vector<std::string>& arguments, const CliHooks& hooks, Platform& platform);

}  // namespace busbar::cli
