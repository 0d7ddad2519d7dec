#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "engine/device_probe.h"

namespace busbar::chip::probe {

/// A MIG instance that can be used.
struct NvmlPartition {
  std::string uuid = {};  ///< "MIG-..."
  std::uint32_t gpu_instance = 0;
  std::uint32_t compute_instance = 0;
  std::uint32_t slices = 0;  ///< Of the GPU instance.
  std::int64_t memory_bytes = 0;
};

struct NvmlDevice {
  std::string address = {};  ///< As in sysfs.
  std::string uuid = {};
  std::uint32_t index = 0;  ///< NVML's own order.
  std::int64_t minor = -1;
  std::int64_t memory_bytes = 0;
  engine::CardReading reading = {};
  std::vector<std::string> link_peers = {};  ///< Addresses at the other ends of active NVLinks.
  bool is_partitioned = false;               ///< MIG mode is on: only `partitions` can be used.
  std::vector<NvmlPartition> partitions = {};
};

struct NvmlSnapshot {
  std::vector<NvmlDevice> devices = {};
  struct Failure {
    std::string address = {};
    std::string detail = {};  ///< "Xid 79 (the GPU has fallen off the bus)"
  };
  std::vector<Failure> failures = {};  ///< Events since the last snapshot.
  std::vector<engine::ProbeProblem> problems = {};
};

/// NVIDIA's management library, loaded at run time: nothing is linked, and where it is absent sysfs and /proc have to
/// do. Declarations are our own (NVML API reference, stable since version 1 of the library's ABI). Not thread-safe.
class Nvml {
 public:
  /// kUnsupported where `library` cannot be loaded or lacks what is needed, kUnavailable where it refuses to start.
  static Result<std::unique_ptr<Nvml>> open(const std::string& library);
  Nvml(const Nvml&) = delete;
  Nvml& operator=(const Nvml&) = delete;
  ~Nvml();

  /// All GPUs that the library sees. Never waits for events: takes those that came.
  NvmlSnapshot read();

 private:
  struct Functions;
  struct State;
  explicit Nvml(std::unique_ptr<State> state);

  std::unique_ptr<State> state_;
};

/// "00000000:3B:00.0" -> "0000:3b:00.0", as sysfs writes it.
std::string sysfs_address(std::string_view nvml_bus_id);

/// Whether an Xid means that the GPU cannot be trusted, not only that a program went wrong (NVIDIA's list of Xids; the
/// same exceptions as its Kubernetes device plugin).
bool is_fatal_xid(std::uint64_t xid);

}  // namespace busbar::chip::probe
