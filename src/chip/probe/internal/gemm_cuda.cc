#include "chip/probe/internal/gemm_cuda.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <random>
#include <utility>
#include <vector>

#include "chip/probe/internal/cuda_abi.h"
#include "chip/probe/internal/gemm_timer.h"
#include "os/dynamic_library.h"

namespace busbar::chip::probe {
namespace {

constexpr std::array<const char*, 4> kRuntimes = {"libcudart.so.13", "libcudart.so.12", "libcudart.so.11.0",
                                                  "libcudart.so"};
constexpr std::array<const char*, 4> kCublas = {"libcublas.so.13", "libcublas.so.12", "libcublas.so.11",
                                                "libcublas.so"};
constexpr std::int64_t kMostCudaSize = 8'192;
/// So many numbers are drawn, then repeated: drawing all would take longer than multiplying them.
constexpr std::size_t kDrawn = 1 << 16;

struct Precision {
  std::string_view name;
  int type;
  int compute;
  std::size_t bytes;
};
constexpr std::array<Precision, 5> kPrecisions = {{{"bf16", kCuda16Bf, kCompute32F, 2},
                                                   {"fp16", kCuda16F, kCompute32F, 2},
                                                   {"tf32", kCuda32F, kComputeFastTf32, 4},
                                                   {"fp32", kCuda32F, kCompute32F, 4},
                                                   {"fp64", kCuda64F, kCompute64F, 8}}};

/// Numbers between 0.5 and 2 in the precision's own bits; their products neither overflow nor vanish, and zeros, on
/// which hardware saves power, are not among them.
std::vector<unsigned char> random_bytes(const Precision& precision, std::size_t count) {
  std::minstd_rand random(7);
  std::vector<unsigned char> bytes(count * precision.bytes);
  const std::size_t drawn = std::min(count, kDrawn) * precision.bytes;
  for (std::size_t i = 0; i < drawn; i += precision.bytes) {
    std::uint64_t bits = random();
    if (precision.type == kCuda16Bf) bits = 0x3f00 | (bits & 0xff);
    if (precision.type == kCuda16F) bits = 0x3800 | (bits & 0x7ff);
    if (precision.type == kCuda32F) bits = 0x3f000000 | (bits & 0xffffff);
    if (precision.type == kCuda64F) bits = std::bit_cast<std::uint64_t>(0.5 + static_cast<double>(bits % 1024) / 1024);
    for (std::size_t byte = 0; byte < precision.bytes; ++byte) {
      bytes[i + byte] = static_cast<unsigned char>(bits >> (8 * byte));
    }
  }
  for (std::size_t at = drawn; at < bytes.size(); at += drawn) {
    std::copy_n(bytes.begin(), std::min(drawn, bytes.size() - at), bytes.begin() + static_cast<std::ptrdiff_t>(at));
  }
  return bytes;
}

class Cublas {
 public:
  static Result<std::unique_ptr<Cublas>> open(const std::string& pci_address, const MeasureOptions& options) {
    const auto load = [](const std::string& named, const auto& usual) {
      return named.empty() ? os::DynamicLibrary::open_any(usual) : os::DynamicLibrary::open(named);
    };
    TRY_ASSIGN(os::DynamicLibrary runtime, load(options.cuda_runtime, kRuntimes));
    TRY_ASSIGN(os::DynamicLibrary blas, load(options.cublas, kCublas));
    std::unique_ptr<Cublas> opened(new Cublas(std::move(runtime), std::move(blas)));
    TRY(opened->bind());
    int device = 0;
    TRY(opened->check(opened->device_by_bus_id_(&device, pci_address.c_str()), "cudaDeviceGetByPCIBusId"));
    TRY(opened->check(opened->set_device_(device), "cudaSetDevice"));
    if (const int code = opened->create_(&opened->handle_); code != kCudaSuccess) {
      return make_error(ErrorCode::kUnavailable, fmt::format("cublasCreate failed with status {}", code));
    }
    return opened;
  }
  Cublas(const Cublas&) = delete;
  Cublas& operator=(const Cublas&) = delete;
  ~Cublas() {
    release();
    if (handle_ != nullptr) (void)destroy_(handle_);
  }

