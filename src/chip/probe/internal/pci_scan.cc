#include "chip/probe/internal/pci_scan.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "base/text.h"

namespace busbar::chip::probe {
namespace {

constexpr std::string_view kDevices = "/sys/bus/pci/devices/";
constexpr std::uint32_t kMostVirtualFunctions = 65'535;

/// Directories below a PCI device that hold no class device.
constexpr std::array<std::string_view, 7> kNoClass = {"power", "msi_irqs", "link", "hwmon", "i2c", "iommu", "virtio"};

bool is_class_dir(const os::DirEntry& entry) {
  return entry.kind == os::FileKind::kDirectory && !is_pci_address(entry.name) &&
         std::none_of(kNoClass.begin(), kNoClass.end(),
                      [&](std::string_view name) { return entry.name.starts_with(name); });
}

class Scanner {
 public:
  explicit Scanner(const HostRoot& root) : root_(root) {}

  PciScan run(const std::function<bool(const PciDevice&)>& is_wanted) {
    for (const os::DirEntry& entry : root_.list(kDevices)) {
      if (!is_pci_address(entry.name)) continue;
      dir_ = std::string(kDevices) + entry.name;
      PciDevice device{.address = entry.name};
      if (!read_ids(device) || !is_wanted(device)) continue;
      read_rest(device);
      scan_.devices.push_back(std::move(device));
    }
    return std::move(scan_);
  }

 private:
  /// By the modalias, or, where there is none or it makes no sense, by the single files.
  bool read_ids(PciDevice& device) {
    if (const auto alias = parse_pci_modalias(root_.read_or_empty(dir_ + "/modalias"))) {
      device.vendor = alias->vendor;
      device.device = alias->device;
      device.subsystem_vendor = alias->subsystem_vendor;
      device.subsystem_device = alias->subsystem_device;
      device.class_code = alias->class_code;
      return true;
    }
    const auto vendor = hex("vendor", 16);
    const auto id = hex("device", 16);
    const auto class_code = hex("class", 24);
    if (!vendor || !id || !class_code) return false;
    const auto subsystem = [&](std::string_view file) {
      return static_cast<std::uint16_t>(parsed<std::uint32_t>(
                                            file, [](const std::string& t) { return parse_hex_id(t, 16); }, "a PCI id")
                                            .value_or(0));
    };
    device.vendor = static_cast<std::uint16_t>(*vendor);
    device.device = static_cast<std::uint16_t>(*id);
    device.class_code = *class_code;
    device.subsystem_vendor = subsystem("subsystem_vendor");
    device.subsystem_device = subsystem("subsystem_device");
    return true;
  }

  void note(std::string_view file, std::string message) {
    scan_.problems.push_back({.path = fmt::format("{}/{}", dir_, file), .message = std::move(message)});
  }

  /// The file's text, trimmed; nullopt where there is none. Other failures are problems.
  std::optional<std::string> text(std::string_view file) {
    const auto content = root_.read(fmt::format("{}/{}", dir_, file));
    if (content) return std::string(trim(*content));
    if (content.error().code != ErrorCode::kNotFound) note(file, content.error().to_string());
    return std::nullopt;
  }

  template <class T, class Parse>
  std::optional<T> parsed(std::string_view file, Parse parse, std::string_view expected) {
    const auto content = text(file);
    if (!content) return std::nullopt;
    const std::optional<T> value = parse(*content);
    if (!value) note(file, fmt::format("\"{}\" is not {}", content->substr(0, 40), expected));
    return value;
  }

  std::optional<std::uint32_t> hex(std::string_view file, unsigned bits) {
    const auto content = text(file);
    if (!content) {
      note(file, "is missing, so the device cannot be identified");
      return std::nullopt;
    }
    const auto value = parse_hex_id(*content, bits);
    if (!value) note(file, fmt::format("\"{}\" is not a hexadecimal number of {} bits", content->substr(0, 40), bits));
    return value;
  }

  std::int64_t number(std::string_view file, std::int64_t least, std::int64_t most, std::int64_t fallback) {
    const auto parse = [&](const std::string& content) {
      const auto value = parse_int(content);
      return value && *value >= least && *value <= most ? value : std::nullopt;
    };
    return parsed<std::int64_t>(file, parse, fmt::format("a number from {} to {}", least, most)).value_or(fallback);
  }

