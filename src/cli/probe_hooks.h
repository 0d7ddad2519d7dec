#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/device_probe.h"

/// What `busbar chips discover` and `busbar chips measure` ask of the program around the command line.
namespace busbar::cli {

struct DiscoverOptions {
  std::string root = {};           ///< Empty: this machine.
  std::string topology_file = {};  ///< Empty: the server's setting.
  std::string chips_dir = {};      ///< Empty: the server's setting.
};

struct MeasureOptions {
  /// Indices or devices as `chips discover` prints them; empty: all.
  std::vector<std::string> cards = {};
  std::vector<std::string> precisions = {};  ///< Empty: all that can be done.
  std::int64_t duration_ms = 1'000;
  std::string python = {};     ///< With PyTorch; empty: python3.
  std::string state_dir = {};  ///< Where results are kept; empty: the server's own.
};

struct MeasuredRow {
  std::string device = {};  ///< "cpu" for all CPU cards together.
  std::string chip = {};
  std::uint32_t cards = 1;
  std::string precision = {};
  std::int64_t gflops_per_card = 0;
  std::int64_t nominal_gflops = 0;  ///< Of one card; 0: unknown.
  std::int64_t size = 0;
  std::string library = {};
};
struct MeasureReport {
  std::vector<MeasuredRow> rows = {};
  std::vector<engine::ProbeProblem> problems = {};
  std::string file = {};  ///< Where the results are.
};

}  // namespace busbar::cli
