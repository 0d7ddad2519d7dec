#pragma once

/// The part of CUDA's runtime and of cuBLAS that we call, as their references document it; the same in CUDA 11 to 13.
namespace busbar::chip::probe {

constexpr int kCudaSuccess = 0;
constexpr int kCudaHostToDevice = 1;
/// cudaDataType_t
constexpr int kCuda32F = 0;
constexpr int kCuda64F = 1;
constexpr int kCuda16F = 2;
constexpr int kCuda16Bf = 14;
/// cublasComputeType_t
constexpr int kCompute32F = 68;
constexpr int kCompute64F = 70;
constexpr int kComputeFastTf32 = 77;
/// cublasGemmAlgo_t, cublasOperation_t
constexpr int kGemmDefault = -1;
constexpr int kNoTranspose = 0;

struct CublasHandle;  // opaque cublasHandle_t

using CublasGemmEx = int(CublasHandle*, int, int, int, int, int, const void*, const void*, int, int, const void*, int,
                         int, const void*, void*, int, int, int, int);

}  // namespace busbar::chip::probe