  std::int32_t link_speed(std::string_view file) {
    return parsed<std::int32_t>(
               file, [](const std::string& t) { return parse_link_speed(t); }, "a link speed")
        .value_or(0);
  }

  void read_rest(PciDevice& device) {
    device.driver = root_.link_name(dir_ + "/driver");
    device.numa_node = static_cast<std::int16_t>(number("numa_node", -1, 1023, -1));
    device.link_speed = link_speed("current_link_speed");
    device.max_link_speed = link_speed("max_link_speed");
    // 255: what the kernel prints for a link whose width it does not know.
    device.link_width = static_cast<std::int32_t>(number("current_link_width", 0, 255, 0) % 255);
    device.max_link_width = static_cast<std::int32_t>(number("max_link_width", 0, 255, 0) % 255);
    device.physical_function = root_.link_name(dir_ + "/physfn");
    device.virtual_functions = static_cast<std::uint32_t>(number("sriov_numvfs", 0, kMostVirtualFunctions, 0));
    device.iommu_group = root_.link_name(dir_ + "/iommu_group");
    // amdgpu and tenstorrent say what board it is; ids that several models share are told apart by it.
    for (const std::string_view file : {"product_name", "tt_card_type"}) {
      if (device.product_name.empty()) device.product_name = text(file).value_or("");
    }
    device.memory_bytes = number("mem_info_vram_total", 0, std::int64_t{1} << 50, 0);
    const auto aer = [&](std::string_view file) {
      return parsed<std::int64_t>(
          file, [](const std::string& t) { return parse_aer_total(t); }, "a table of AER counters with its total");
    };
    device.fatal_errors = aer("aer_dev_fatal");
    device.nonfatal_errors = aer("aer_dev_nonfatal");
    read_upstream(device);
    read_nodes(device);
  }

  void read_upstream(PciDevice& device) {
    // The link's own text has the bridges in it: "../../../devices/pci0000:15/0000:15:01.0/0000:16:00.0".
    const std::string target = root_.link_target(dir_);
    if (target.empty()) return note("", "is no link, so the distance to other cards is not known");
    for (const std::string_view part : split(target, '/')) {
      if (part == device.address) break;
      if (part.starts_with("pci") || is_pci_address(part)) device.upstream.emplace_back(part);
    }
  }

  /// Class devices with a node: BDF/CLASS/NAME, or BDF/CLASS/NAME/NAME where the class device has a parent of its own.
  void read_nodes(PciDevice& device) {
    const std::string base = dir_;
    for (const os::DirEntry& kind : root_.list(base)) {
      if (!is_class_dir(kind)) continue;
      for (const os::DirEntry& item : root_.list(fmt::format("{}/{}", base, kind.name))) {
        if (item.kind != os::FileKind::kDirectory) continue;
        read_node(device, kind.name, fmt::format("{}/{}", kind.name, item.name), item.name);
      }
    }
  }

  void read_node(PciDevice& device, const std::string& kind, const std::string& relative, std::string name) {
    const auto number_text = text(relative + "/dev");
    if (!number_text) return;
    const auto number = parse_device_number(*number_text);
    if (!number) {
      return note(relative + "/dev", fmt::format("\"{}\" is not MAJOR:MINOR", number_text->substr(0, 40)));
    }
    const std::map<std::string, std::string> uevent = parse_uevent(text(relative + "/uevent").value_or(""));
    const auto named = uevent.find("DEVNAME");
    if (named != uevent.end() && named->second.find("..") == std::string::npos) {
      name = named->second;
    } else {
      // The kernel writes '/' in a device's name as '!'.
      std::replace(name.begin(), name.end(), '!', '/');
      if (kind == "drm") name = "dri/" + name;
      if (kind == "accel") name = "accel/" + name;
    }
    while (name.starts_with('/')) name.erase(0, 1);
    if (name.starts_with("dev/")) name.erase(0, 4);
    device.nodes.push_back({.kind = kind, .path = "/dev/" + name, .number = *number});
  }

  const HostRoot& root_;
  std::string dir_;
  PciScan scan_;
};

}  // namespace

PciScan scan_pci(const HostRoot& root, const std::function<bool(const PciDevice&)>& is_wanted) {
  return Scanner(root).run(is_wanted);
}

}  // namespace busbar::chip::probe
