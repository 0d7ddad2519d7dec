#pragma once

#include <span>
#include <string>

#include "sim/recorder.h"
#include "sim/report.h"
#include "sim/trace.h"

namespace busbar::sim {

struct PageRun {
  RunSummary summary = {};
  RunResult result = {};
};

/// A report of runs of one load as one HTML page that needs nothing else: figures, and plots of cards in use, waiting
/// work and free cards on nodes in partial use over time, waits by size, and each queue's share. Pure.
std::string make_page(const Trace& trace, std::span<const PageRun> runs);

}  // namespace busbar::sim
