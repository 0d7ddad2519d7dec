#include <cstddef>
#include <cstdint>
#include <string_view>

#include "chip/probe/internal/sysfs_text.h"
#include "chip/probe/internal/topology_file.h"

using namespace busbar::chip::probe;

/// Whatever a file of /sys or /proc holds, and whatever the operator wrote: a value within its bounds or none; a crash,
/// a hang or memory that explodes is the finding.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto id = parse_hex_id(text, 16); id && *id > 0xffff) __builtin_trap();
  if (const auto alias = parse_pci_modalias(text); alias && alias->class_code > 0xffffff) __builtin_trap();
  if (const auto speed = parse_link_speed(text); speed && *speed < 0) __builtin_trap();
  if (const auto cpus = parse_cpu_list(text); cpus && cpus->size() > 8192) __builtin_trap();
  if (const auto total = parse_aer_total(text); total && *total < 0) __builtin_trap();
  if (const auto number = parse_device_number(text); number && number->major > 0xfff) __builtin_trap();
  if (is_pci_address(text) && (size < 12 || size > 16)) __builtin_trap();
  (void)parse_uevent(text);
  (void)colon_field(text, "Device Minor");
  if (parse_cpuinfo(text).processors.size() > 8192) __builtin_trap();
  const TopologyFile file = parse_topology_file("t", text);
  for (const auto& [address, card] : file.cards) {
    if (!is_pci_address(address)) __builtin_trap();
  }
  return 0;
}
