#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/error.h"
#include "engine/device_probe.h"

/// How fast matrices are really multiplied: the denominator "measured-GEMM" (docs/chips.md).
namespace busbar::chip::probe {

struct MeasureOptions {
  std::vector<std::string> precisions = {};  ///< Empty: all that the library can do.
  /// Each precision runs for about this long, after a warm-up.
  std::int64_t duration_ms = 1'000;
  std::string openblas = {};      ///< Empty: libopenblas.so.0.
  std::string cuda_runtime = {};  ///< Empty: libcudart of CUDA 13, 12 or 11.
  std::string cublas = {};        ///< Empty: that of the same version.
  /// A Python with PyTorch, for cards that no library here reaches; "none": not tried.
  std::string python = "python3";
};

/// One multiplication that was timed.
struct GemmResult {
  std::string precision = {};
  std::int64_t gflops = 0;  ///< Of all cards that ran together.
  std::int64_t size = 0;    ///< Rows and columns of the square matrices.
  std::string library = {};
};

struct GemmRun {
  std::vector<GemmResult> results = {};
  std::vector<engine::ProbeProblem> problems = {};  ///< A precision that could not be run, or a library that is absent.
};

/// Square matrices of random numbers, as large as half a second's work allows, multiplied again and again: the median
/// of the runs. On CPU cards all together (one card's share of a busy machine is what a job gets); elsewhere on one
/// card. Blocks; uses the card as a job would. kUnsupported with what to install where nothing can run on it.
Result<GemmRun> measure_cpus(const std::vector<std::uint32_t>& cpus, const MeasureOptions& options);
Result<GemmRun> measure_card(const engine::ProbedCard& card, const MeasureOptions& options);

}  // namespace busbar::chip::probe
