#pragma once

#include <string>

#include "base/error.h"
#include "cli/cli.h"

namespace busbar {

/// `busbar up` and `busbar server`: configuration to running server and back to an exit code. Prints one line,
/// "busbar is ready: URL ...", when it serves.
int serve(const cli::ServerCommandOptions& options);

/// `busbar restore FILE`.
Result<std::string> restore(const cli::RestoreCommandOptions& options);

}  // namespace busbar
