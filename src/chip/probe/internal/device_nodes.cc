#include "chip/probe/internal/device_nodes.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>

#include "base/text.h"

namespace busbar::chip::probe {
namespace {

bool is_number(std::string_view text) {
  return !text.empty() && text.size() < 10 &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

/// "A->B" -> "A".
std::string_view host_side(std::string_view pattern) {
  return pattern.substr(0, pattern.find("->"));
}

/// The pattern with what is known filled in; the first unknown name, if any, stays as {name}.
std::string fill_known(std::string_view pattern, const NodeValues& values) {
  std::string text;
  while (!pattern.empty()) {
    const std::size_t open = pattern.find('{');
    const std::size_t close = open == std::string_view::npos ? open : pattern.find('}', open);
    if (close == std::string_view::npos) break;
    text += pattern.substr(0, open);
    const auto found = values.find(std::string(pattern.substr(open + 1, close - open - 1)));
    text += found == values.end() ? std::string(pattern.substr(open, close - open + 1)) : found->second;
    pattern.remove_prefix(close + 1);
  }
  return text + std::string(pattern);
}

/// The one name that is left to be filled in; nullopt if there is none, or are several.
std::optional<std::string> open_name(const std::string& filled) {
  const std::size_t open = filled.find('{');
  const std::size_t close = filled.find('}', open == std::string::npos ? 0 : open);
  if (open == std::string::npos || close == std::string::npos || filled.find('{', close) != std::string::npos) {
    return std::nullopt;
  }
  return filled.substr(open + 1, close - open - 1);
}

/// The numbers N for which the node that `filled` names with {name} = N is in /dev, ascending.
std::vector<std::uint32_t> numbers_in_dev(const HostRoot& root, const std::string& filled) {
  std::vector<std::uint32_t> numbers;
  const std::string dir = os::parent_path(filled.substr(0, filled.find('{')) + "x");
  for (const os::DirEntry& entry : root.list(dir)) {
    const std::string path = os::join_path(dir, entry.name);
    const auto match = match_pattern(filled, path, {});
    if (match && root.stat_node(path)) {
      numbers.push_back(static_cast<std::uint32_t>(parse_int(match->second).value_or(0)));
    }
  }
  std::sort(numbers.begin(), numbers.end());
  return numbers;
}

class Assigner {
 public:
  Assigner(const HostRoot& root, const TopologyFile& topology, const std::vector<FoundDevice>& devices,
           const std::map<std::string, NodeValues>& known)
      : root_(root), topology_(topology), devices_(devices), known_(known) {}

  AssignedNodes run() {
    std::map<std::string, std::vector<std::size_t>> by_pattern;
    for (std::size_t i = 0; i < devices_.size(); ++i) {
      result_.cards.push_back(by_system(devices_[i]));
      for (std::string& pattern : own_patterns(devices_[i].identity)) by_pattern[std::move(pattern)].push_back(i);
    }
    for (const auto& [pattern, members] : by_pattern) by_order(pattern, members);
    for (std::size_t i = 0; i < devices_.size(); ++i) result_.cards[i].missing = missing(devices_[i], i);
    return std::move(result_);
  }

 private:
  /// What sysfs, /proc and the operator say of one card.
  CardNodes by_system(const FoundDevice& found) {
    CardNodes nodes;
    const PciDevice& device = found.device;
    nodes.values["bdf"] = device.address;
    if (!device.iommu_group.empty()) nodes.values["group"] = device.iommu_group;
    for (const SysfsNode& node : device.nodes) {
      if (root_.stat_node(node.path)) nodes.own.push_back(node.path);
      take_match(nodes.values, "/dev/dri/card{card}", node.path);
      take_match(nodes.values, "/dev/dri/renderD{render}", node.path);
      for (const std::string& pattern : own_patterns(found.identity)) take_match(nodes.values, pattern, node.path);
    }
    // The node of a device that is handed to user space whole.
    const Family* family = found.identity.family;
    if (device.driver == kVfio && family != nullptr && !family->nodes.vfio.empty() && !device.iommu_group.empty() &&
        root_.stat_node("/dev/vfio/" + device.iommu_group)) {
      nodes.own.push_back("/dev/vfio/" + device.iommu_group);
    }
    read_nvidia(device, nodes.values);
    if (const CardOverride* word = topology_.find(device.address)) {
      for (const auto& [name, value] : word->values) nodes.values[name] = value;
    }
    return nodes;
  }

  static void take_match(NodeValues& values, std::string_view pattern, std::string_view path) {
    for (const std::string_view alternative : split(pattern, '|')) {
      if (auto match = match_pattern(host_side(alternative), path, {})) values.insert(*std::move(match));
    }
  }

  /// NVIDIA's driver numbers its nodes by minor, which only /proc tells.
  void read_nvidia(const PciDevice& device, NodeValues& values) {
    if (device.driver != "nvidia") return;
    const std::string path = "/proc/driver/nvidia/gpus/" + device.address + "/information";
    const auto text = root_.read(path);
    if (!text) return;
    const std::string minor = colon_field(*text, "Device Minor");
    if (is_number(minor)) {
      values["minor"] = minor;
    } else {
      result_.problems.push_back({.path = path, .message = "has no line \"Device Minor: NUMBER\""});
    }
    // While the driver is not initialised it prints question marks.
    std::string uuid = colon_field(*text, "GPU UUID");
    if (uuid.starts_with("GPU-") && uuid.find('?') == std::string::npos) values["uuid"] = std::move(uuid);
  }

  /// Gives the nodes that only their numbers tell apart to the cards that have none.
  void by_order(const std::string& pattern, const std::vector<std::size_t>& members) {
    std::vector<std::size_t> waiting;
    std::string open;
    std::string filled;
    for (const std::size_t i : members) {
      for (const std::string_view alternative : split(pattern, '|')) {
        const std::string text = fill_known(host_side(alternative), result_.cards[i].values);
        const auto name = open_name(text);
        if (!name) break;
        // All alternatives name the same value; the one whose nodes exist is looked at.
        if (filled.empty() || numbers_in_dev(root_, filled).empty()) {
          filled = text;
          open = *name;
        }
        if (waiting.empty() || waiting.back() != i) waiting.push_back(i);
      }
    }
    if (waiting.empty()) return;
    std::vector<std::uint32_t> free = numbers_in_dev(root_, filled);
    const auto take = [&](std::size_t i, const std::string& value) {
      result_.cards[i].values[open] = value;
      std::erase_if(free, [&](std::uint32_t number) { return std::to_string(number) == value; });
    };
    for (const std::size_t i : members) {
      const auto has = result_.cards[i].values.find(open);
      if (has != result_.cards[i].values.end()) take(i, has->second);
    }
    std::erase_if(waiting, [&](std::size_t i) {
      const auto before = known_.find(devices_[i].device.address);
      if (before == known_.end() || !before->second.contains(open)) return false;
      take(i, before->second.at(open));
      return true;
    });
    if (free.size() == waiting.size()) {
      const std::vector<std::uint32_t> in_order = free;
      for (std::size_t k = 0; k < waiting.size(); ++k) take(waiting[k], std::to_string(in_order[k]));
    } else if (!free.empty()) {
      result_.problems.push_back(
          {.path = pattern,
           .message = fmt::format("{} cards and {} nodes are left, so which is whose cannot be told; say it in the "
                                  "topology file (values: {{{}: N}})",
                                  waiting.size(), free.size(), open)});
    }
  }

  std::string missing(const FoundDevice& found, std::size_t i) const {
    const CardNodes& nodes = result_.cards[i];
    const std::vector<std::string> patterns = own_patterns(found.identity);
    const auto is_vfio = [](const std::string& pattern) { return pattern.starts_with("/dev/vfio/"); };
    if (found.device.driver == kVfio && std::none_of(patterns.begin(), patterns.end(), is_vfio) && nodes.own.empty()) {
      return "is bound to vfio-pci, for a virtual machine";
    }
    for (const std::string& pattern : patterns) {
      const auto path = fill_pattern(pattern, nodes.values);
      if (path && root_.stat_node(*path)) continue;
      return found.device.driver.empty() ? "no kernel driver is bound to it"
             : path                      ? *path + " is missing"
                                         : "no node " + pattern + " belongs to it";
    }
    if (!patterns.empty() || !nodes.own.empty()) return {};
    return found.device.driver.empty() ? "no kernel driver is bound to it" : "sysfs names no device node of it";
  }

  static constexpr std::string_view kVfio = "vfio-pci";

  const HostRoot& root_;
  const TopologyFile& topology_;
  const std::vector<FoundDevice>& devices_;
  const std::map<std::string, NodeValues>& known_;
  AssignedNodes result_;
};

}  // namespace

std::optional<std::string> fill_pattern(std::string_view pattern, const NodeValues& values) {
  for (const std::string_view alternative : split(pattern, '|')) {
    std::string text = fill_known(host_side(alternative), values);
    if (text.find('{') == std::string::npos) return text;
  }
  return std::nullopt;
}

std::optional<std::pair<std::string, std::string>> match_pattern(std::string_view pattern, std::string_view path,
                                                                 const NodeValues& values) {
  const std::string filled = fill_known(pattern, values);
  const auto name = open_name(filled);
  if (!name) return std::nullopt;
  const std::size_t open = filled.find('{');
  const std::string_view head = std::string_view(filled).substr(0, open);
  const std::string_view tail = std::string_view(filled).substr(filled.find('}') + 1);
  if (path.size() <= head.size() + tail.size() || !path.starts_with(head) || !path.ends_with(tail)) return std::nullopt;
  const std::string_view number = path.substr(head.size(), path.size() - head.size() - tail.size());
  if (!is_number(number)) return std::nullopt;
  return std::pair{*name, std::string(number)};
}

AssignedNodes assign_nodes(const HostRoot& root, const TopologyFile& topology, const std::vector<FoundDevice>& devices,
                           const std::map<std::string, NodeValues>& known) {
  return Assigner(root, topology, devices, known).run();
}

std::vector<std::string> own_patterns(const Identity& identity) {
  if (identity.model != nullptr && !identity.model->node.empty()) return {identity.model->node};
  return identity.family == nullptr ? std::vector<std::string>() : identity.family->inject.device;
}

}  // namespace busbar::chip::probe
