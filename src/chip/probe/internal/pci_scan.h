#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "chip/probe/internal/host_root.h"

namespace busbar::chip::probe {

/// A device node that sysfs names below a PCI device.
struct SysfsNode {
  std::string kind = {};  ///< Name of its class directory: "drm", "accel", "misc".
  std::string path = {};  ///< "/dev/dri/renderD128"
  DeviceNumber number = {};
  friend bool operator==(const SysfsNode&, const SysfsNode&) = default;
};

/// One function on the PCI bus.
struct PciDevice {
  std::string address = {};  ///< "0000:3b:00.0"
  std::uint16_t vendor = 0;
  std::uint16_t device = 0;
  std::uint32_t class_code = 0;  ///< 24 bits: base class, subclass, interface.
  std::uint16_t subsystem_vendor = 0;
  std::uint16_t subsystem_device = 0;

  // Read only of devices that are wanted.
  std::string driver = {};
  std::int16_t numa_node = -1;  ///< -1: unknown.
  std::int32_t link_speed = 0;  ///< Mega-transfers a second; 0: unknown.
  std::int32_t max_link_speed = 0;
  std::int32_t link_width = 0;
  std::int32_t max_link_width = 0;
  std::string physical_function = {};      ///< Of a virtual function: its parent's address.
  std::uint32_t virtual_functions = 0;     ///< How many this physical function has now.
  std::vector<std::string> upstream = {};  ///< From the host bridge down: "pci0000:15", "0000:15:01.0", ...
  std::vector<SysfsNode> nodes = {};
  std::string iommu_group = {};
  std::string product_name = {};                  ///< What the driver calls the board, where it says so.
  std::int64_t memory_bytes = 0;                  ///< Where the driver says so; 0: unknown.
  std::optional<std::int64_t> fatal_errors = {};  ///< Uncorrectable errors counted by AER since boot.
  std::optional<std::int64_t> nonfatal_errors = {};

  std::string slot() const { return address.substr(0, address.rfind('.')); }
};

struct PciScan {
  std::vector<PciDevice> devices = {};  ///< Those that are wanted, by address.
  std::vector<engine::ProbeProblem> problems = {};
};

/// Reads /sys/bus/pci/devices. `is_wanted` sees address, ids and class; only of devices that it takes the rest is read,
/// because a host has hundreds. What cannot be read is a problem and left at its default; a device whose ids cannot be
/// read is left out.
PciScan scan_pci(const HostRoot& root, const std::function<bool(const PciDevice&)>& is_wanted);

}  // namespace busbar::chip::probe