  std::string name() const {
    int version = 0;
    if (get_version_ == nullptr || get_version_(handle_, &version) != kCudaSuccess) return "cuBLAS";
    return fmt::format("cuBLAS {}.{}", version / 10'000, version / 100 % 100);
  }

  Result<void> prepare(const Precision& precision, std::int64_t size) {
    release();
    const auto count = static_cast<std::size_t>(size * size);
    const std::vector<unsigned char> numbers = random_bytes(precision, count);
    for (void*& matrix : matrices_) {
      TRY(check(malloc_(&matrix, numbers.size()), "cudaMalloc"));
      TRY(check(copy_(matrix, numbers.data(), numbers.size(), kCudaHostToDevice), "cudaMemcpy"));
    }
    size_ = static_cast<int>(size);
    return check(synchronize_(), "cudaDeviceSynchronize");
  }

  Result<void> multiply(const Precision& precision) {
    const float one = 1;
    const float zero = 0;
    const double one64 = 1;
    const double zero64 = 0;
    const bool is_double = precision.compute == kCompute64F;
    const void* alpha = is_double ? static_cast<const void*>(&one64) : &one;
    const void* beta = is_double ? static_cast<const void*>(&zero64) : &zero;
    const int code = gemm_(handle_, kNoTranspose, kNoTranspose, size_, size_, size_, alpha, matrices_[0],
                           precision.type, size_, matrices_[1], precision.type, size_, beta, matrices_[2],
                           precision.type, size_, precision.compute, kGemmDefault);
    if (code != kCudaSuccess) {
      return make_error(ErrorCode::kUnsupported, fmt::format("cublasGemmEx failed with status {}", code));
    }
    return check(synchronize_(), "cudaDeviceSynchronize");
  }

 private:
  Cublas(os::DynamicLibrary runtime, os::DynamicLibrary blas) : runtime_(std::move(runtime)), blas_(std::move(blas)) {}

  Result<void> bind() {
    TRY(runtime_.require("cudaDeviceGetByPCIBusId", device_by_bus_id_));
    TRY(runtime_.require("cudaSetDevice", set_device_));
    TRY(runtime_.require("cudaMalloc", malloc_));
    TRY(runtime_.require("cudaFree", free_));
    TRY(runtime_.require("cudaMemcpy", copy_));
    TRY(runtime_.require("cudaDeviceSynchronize", synchronize_));
    runtime_.find("cudaGetErrorString", error_string_);
    TRY(blas_.require("cublasCreate_v2", create_));
    TRY(blas_.require("cublasDestroy_v2", destroy_));
    blas_.find("cublasGetVersion_v2", get_version_);
    return blas_.require("cublasGemmEx", gemm_);
  }

  Result<void> check(int code, std::string_view call) const {
    if (code == kCudaSuccess) return {};
    return make_error(ErrorCode::kUnavailable,
                      fmt::format("{} failed: {} (CUDA error {})", call,
                                  error_string_ == nullptr ? "unknown error" : error_string_(code), code));
  }

  void release() {
    for (void*& matrix : matrices_) {
      if (matrix != nullptr) (void)free_(std::exchange(matrix, nullptr));
    }
  }

  os::DynamicLibrary runtime_;
  os::DynamicLibrary blas_;
  int (*device_by_bus_id_)(int*, const char*) = nullptr;
  int (*set_device_)(int) = nullptr;
  int (*malloc_)(void**, std::size_t) = nullptr;
  int (*free_)(void*) = nullptr;
  int (*copy_)(void*, const void*, std::size_t, int) = nullptr;
  int (*synchronize_)() = nullptr;
  const char* (*error_string_)(int) = nullptr;
  int (*create_)(CublasHandle**) = nullptr;
  int (*destroy_)(CublasHandle*) = nullptr;
  int (*get_version_)(CublasHandle*, int*) = nullptr;
  CublasGemmEx* gemm_ = nullptr;
  CublasHandle* handle_ = nullptr;
  std::array<void*, 3> matrices_ = {};
  int size_ = 0;
};

}  // namespace

Result<GemmRun> measure_by_cublas(const std::string& pci_address, const MeasureOptions& options) {
  TRY_ASSIGN(const std::unique_ptr<Cublas> cublas, Cublas::open(pci_address, options));
  GemmRun run;
  const auto is_wanted = [&](std::string_view name) {
    return options.precisions.empty() ||
           std::find(options.precisions.begin(), options.precisions.end(), name) != options.precisions.end();
  };
  for (const Precision& precision : kPrecisions) {
    if (!is_wanted(precision.name)) continue;
    const Gemm gemm{.prepare = [&](std::int64_t size) { return cublas->prepare(precision, size); },
                    .multiply = [&] { return cublas->multiply(precision); }};
    const auto timing = time_gemm(gemm, options.duration_ms, kMostCudaSize);
    if (timing) {
      run.results.push_back({.precision = std::string(precision.name),
                             .gflops = timing->gflops,
                             .size = timing->size,
                             .library = cublas->name()});
    } else {
      run.problems.push_back({.path = std::string(precision.name), .message = timing.error().to_string()});
    }
  }
  for (const std::string& name : options.precisions) {
    const bool is_known = std::any_of(kPrecisions.begin(), kPrecisions.end(),
                                      [&](const Precision& precision) { return precision.name == name; });
    if (!is_known)
      run.problems.push_back({.path = name, .message = "cuBLAS is asked for bf16, fp16, tf32, fp32, fp64"});
  }
  return run;
}

}  // namespace busbar::chip::probe
