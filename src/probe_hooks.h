#pragma once

#include "base/error.h"
#include "chip/catalogue.h"
#include "chip/injection.h"
#include "cli/probe_hooks.h"
#include "engine/device_probe.h"

namespace busbar {

/// `busbar chips discover`.
Result<engine::Inventory> discover_cards(const cli::DiscoverOptions& options);

/// `busbar chips measure`.
Result<cli::MeasureReport> measure_cards(const cli::MeasureOptions& options);

/// This machine's accelerators as `busbar chips cdi` needs them.
Result<chip::HostCards> host_cards(const chip::Catalogue& catalogue);

}  // namespace busbar
