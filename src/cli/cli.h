#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "chip/injection.h"
#include "cli/probe_hooks.h"
#include "net/client.h"

/// The `busbar` command line: every verb but the server itself, which main wires in by hooks, since this layer knows
/// only the HTTP API. Exit codes: docs/exit-codes.md.
namespace busbar::cli {

/// `busbar up` and `busbar server`.
struct ServerCommandOptions {
  enum class Role {
    kUp,      ///< Server and local engine in one process group.
    kServer,  ///< Control plane alone.
  };
  Role role = Role::kUp;
  std::string config_file = {};  ///< Empty: the default places.
  /// Settings given as flags, in the configuration file's own words ("listen", "state_dir", "log_level", "cpu_cards",
  /// "runtime", or anything by --set). They win over environment and file.
  std::vector<std::pair<std::string, std::string>> overrides = {};
};

/// `busbar gateway`.
struct GatewayCommandOptions {
  std::string address = "127.0.0.1";
  std::uint16_t port = 0;
  std::string admin_address = "127.0.0.1";
  std::uint16_t admin_port = 0;
  std::size_t threads = 0;       ///< 0: one a core.
  std::string tls_address = {};  ///< "": no TLS.
  std::uint16_t tls_port = 0;
  std::vector<std::string> tls_certificate_files = {};
  std::vector<std::string> tls_key_files = {};  ///< As many, or none: then the keys are in the certificates' files.
  std::string routes_file = {};                 ///< A table of its own instead of a server's.
  std::string access_log = {};
  std::string log_level = "info";
  std::string log_file = {};
  std::string state_dir = {};
  /// The server's address and token as they are now.
  std::function<Result<net::HttpClientOptions>()> locate = {};
  bool has_thread_files = false;          ///< A table of descriptors for each thread.
  std::int64_t idle_timeout_ms = 75'000;  ///< Of a client's connection between requests.
};

/// `busbar restore FILE`: puts a backup in place of the database of a server that is not running.
struct RestoreCommandOptions {
  std::string backup_file = {};
  std::string state_dir = {};
  bool replaces_existing = false;
};

/// What main gives. Functions that are empty make their verbs fail with kUnsupported.
struct CliHooks {
  /// Runs until the server has stopped; gives the process's exit code.
  std::function<int(const ServerCommandOptions&)> serve = {};
  std::function<int(const GatewayCommandOptions&)> gateway = {};
  /// Gives a sentence that says what was restored.
  std::function<Result<std::string>(const RestoreCommandOptions&)> restore = {};
  /// The chip catalogue with the files of this folder on top ("": the default place).
  std::function<Result<chip::Catalogue>(const std::string& chips_dir)> catalogue = {};
  /// The accelerators of this machine.
  std::function<Result<chip::HostCards>(const chip::Catalogue&)> host_cards = {};
  std::function<Result<engine::Inventory>(const DiscoverOptions&)> discover = {};
  std::function<Result<MeasureReport>(const MeasureOptions&)> measure = {};
  std::string version = "0.0.0";
  std::string build_id = {};
};

/// Runs one command line to its end and gives the exit code. Prints to standard output and error. Not thread-safe:
/// call it once, from main; it may block signals and change the terminal's mode, both undone when it returns.
int run_cli(int argc, char** argv, const CliHooks& hooks);

}  // namespace busbar::cli
