#include "chip/probe/internal/nvml.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "base/text.h"
#include "chip/probe/internal/nvml_abi.h"
#include "os/dynamic_library.h"

namespace busbar::chip::probe {
namespace {

constexpr std::uint32_t kMostEvents = 256;

template <std::size_t N>
std::string text_of(const std::array<char, N>& buffer) {
  const auto end = std::find(buffer.begin(), buffer.end(), '\0');
  return {buffer.begin(), end};
}

}  // namespace

/// Those that every version since 2012 has, and those that a driver may lack (nullptr).
struct Nvml::Functions {
  int (*init)() = nullptr;
  int (*shutdown)() = nullptr;
  const char* (*error_string)(int) = nullptr;
  int (*count)(unsigned*) = nullptr;
  int (*handle)(unsigned, NvmlHandle**) = nullptr;
  int (*pci_info)(NvmlHandle*, NvmlPciInfo*) = nullptr;
  int (*uuid)(NvmlHandle*, char*, unsigned) = nullptr;
  int (*minor)(NvmlHandle*, unsigned*) = nullptr;
  int (*memory)(NvmlHandle*, NvmlMemory*) = nullptr;
  int (*utilization)(NvmlHandle*, NvmlUtilization*) = nullptr;
  int (*power)(NvmlHandle*, unsigned*) = nullptr;
  int (*temperature)(NvmlHandle*, int, unsigned*) = nullptr;
  int (*link_state)(NvmlHandle*, unsigned, int*) = nullptr;
  int (*link_peer)(NvmlHandle*, unsigned, NvmlPciInfo*) = nullptr;
  int (*mig_mode)(NvmlHandle*, unsigned*, unsigned*) = nullptr;
  int (*mig_count)(NvmlHandle*, unsigned*) = nullptr;
  int (*mig_handle)(NvmlHandle*, unsigned, NvmlHandle**) = nullptr;
  int (*gpu_instance)(NvmlHandle*, unsigned*) = nullptr;
  int (*compute_instance)(NvmlHandle*, unsigned*) = nullptr;
  int (*attributes)(NvmlHandle*, NvmlAttributes*) = nullptr;
  int (*event_set)(NvmlEventSet**) = nullptr;
  int (*register_events)(NvmlHandle*, unsigned long long, NvmlEventSet*) = nullptr;
  int (*wait_event)(NvmlEventSet*, NvmlEventData*, unsigned) = nullptr;
  int (*free_events)(NvmlEventSet*) = nullptr;
};

struct Nvml::State {
  explicit State(os::DynamicLibrary loaded) : library(std::move(loaded)) {}

  os::DynamicLibrary library;
  Functions call;
  NvmlEventSet* events = nullptr;
  std::set<std::string> watched = {};  ///< Addresses whose events are registered.

  std::string error(int code) const {
    const char* text = call.error_string == nullptr ? nullptr : call.error_string(code);
    return fmt::format("{} (NVML error {})", text == nullptr ? "unknown error" : text, code);
  }

  std::string address(NvmlHandle* device) const {
    NvmlPciInfo info{};
    if (call.pci_info(device, &info) != kNvmlSuccess) return {};
    info.bus_id[sizeof info.bus_id - 1] = '\0';
    return sysfs_address(info.bus_id);
  }

  std::string uuid(NvmlHandle* device) const {
    std::array<char, kNvmlUuidSize> buffer{};
    return call.uuid(device, buffer.data(), kNvmlUuidSize) == kNvmlSuccess ? text_of(buffer) : std::string();
  }

