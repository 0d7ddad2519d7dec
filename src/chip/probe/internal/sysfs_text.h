#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

/// Readers of the texts that /sys and /proc hold. Pure; safe on any bytes: a file there may be anything, since an
/// operator can copy a tree from another machine. nullopt: not such a text.
namespace busbar::chip::probe {

/// "0x10de", as sysfs prints ids and classes, of at most `bits` bits. Blanks around it do not matter.
std::optional<std::uint32_t> parse_hex_id(std::string_view text, unsigned bits);

/// All ids of a PCI function in one text, "pci:v000010DEd00002330sv000010DEsd000016C1bc03sc02i00": one file to read of
/// the hundreds of devices that are no cards.
struct PciModalias {
  std::uint16_t vendor = 0;
  std::uint16_t device = 0;
  std::uint16_t subsystem_vendor = 0;
  std::uint16_t subsystem_device = 0;
  std::uint32_t class_code = 0;  ///< 24 bits.
  friend bool operator==(const PciModalias&, const PciModalias&) = default;
};
std::optional<PciModalias> parse_pci_modalias(std::string_view text);

/// "0000:3b:00.0": domain of 4 to 8 digits, bus, device, function; lower case.
bool is_pci_address(std::string_view text);

/// "16.0 GT/s PCIe" -> 16'000 mega-transfers a second; 0 for "Unknown", which the kernel prints for links that are
/// down.
std::optional<std::int32_t> parse_link_speed(std::string_view text);

/// "0-3,8" -> 0 1 2 3 8; at most 8192 numbers below 8192.
std::optional<std::vector<std::uint32_t>> parse_cpu_list(std::string_view text);

/// The total of aer_dev_fatal or aer_dev_nonfatal: the number behind TOTAL_ERR_FATAL or TOTAL_ERR_NONFATAL.
std::optional<std::int64_t> parse_aer_total(std::string_view text);

/// KEY=value, one a line (uevent). Lines of another form are left out.
std::map<std::string, std::string> parse_uevent(std::string_view text);

/// "195:0"
struct DeviceNumber {
  std::uint32_t major = 0;
  std::uint32_t minor = 0;
  friend bool operator==(const DeviceNumber&, const DeviceNumber&) = default;
};
std::optional<DeviceNumber> parse_device_number(std::string_view text);

/// The value behind the first "key :" of texts such as /proc/cpuinfo; empty if there is none.
std::string colon_field(std::string_view text, std::string_view key);

/// What /proc/cpuinfo says.
struct CpuInfo {
  std::vector<std::uint32_t> processors = {};
  std::string flags = {};  ///< "flags" (x86) or "Features" (arm64) of the first processor.
  std::string model_name = {};
  std::int64_t mhz = 0;  ///< "cpu MHz" of the first processor; 0: not said.
};
CpuInfo parse_cpuinfo(std::string_view text);

}  // namespace busbar::chip::probe
