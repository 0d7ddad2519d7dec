#include <chrono>
#include <cstdlib>
#include <cstring>
#include <string_view>

#include "chip/probe/internal/cuda_abi.h"

/// OpenBLAS, libcudart and libcublas for tests, in one library: a multiplication takes long enough to be timed and
/// gives nothing. One GPU, 0000:1b:00.0; it refuses bf16, as old ones do.
namespace {

void take_a_while() {
  const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(21);
  while (std::chrono::steady_clock::now() < end) {
  }
}

int threads = 0;
int live_buffers = 0;

}  // namespace

using namespace busbar::chip::probe;

extern "C" {

void sgemm_(const char*, const char*, const int*, const int*, const int*, const float*, const float*, const int*,
            const float*, const int*, const float*, float*, const int*) {
  take_a_while();
}
void dgemm_(const char*, const char*, const int*, const int*, const int*, const double*, const double*, const int*,
            const double*, const int*, const double*, double*, const int*) {
  take_a_while();
}
void openblas_set_num_threads(int count) {
  threads = count;
}
const char* openblas_get_config() {
  return threads == 1 ? "FakeBLAS on 1 thread" : "FakeBLAS";
}

int cudaDeviceGetByPCIBusId(int* device, const char* address) {
  *device = 0;
  return std::string_view(address) == "0000:1b:00.0" ? kCudaSuccess : 101;
}
int cudaSetDevice(int device) {
  return device == 0 ? kCudaSuccess : 101;
}
int cudaMalloc(void** buffer, std::size_t size) {
  *buffer = std::malloc(size);
  ++live_buffers;
  return *buffer == nullptr ? 2 : kCudaSuccess;
}
int cudaFree(void* buffer) {
  std::free(buffer);
  --live_buffers;
  return kCudaSuccess;
}
int cudaMemcpy(void* to, const void* from, std::size_t size, int kind) {
  std::memcpy(to, from, size);
  return kind == kCudaHostToDevice ? kCudaSuccess : 21;
}
int cudaDeviceSynchronize() {
  return kCudaSuccess;
}
const char* cudaGetErrorString(int) {
  return "invalid device ordinal";
}
int cublasCreate_v2(CublasHandle** handle) {
  *handle = reinterpret_cast<CublasHandle*>(&threads);
  return kCudaSuccess;
}
int cublasDestroy_v2(CublasHandle*) {
  // All matrices must have been given back by now.
  return live_buffers == 0 ? kCudaSuccess : (std::abort(), 1);
}
int cublasGetVersion_v2(CublasHandle*, int* version) {
  *version = 120'405;
  return kCudaSuccess;
}
int cublasGemmEx(CublasHandle*, int, int, int, int, int, const void*, const void*, int type, int, const void*, int, int,
                 const void*, void*, int, int, int, int) {
  if (type == kCuda16Bf) return 15;
  take_a_while();
  return kCudaSuccess;
}

}  // extern "C"
