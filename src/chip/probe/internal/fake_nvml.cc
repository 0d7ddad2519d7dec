#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "chip/probe/internal/nvml_abi.h"

/// libnvidia-ml.so for tests: answers what the file named by BUSBAR_FAKE_NVML_STATE says, read again at each count, one
/// line a fact:
///   gpu 00000000:1B:00.0 GPU-uuid MINOR MEMORY_MB USED_MB PERCENT MILLIWATTS CELSIUS
///   peer GPU BUS_ID                 an active NVLink of GPU (its number) to BUS_ID; "-" for an inactive one
///   mig GPU MIG-uuid GI CI SLICES MEMORY_MB         turns MIG mode on too; "migmode GPU" does that alone
///   xid GPU NUMBER                  an event, told once
///   refuse init CODE | refuse handle GPU CODE
struct NvmlHandle {
  std::string bus_id;
  std::string uuid;
  unsigned minor = 0;
  unsigned long long memory_mb = 0;
  unsigned long long used_mb = 0;
  unsigned percent = 0;
  unsigned power = 0;
  unsigned temperature = 0;
  bool has_mig = false;
  std::vector<std::string> peers;
  std::vector<NvmlHandle> migs;
  unsigned gi = 0;
  unsigned ci = 0;
  unsigned slices = 0;
  int refusal = 0;
};
struct NvmlEventSet {
  int nothing = 0;
};

namespace {

std::vector<NvmlHandle> gpus;
std::vector<std::pair<unsigned, unsigned long long>> xids;
std::size_t told_xids = 0;
int init_refusal = 0;
NvmlEventSet the_events;

void read_line(const std::string& line) {
  std::istringstream words(line);
  std::string kind;
  unsigned gpu = 0;
  words >> kind;
  if (kind == "gpu") {
    NvmlHandle handle;
    words >> handle.bus_id >> handle.uuid >> handle.minor >> handle.memory_mb >> handle.used_mb >> handle.percent >>
        handle.power >> handle.temperature;
    gpus.push_back(handle);
  } else if (kind == "peer") {
    std::string id;
    words >> gpu >> id;
    gpus.at(gpu).peers.push_back(id);
  } else if (kind == "mig") {
    NvmlHandle mig;
    words >> gpu >> mig.uuid >> mig.gi >> mig.ci >> mig.slices >> mig.memory_mb;
    gpus.at(gpu).has_mig = true;
    gpus.at(gpu).migs.push_back(mig);
  } else if (kind == "migmode") {
    words >> gpu;
    gpus.at(gpu).has_mig = true;
  } else if (kind == "xid") {
    unsigned long long number = 0;
    words >> gpu >> number;
    xids.emplace_back(gpu, number);
  } else if (kind == "refuse") {
    std::string what;
    words >> what;
    if (what == "init") words >> init_refusal;
    if (what == "handle") {
      words >> gpu;
      words >> gpus.at(gpu).refusal;
    }
  }
}

void read_state() {
  gpus.clear();
  gpus.reserve(64);
  xids.clear();
  init_refusal = 0;
  const char* path = std::getenv("BUSBAR_FAKE_NVML_STATE");
  std::ifstream file(path == nullptr ? "/nonexistent" : path);
  for (std::string line; std::getline(file, line);) read_line(line);
}

void put(NvmlPciInfo* info, const std::string& bus_id) {
  *info = {};
  std::snprintf(info->bus_id, sizeof info->bus_id, "%s", bus_id.c_str());
}

}  // namespace

using namespace busbar::chip::probe;

