#pragma once

#include "cli/cli.h"

namespace busbar {

/// `busbar gateway`: runs until SIGTERM or SIGINT, then drains. Gives the process's exit code.
int serve_gateway(const cli::GatewayCommandOptions& options);

}  // namespace busbar