  NvmlDevice device(NvmlHandle* handle, unsigned index) const;
  engine::CardReading reading(NvmlHandle* handle) const;
  std::vector<std::string> link_peers(NvmlHandle* handle) const;
  std::vector<NvmlPartition> partitions(NvmlHandle* handle) const;
  void watch(NvmlHandle* handle, const std::string& address);
  std::vector<NvmlSnapshot::Failure> take_events();
};

namespace {

/// Calls that a driver may lack or refuse: the value if it answers.
template <class T, class Function, class... Arguments>
std::optional<T> ask(Function function, Arguments... arguments) {
  T value{};
  if (function == nullptr || function(arguments..., &value) != kNvmlSuccess) return std::nullopt;
  return value;
}

}  // namespace

engine::CardReading Nvml::State::reading(NvmlHandle* handle) const {
  engine::CardReading reading;
  if (const auto memory = ask<NvmlMemory>(call.memory, handle)) {
    reading.memory_used_bytes = static_cast<std::int64_t>(memory->used);
  }
  if (const auto use = ask<NvmlUtilization>(call.utilization, handle)) {
    reading.utilisation_percent = static_cast<std::int32_t>(use->gpu);
  }
  if (const auto power = ask<unsigned>(call.power, handle)) reading.power_mw = *power;
  if (const auto heat = ask<unsigned>(call.temperature, handle, 0)) {
    reading.temperature_c = static_cast<std::int32_t>(*heat);
  }
  return reading;
}

std::vector<std::string> Nvml::State::link_peers(NvmlHandle* handle) const {
  std::vector<std::string> peers;
  for (unsigned link = 0; link < kNvmlMaxLinks; ++link) {
    const auto is_active = ask<int>(call.link_state, handle, link);
    if (!is_active) break;  // Links are numbered without gaps.
    if (*is_active == 0) continue;
    if (auto peer = ask<NvmlPciInfo>(call.link_peer, handle, link)) {
      peer->bus_id[sizeof peer->bus_id - 1] = '\0';
      peers.push_back(sysfs_address(peer->bus_id));
    }
  }
  std::sort(peers.begin(), peers.end());
  peers.erase(std::unique(peers.begin(), peers.end()), peers.end());
  return peers;
}

std::vector<NvmlPartition> Nvml::State::partitions(NvmlHandle* handle) const {
  std::vector<NvmlPartition> found;
  const unsigned most = ask<unsigned>(call.mig_count, handle).value_or(0);
  for (unsigned i = 0; i < most; ++i) {
    NvmlHandle* mig = nullptr;
    if (call.mig_handle == nullptr || call.mig_handle(handle, i, &mig) != kNvmlSuccess) continue;
    const auto gpu_instance = ask<unsigned>(call.gpu_instance, mig);
    const auto compute_instance = ask<unsigned>(call.compute_instance, mig);
    const auto attributes = ask<NvmlAttributes>(call.attributes, mig);
    std::string id = uuid(mig);
    if (!gpu_instance || !compute_instance || id.empty()) continue;
    found.push_back({.uuid = std::move(id),
                     .gpu_instance = *gpu_instance,
                     .compute_instance = *compute_instance,
                     .slices = attributes ? attributes->gpu_instance_slices : 0,
                     .memory_bytes = attributes ? static_cast<std::int64_t>(attributes->memory_mb << 20) : 0});
  }
  return found;
}

NvmlDevice Nvml::State::device(NvmlHandle* handle, unsigned index) const {
  NvmlDevice found{.address = address(handle), .uuid = uuid(handle), .index = index};
  if (const auto minor = ask<unsigned>(call.minor, handle)) found.minor = *minor;
  if (const auto memory = ask<NvmlMemory>(call.memory, handle)) {
    found.memory_bytes = static_cast<std::int64_t>(memory->total);
  }
  found.reading = reading(handle);
  found.link_peers = link_peers(handle);
  unsigned current = 0;
  unsigned pending = 0;
  found.is_partitioned =
      call.mig_mode != nullptr && call.mig_mode(handle, &current, &pending) == kNvmlSuccess && current == 1;
  if (found.is_partitioned) found.partitions = partitions(handle);
  return found;
}

void Nvml::State::watch(NvmlHandle* handle, const std::string& address) {
  if (call.event_set == nullptr || call.register_events == nullptr || call.wait_event == nullptr) return;
  if (events == nullptr && call.event_set(&events) != kNvmlSuccess) events = nullptr;
  if (events == nullptr || !watched.insert(address).second) return;
  // Consumer cards know no ECC events: then Xids alone.
  if (call.register_events(handle, kNvmlEventXid | kNvmlEventDoubleBitEcc, events) != kNvmlSuccess) {
    (void)call.register_events(handle, kNvmlEventXid, events);
  }
}

std::vector<NvmlSnapshot::Failure> Nvml::State::take_events() {
  std::vector<NvmlSnapshot::Failure> failures;
  for (std::uint32_t i = 0; events != nullptr && i < kMostEvents; ++i) {
    NvmlEventData data{};
    const int code = call.wait_event(events, &data, 0);
    if (code != kNvmlSuccess) break;
    const bool is_xid = (data.type & kNvmlEventXid) != 0;
    if (is_xid && !is_fatal_xid(data.data)) continue;
    failures.push_back({.address = address(data.device),
                        .detail = is_xid ? fmt::format("Xid {} was reported by the driver", data.data)
                                         : "an uncorrectable memory error (double-bit ECC) was reported"});
  }
  return failures;
}

Nvml::Nvml(std::unique_ptr<State> state) : state_(std::move(state)) {}

Nvml::~Nvml() {
  if (state_->events != nullptr && state_->call.free_events != nullptr) (void)state_->call.free_events(state_->events);
  (void)state_->call.shutdown();
}

Result<std::unique_ptr<Nvml>> Nvml::open(const std::string& library) {
  TRY_ASSIGN(os::DynamicLibrary loaded, os::DynamicLibrary::open(library));
  auto state = std::make_unique<State>(std::move(loaded));
  Functions& call = state->call;
  const os::DynamicLibrary& from = state->library;
  TRY(from.require("nvmlInit_v2", call.init));
  TRY(from.require("nvmlShutdown", call.shutdown));
  TRY(from.require("nvmlDeviceGetCount_v2", call.count));
  TRY(from.require("nvmlDeviceGetHandleByIndex_v2", call.handle));
  TRY(from.require("nvmlDeviceGetPciInfo_v3", call.pci_info));
  TRY(from.require("nvmlDeviceGetUUID", call.uuid));
  from.find("nvmlErrorString", call.error_string);
  from.find("nvmlDeviceGetMinorNumber", call.minor);
  from.find("nvmlDeviceGetMemoryInfo", call.memory);
  from.find("nvmlDeviceGetUtilizationRates", call.utilization);
  from.find("nvmlDeviceGetPowerUsage", call.power);
  from.find("nvmlDeviceGetTemperature", call.temperature);
  from.find("nvmlDeviceGetNvLinkState", call.link_state);
  from.find("nvmlDeviceGetNvLinkRemotePciInfo_v2", call.link_peer);
  from.find("nvmlDeviceGetMigMode", call.mig_mode);
  from.find("nvmlDeviceGetMaxMigDeviceCount", call.mig_count);
  from.find("nvmlDeviceGetMigDeviceHandleByIndex", call.mig_handle);
  from.find("nvmlDeviceGetGpuInstanceId", call.gpu_instance);
  from.find("nvmlDeviceGetComputeInstanceId", call.compute_instance);
  from.find("nvmlDeviceGetAttributes_v2", call.attributes);
  from.find("nvmlEventSetCreate", call.event_set);
  from.find("nvmlDeviceRegisterEvents", call.register_events);
  from.find("nvmlEventSetWait_v2", call.wait_event);
  from.find("nvmlEventSetFree", call.free_events);
  if (const int code = call.init(); code != kNvmlSuccess) {
    return make_error(ErrorCode::kUnavailable, fmt::format("{} does not start: {}", library, state->error(code)));
  }
  return std::unique_ptr<Nvml>(new Nvml(std::move(state)));
}

NvmlSnapshot Nvml::read() {
  NvmlSnapshot snapshot;
  unsigned count = 0;
  if (const int code = state_->call.count(&count); code != kNvmlSuccess) {
    snapshot.problems.push_back({.path = state_->library.name(), .message = state_->error(code)});
  }
  for (unsigned i = 0; i < count; ++i) {
    NvmlHandle* handle = nullptr;
    const int code = state_->call.handle(i, &handle);
    if (code != kNvmlSuccess) {
      snapshot.problems.push_back(
          {.path = fmt::format("{} GPU {}", state_->library.name(), i), .message = state_->error(code)});
      continue;
    }
    NvmlDevice device = state_->device(handle, i);
    if (device.address.empty()) continue;
    state_->watch(handle, device.address);
    snapshot.devices.push_back(std::move(device));
  }
  snapshot.failures = state_->take_events();
  return snapshot;
}

std::string sysfs_address(std::string_view nvml_bus_id) {
  std::string address = to_lower(nvml_bus_id);
  // Eight digits of domain, of which sysfs prints four unless it needs more.
  while (address.find(':') > 4 && address.find(':') != std::string::npos && address.starts_with('0'))
    address.erase(0, 1);
  return address;
}

bool is_fatal_xid(std::uint64_t xid) {
  // Faults of programs: exceptions, page faults, preemptive cleanup, a killed or stopped context, a timer.
  constexpr std::array<std::uint64_t, 6> kPrograms = {13, 31, 43, 45, 68, 109};
  return std::find(kPrograms.begin(), kPrograms.end(), xid) == kPrograms.end();
}

}  // namespace busbar::chip::probe
