#include <fmt/format.h>
#include <sched.h>

#include <algorithm>
#include <array>
#include <random>
#include <thread>
#include <utility>

#include "chip/probe/internal/gemm_cuda.h"
#include "chip/probe/internal/gemm_timer.h"
#include "chip/probe/measure.h"
#include "os/dynamic_library.h"
#include "os/errno_error.h"

namespace busbar::chip::probe {
namespace {

constexpr std::array<const char*, 2> kOpenBlas = {"libopenblas.so.0", "libopenblas.so"};
constexpr std::int64_t kMostCpuSize = 8192;

template <class Real>
using GemmFunction = void(const char*, const char*, const int*, const int*, const int*, const Real*, const Real*,
                          const int*, const Real*, const int*, const Real*, Real*, const int*);

template <class Real>
std::vector<Real> random_matrix(std::int64_t size) {
  // Any seed does; zeros would not, since hardware saves power on them.
  std::minstd_rand random(7);
  std::uniform_real_distribution<float> numbers(-1, 1);
  std::vector<Real> matrix(static_cast<std::size_t>(size * size));
  for (Real& value : matrix) value = static_cast<Real>(numbers(random));
  return matrix;
}

template <class Real>
Result<GemmTiming> time_blas(GemmFunction<Real>* function, std::int64_t duration_ms) {
  std::vector<Real> a;
  std::vector<Real> b;
  std::vector<Real> c;
  int n = 0;
  const Gemm gemm{.prepare = [&](std::int64_t size) -> Result<void> {
                    n = static_cast<int>(size);
                    a = random_matrix<Real>(size);
                    b = a;
                    c.assign(a.size(), Real{0});
                    return {};
                  },
                  .multiply = [&]() -> Result<void> {
                    const Real one = 1;
                    const Real zero = 0;
                    function("N", "N", &n, &n, &n, &one, a.data(), &n, b.data(), &n, &zero, c.data(), &n);
                    return {};
                  }};
  return time_gemm(gemm, duration_ms, kMostCpuSize);
}

Result<void> stay_on(const std::vector<std::uint32_t>& cpus) {
  const std::uint32_t most = *std::max_element(cpus.begin(), cpus.end()) + 1;
  cpu_set_t* mask = CPU_ALLOC(most);
  const std::size_t size = CPU_ALLOC_SIZE(most);
  CPU_ZERO_S(size, mask);
  for (const std::uint32_t cpu : cpus) CPU_SET_S(cpu, size, mask);
  const int outcome = ::sched_setaffinity(0, size, mask);
  CPU_FREE(mask);
  return outcome == 0 ? Result<void>() : os::errno_failure("cannot run on the CPUs of the cards");
}

bool is_wanted(const MeasureOptions& options, const std::string& precision) {
  return options.precisions.empty() ||
         std::find(options.precisions.begin(), options.precisions.end(), precision) != options.precisions.end();
}

Result<GemmRun> run_openblas(const std::vector<std::uint32_t>& cpus, const MeasureOptions& options) {
  TRY(stay_on(cpus));
  auto library =
      options.openblas.empty() ? os::DynamicLibrary::open_any(kOpenBlas) : os::DynamicLibrary::open(options.openblas);
  if (!library) {
    return with_context("CPUs are measured with OpenBLAS, which is not here; apt-get install libopenblas0-pthread",
                        library.error());
  }
  GemmFunction<float>* sgemm = nullptr;
  GemmFunction<double>* dgemm = nullptr;
  void (*set_threads)(int) = nullptr;
  char* (*config)() = nullptr;
  TRY(library->require("sgemm_", sgemm));
  TRY(library->require("dgemm_", dgemm));
  TRY(library->require("openblas_set_num_threads", set_threads));
  set_threads(static_cast<int>(cpus.size()));
  const std::string name = library->find("openblas_get_config", config) ? config() : "OpenBLAS";
  GemmRun run;
  const auto add = [&](std::string precision, const Result<GemmTiming>& timing) {
    if (!timing) return run.problems.push_back({.path = precision, .message = timing.error().to_string()});
    run.results.push_back(
        {.precision = std::move(precision), .gflops = timing->gflops, .size = timing->size, .library = name});
  };
  if (is_wanted(options, "fp32")) add("fp32", time_blas(sgemm, options.duration_ms));
  if (is_wanted(options, "fp64")) add("fp64", time_blas(dgemm, options.duration_ms));
  for (const std::string& precision : options.precisions) {
    if (precision != "fp32" && precision != "fp64") {
      run.problems.push_back({.path = precision, .message = "OpenBLAS multiplies fp32 and fp64 only"});
    }
  }
  return run;
}

}  // namespace

Result<GemmRun> measure_cpus(const std::vector<std::uint32_t>& cpus, const MeasureOptions& options) {
  if (cpus.empty()) return make_error(ErrorCode::kInvalidArgument, "no CPU to measure");
  // On a thread of its own, whose CPUs the library's threads inherit: it starts them when it is loaded.
  Result<GemmRun> outcome = GemmRun{};
  std::thread([&] {
    outcome = run_openblas(cpus, options);
    if (outcome || options.python == "none") return;
    if (auto by_torch = measure_by_torch("", options)) outcome = std::move(by_torch);
  }).join();
  return outcome;
}

}  // namespace busbar::chip::probe
