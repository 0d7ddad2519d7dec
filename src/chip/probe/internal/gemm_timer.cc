#include "chip/probe/internal/gemm_timer.h"

#include <algorithm>
#include <chrono>
#include <vector>

namespace busbar::chip::probe {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::int64_t kFirstSize = 256;
constexpr std::int64_t kLongEnoughNs = 20'000'000;
constexpr std::size_t kFewestRuns = 5;
constexpr std::size_t kMostRuns = 10'000;

Result<std::int64_t> timed_ns(const Gemm& gemm) {
  const Clock::time_point begin = Clock::now();
  TRY(gemm.multiply());
  const auto passed = std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now() - begin).count();
  return std::max<std::int64_t>(1, passed);
}

}  // namespace

Result<GemmTiming> time_gemm(const Gemm& gemm, std::int64_t duration_ms, std::int64_t most_size) {
  std::int64_t size = kFirstSize;
  for (;; size *= 2) {
    TRY(gemm.prepare(size));
    // The first run starts threads and clocks; the second one counts.
    TRY_ASSIGN(const std::int64_t warm_up_ns, timed_ns(gemm));
    TRY_ASSIGN(const std::int64_t run_ns, timed_ns(gemm));
    if (std::min(warm_up_ns, run_ns) >= kLongEnoughNs || size * 2 > most_size) break;
  }
  std::vector<std::int64_t> runs;
  std::int64_t total_ns = 0;
  while (runs.size() < kFewestRuns || (total_ns < duration_ms * 1'000'000 && runs.size() < kMostRuns)) {
    TRY_ASSIGN(const std::int64_t run_ns, timed_ns(gemm));
    runs.push_back(run_ns);
    total_ns += run_ns;
  }
  std::nth_element(runs.begin(), runs.begin() + static_cast<std::ptrdiff_t>(runs.size() / 2), runs.end());
  const double seconds = static_cast<double>(runs[runs.size() / 2]) / 1e9;
  const double n = static_cast<double>(size);
  return GemmTiming{.size = size,
                    .gflops = std::max<std::int64_t>(1, static_cast<std::int64_t>(2 * n * n * n / seconds / 1e9))};
}

}  // namespace busbar::chip::probe
