#pragma once

#include <cstdint>
#include <functional>

#include "base/error.h"

namespace busbar::chip::probe {

struct GemmTiming {
  std::int64_t size = 0;
  std::int64_t gflops = 0;
};

/// One way to multiply: makes matrices of a size, then multiplies them each time it is called.
struct Gemm {
  std::function<Result<void>(std::int64_t size)> prepare = {};
  std::function<Result<void>()> multiply = {};  ///< Returns when the product is there.
};

/// Finds a size that takes at least 20 ms (at most `most_size`), then multiplies for `duration_ms`, at least five
/// times; the median counts. 2 n^3 operations each.
Result<GemmTiming> time_gemm(const Gemm& gemm, std::int64_t duration_ms, std::int64_t most_size);

}  // namespace busbar::chip::probe
