#pragma once

/// The part of NVML's ABI that we call, as its reference documents it. Shared with the fake library of the tests.
extern "C" {

struct NvmlHandle;  // opaque nvmlDevice_t
struct NvmlEventSet;

struct NvmlPciInfo {  // nvmlPciInfo_t, version 3
  char bus_id_legacy[16];
  unsigned domain;
  unsigned bus;
  unsigned device;
  unsigned pci_device_id;
  unsigned pci_subsystem_id;
  char bus_id[32];
};
struct NvmlMemory {  // nvmlMemory_t
  unsigned long long total;
  unsigned long long free;
  unsigned long long used;
};
struct NvmlUtilization {  // nvmlUtilization_t
  unsigned gpu;
  unsigned memory;
};
struct NvmlAttributes {  // nvmlDeviceAttributes_t
  unsigned multiprocessors;
  unsigned shared_copy_engines;
  unsigned shared_decoders;
  unsigned shared_encoders;
  unsigned shared_jpegs;
  unsigned shared_ofas;
  unsigned gpu_instance_slices;
  unsigned compute_instance_slices;
  unsigned long long memory_mb;
};
struct NvmlEventData {  // nvmlEventData_t
  NvmlHandle* device;
  unsigned long long type;
  unsigned long long data;
  unsigned gpu_instance;
  unsigned compute_instance;
};

}  // extern "C"

namespace busbar::chip::probe {

constexpr int kNvmlSuccess = 0;
constexpr int kNvmlNotSupported = 3;
constexpr int kNvmlNotFound = 6;
constexpr int kNvmlTimeout = 10;
constexpr int kNvmlGpuIsLost = 15;
constexpr unsigned long long kNvmlEventDoubleBitEcc = 0x2;
constexpr unsigned long long kNvmlEventXid = 0x8;
constexpr unsigned kNvmlMaxLinks = 18;
constexpr unsigned kNvmlUuidSize = 96;

}  // namespace busbar::chip::probe