extern "C" {

int nvmlInit_v2() {
  read_state();
  return init_refusal;
}
int nvmlShutdown() {
  return kNvmlSuccess;
}
const char* nvmlErrorString(int code) {
  return code == kNvmlGpuIsLost ? "GPU is lost" : "fake error";
}
int nvmlDeviceGetCount_v2(unsigned* count) {
  read_state();
  *count = static_cast<unsigned>(gpus.size());
  return kNvmlSuccess;
}
int nvmlDeviceGetHandleByIndex_v2(unsigned index, NvmlHandle** handle) {
  if (index >= gpus.size()) return kNvmlNotFound;
  *handle = &gpus[index];
  return gpus[index].refusal;
}
int nvmlDeviceGetPciInfo_v3(NvmlHandle* handle, NvmlPciInfo* info) {
  put(info, handle->bus_id);
  return kNvmlSuccess;
}
int nvmlDeviceGetUUID(NvmlHandle* handle, char* buffer, unsigned size) {
  std::snprintf(buffer, size, "%s", handle->uuid.c_str());
  return kNvmlSuccess;
}
int nvmlDeviceGetMinorNumber(NvmlHandle* handle, unsigned* minor) {
  *minor = handle->minor;
  return kNvmlSuccess;
}
int nvmlDeviceGetMemoryInfo(NvmlHandle* handle, NvmlMemory* memory) {
  *memory = {.total = handle->memory_mb << 20,
             .free = (handle->memory_mb - handle->used_mb) << 20,
             .used = handle->used_mb << 20};
  return kNvmlSuccess;
}
int nvmlDeviceGetUtilizationRates(NvmlHandle* handle, NvmlUtilization* use) {
  // As the real one where MIG is on.
  if (handle->has_mig) return kNvmlNotSupported;
  *use = {.gpu = handle->percent, .memory = 0};
  return kNvmlSuccess;
}
int nvmlDeviceGetPowerUsage(NvmlHandle* handle, unsigned* power) {
  *power = handle->power;
  return kNvmlSuccess;
}
int nvmlDeviceGetTemperature(NvmlHandle* handle, int sensor, unsigned* temperature) {
  *temperature = handle->temperature;
  return sensor == 0 ? kNvmlSuccess : kNvmlNotSupported;
}
int nvmlDeviceGetNvLinkState(NvmlHandle* handle, unsigned link, int* is_active) {
  if (link >= handle->peers.size()) return kNvmlNotSupported;
  *is_active = handle->peers[link] == "-" ? 0 : 1;
  return kNvmlSuccess;
}
int nvmlDeviceGetNvLinkRemotePciInfo_v2(NvmlHandle* handle, unsigned link, NvmlPciInfo* info) {
  put(info, handle->peers.at(link));
  return kNvmlSuccess;
}
int nvmlDeviceGetMigMode(NvmlHandle* handle, unsigned* current, unsigned* pending) {
  *current = *pending = handle->has_mig ? 1 : 0;
  return kNvmlSuccess;
}
int nvmlDeviceGetMaxMigDeviceCount(NvmlHandle*, unsigned* count) {
  *count = 7;
  return kNvmlSuccess;
}
int nvmlDeviceGetMigDeviceHandleByIndex(NvmlHandle* handle, unsigned index, NvmlHandle** mig) {
  if (index >= handle->migs.size()) return kNvmlNotFound;
  *mig = &handle->migs[index];
  return kNvmlSuccess;
}
int nvmlDeviceGetGpuInstanceId(NvmlHandle* handle, unsigned* id) {
  *id = handle->gi;
  return kNvmlSuccess;
}
int nvmlDeviceGetComputeInstanceId(NvmlHandle* handle, unsigned* id) {
  *id = handle->ci;
  return kNvmlSuccess;
}
int nvmlDeviceGetAttributes_v2(NvmlHandle* handle, NvmlAttributes* attributes) {
  *attributes = {};
  attributes->gpu_instance_slices = handle->slices;
  attributes->memory_mb = handle->memory_mb;
  return kNvmlSuccess;
}
int nvmlEventSetCreate(NvmlEventSet** set) {
  *set = &the_events;
  return kNvmlSuccess;
}
int nvmlDeviceRegisterEvents(NvmlHandle*, unsigned long long types, NvmlEventSet*) {
  // A consumer card: no ECC events.
  return (types & kNvmlEventDoubleBitEcc) != 0 ? kNvmlNotSupported : kNvmlSuccess;
}
int nvmlEventSetWait_v2(NvmlEventSet*, NvmlEventData* data, unsigned) {
  if (told_xids >= xids.size()) return kNvmlTimeout;
  const auto [gpu, number] = xids[told_xids++];
  *data = {.device = &gpus.at(gpu), .type = kNvmlEventXid, .data = number, .gpu_instance = 0, .compute_instance = 0};
  return kNvmlSuccess;
}
int nvmlEventSetFree(NvmlEventSet*) {
  return kNvmlSuccess;
}

}  // extern "C"
