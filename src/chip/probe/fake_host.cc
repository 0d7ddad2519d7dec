#include "chip/probe/fake_host.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <vector>

#include "base/text.h"
#include "base/yaml.h"
#include "os/errno_error.h"
#include "os/files.h"

namespace busbar::chip::probe {
namespace {

tl::unexpected<Error> wrong(const YamlNode& node, std::string_view message) {
  return make_error(ErrorCode::kInvalidArgument, fmt::format("line {}: {}", node.position.line, message));
}

std::string scalar(const YamlNode& node, std::string_view key, std::string_view fallback = "") {
  const YamlNode* found = node.find(key);
  return found == nullptr ? std::string(fallback) : found->scalar;
}

/// One device of the section `pci`.
class DeviceBuilder {
 public:
  DeviceBuilder(const FakeHost& host, const std::string& address, const YamlNode& node, std::uint32_t number)
      : host_(host), address_(address), node_(node), number_(number) {}

  Result<void> build() {
    std::string parents = "/sys/devices";
    if (const YamlNode* under = node_.find("under")) {
      for (const std::string_view part : split(under->scalar, '/')) parents += "/" + std::string(part);
    } else {
      parents += "/pci" + address_.substr(0, address_.find(':') + 3);
    }
    dir_ = parents + "/" + address_;
    TRY(ids());
    TRY(file("class", scalar(node_, "class", "0x120000")));
    TRY(modalias());
    TRY(file("numa_node", scalar(node_, "numa", "0")));
    TRY(link_state());
    if (const std::string driver = scalar(node_, "driver"); !driver.empty()) {
      TRY(host_.write("/sys/bus/pci/drivers/" + driver + "/bind", ""));
      TRY(link("driver", "/sys/bus/pci/drivers/" + driver));
    }
    if (const std::string group = scalar(node_, "iommu_group"); !group.empty()) {
      TRY(host_.write("/sys/kernel/iommu_groups/" + group + "/type", "DMA"));
      TRY(link("iommu_group", "/sys/kernel/iommu_groups/" + group));
    }
    if (const std::string physfn = scalar(node_, "physfn"); !physfn.empty()) {
      TRY(link("physfn", "/sys/bus/pci/devices/" + physfn));
    }
    TRY(nodes());
    if (const YamlNode* files = node_.find("files")) {
      for (const YamlNode::Entry& entry : files->entries) TRY(file(entry.key, entry.value.scalar));
    }
    return make_link("/sys/bus/pci/devices/" + address_, dir_);
  }

 private:
  Result<void> file(std::string_view name, std::string_view content) {
    return host_.write(fmt::format("{}/{}", dir_, name), std::string(content) + "\n");
  }

  /// "10de:2330"
  Result<void> ids() {
    const auto pair = [&](std::string_view key, std::string_view fallback, std::string_view first,
                          std::string_view second) -> Result<void> {
      const std::string text = scalar(node_, key, fallback);
      if (text.size() != 9 || text[4] != ':') return wrong(node_, fmt::format("{} \"{}\" is not VVVV:DDDD", key, text));
      TRY(file(first, "0x" + text.substr(0, 4)));
      return file(second, "0x" + text.substr(5));
    };
    TRY(pair("id", "", "vendor", "device"));
    return pair("sub", "0000:0000", "subsystem_vendor", "subsystem_device");
  }

  /// As the kernel writes it; left out where the description says what stands in the single files.
  Result<void> modalias() {
    const YamlNode* files = node_.find("files");
    for (const char* name : {"vendor", "device", "class", "subsystem_vendor", "subsystem_device"}) {
      if (files != nullptr && files->find(name) != nullptr) return {};
    }
    const auto upper = [](std::string text) {
      std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return std::toupper(c); });
      return text;
    };
    const std::string id = upper(scalar(node_, "id"));
    const std::string sub = upper(scalar(node_, "sub", "0000:0000"));
    const std::string code = upper(scalar(node_, "class", "0x120000"));
    if (code.size() != 8) return wrong(node_, "class is 0xCCSSII");
    return file("modalias",
                fmt::format("pci:v0000{}d0000{}sv0000{}sd0000{}bc{}sc{}i{}", id.substr(0, 4), id.substr(5),
                            sub.substr(0, 4), sub.substr(5), code.substr(2, 2), code.substr(4, 2), code.substr(6, 2)));
  }

