#pragma once

#include <string>

#include "chip/probe/measure.h"

namespace busbar::chip::probe {

/// On one NVIDIA card, by cuBLAS loaded at run time. kUnsupported where CUDA's libraries are not here.
Result<GemmRun> measure_by_cublas(const std::string& pci_address, const MeasureOptions& options);

/// By PyTorch of `options.python` in a process of its own: on the GPU of this unique id, or on CPUs if it is empty.
Result<GemmRun> measure_by_torch(const std::string& gpu_uuid, const MeasureOptions& options);

}  // namespace busbar::chip::probe
