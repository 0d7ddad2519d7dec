#pragma once

#include <string>

#include "base/error.h"
#include "cli/cli.h"

namespace busbar {

/// `busbar up` and `busbar server`: configuration to running server and back to an exit code. Prints one line,
/// "busbar is ready: URL ...", when it serves.
int serve(const cli::ServerCommandOptions& options);

/// What the server's configuration says of looking for cards.
struct ProbeSettings {
  std::string topology_file = {};
  std::string chips_dir = {};
  std::string measured_file = {};
};
/// `state_dir`: empty: the configuration's own.
Result<ProbeSettings> probe_settings(const std::string& state_dir);

/// `busbar restore FILE`.
Result<std::string> restore(const cli::RestoreCommandOptions& options);

}  // namespace busbar