  /// "32.0 16": now and at most.
  Result<void> link_state() {
    const std::string text = scalar(node_, "link", "16.0 16");
    const std::size_t blank = text.find(' ');
    if (blank == std::string::npos) return wrong(node_, "link is SPEED WIDTH");
    for (const std::string_view when : {"current", "max"}) {
      TRY(file(fmt::format("{}_link_speed", when), text.substr(0, blank) + " GT/s PCIe"));
      TRY(file(fmt::format("{}_link_width", when), text.substr(blank + 1)));
    }
    return {};
  }

  /// "drm/card0=dri/card0 accel/accel0=accel/accel0": sysfs directory and device node; the node is made unless it is
  /// marked with a '!'.
  Result<void> nodes() {
    std::uint32_t minor = 0;
    const std::string words = scalar(node_, "nodes");
    for (const std::string_view word : split(words, ' ')) {
      if (word.empty()) continue;
      const bool is_missing = word.ends_with('!');
      const std::string_view pair = is_missing ? word.substr(0, word.size() - 1) : word;
      const std::size_t equals = pair.find('=');
      if (equals == std::string_view::npos) return wrong(node_, fmt::format("node \"{}\" is not DIR=NODE", word));
      const std::string number = fmt::format("{}:{}", 230, number_ * 16 + minor++);
      TRY(file(fmt::format("{}/dev", pair.substr(0, equals)), number));
      TRY(file(fmt::format("{}/uevent", pair.substr(0, equals)),
               fmt::format("MAJOR=230\nDEVNAME={}", pair.substr(equals + 1))));
      if (!is_missing) TRY(host_.write(fmt::format("/dev/{}", pair.substr(equals + 1)), "c " + number));
    }
    return {};
  }

  /// A relative link, as sysfs has them, so that it stays inside the tree.
  Result<void> make_link(const std::string& path, const std::string& target) {
    const auto depth = std::count(path.begin(), path.end(), '/') - 1;
    std::string text;
    for (std::ptrdiff_t i = 0; i < depth; ++i) text += "../";
    const std::string full = host_.root() + path;
    TRY(os::make_dirs(os::parent_path(full)));
    if (::symlink((text + target.substr(1)).c_str(), full.c_str()) != 0) {
      return os::errno_failure("cannot make the link " + full);
    }
    return {};
  }
  Result<void> link(std::string_view name, const std::string& target) {
    return make_link(fmt::format("{}/{}", dir_, name), target);
  }

  const FakeHost& host_;
  const std::string& address_;
  const YamlNode& node_;
  const std::uint32_t number_;
  std::string dir_;
};

}  // namespace

Result<void> FakeHost::write(const std::string& path, std::string_view content) const {
  const std::string full = root_ + path;
  TRY(os::make_dirs(os::parent_path(full)));
  return os::write_file_atomic(full, content, 0644, os::Durability::kCached);
}

Result<void> FakeHost::remove(const std::string& path) const {
  return os::remove_tree(root_ + path);
}

Result<void> FakeHost::unplug(const std::string& pci_address) const {
  const std::string link = root_ + "/sys/bus/pci/devices/" + pci_address;
  TRY_ASSIGN(const std::string target, os::read_link(link));
  TRY(os::remove_tree(os::join_path(os::parent_path(link), target)));
  return os::remove_tree(link);
}

Result<FakeHost> FakeHost::build(std::string root, std::string_view description) {
  const auto document = parse_yaml(description);
  if (!document) {
    return make_error(ErrorCode::kInvalidArgument,
                      fmt::format("line {}: {}", document.error().position.line, document.error().message));
  }
  FakeHost host(std::move(root));
  std::uint32_t number = 0;
  if (const YamlNode* pci = document->find("pci")) {
    for (const YamlNode::Entry& entry : pci->entries) {
      TRY(DeviceBuilder(host, entry.key, entry.value, number++).build());
    }
  }
  if (const YamlNode* files = document->find("files")) {
    for (const YamlNode::Entry& entry : files->entries) TRY(host.write(entry.key, entry.value.scalar));
  }
  // Nodes that no sysfs directory names: "nvidia0=195:0 davinci3".
  std::uint32_t minor = 0;
  const std::string words = scalar(*document, "dev");
  for (const std::string_view word : split(words, ' ')) {
    if (word.empty()) continue;
    const std::size_t equals = word.find('=');
    const std::string number_text =
        equals == std::string_view::npos ? fmt::format("231:{}", minor++) : std::string(word.substr(equals + 1));
    TRY(host.write("/dev/" + std::string(word.substr(0, equals)), "c " + number_text));
  }
  return host;
}

}  // namespace busbar::chip::probe
