#include "chip/probe/internal/cdi_dirs.h"

#include <algorithm>
#include <array>
#include <utility>

namespace busbar::chip::probe {
namespace {

constexpr std::array<const char*, 2> kDirs = {"/var/run/cdi", "/etc/cdi"};

bool is_spec_name(const std::string& name) {
  return name.ends_with(".json") || name.ends_with(".yaml") || name.ends_with(".yml");
}

bool has_any(const OciEdits& edits, const std::vector<std::string>& nodes) {
  return std::any_of(edits.devices.begin(), edits.devices.end(), [&](const DeviceNode& node) {
    const std::string& path = node.host_path.empty() ? node.path : node.host_path;
    return std::find(nodes.begin(), nodes.end(), path) != nodes.end();
  });
}

}  // namespace

CdiDirs read_cdi_dirs(const HostRoot& root) {
  CdiDirs found;
  for (const std::string dir : kDirs) {
    for (const os::DirEntry& entry : root.list(dir)) {
      if (!is_spec_name(entry.name)) continue;
      const std::string path = os::join_path(dir, entry.name);
      const auto text = root.read(path);
      auto spec = text ? parse_cdi_spec(path, *text) : tl::unexpected(text.error());
      if (spec) {
        found.specs.push_back(*std::move(spec));
      } else {
        found.problems.push_back({.path = path, .message = spec.error().to_string()});
      }
    }
  }
  return found;
}

std::string cdi_device_of(const std::vector<CdiSpec>& specs, const std::string& kind, const CardFacts& card,
                          const std::vector<std::string>& own_nodes, const std::vector<std::string>& other_nodes) {
  const auto index = card.values.find("index");
  for (const CdiSpec& spec : specs) {
    if (spec.kind != kind) continue;
    for (const CdiDevice& device : spec.devices) {
      const bool shows_other = has_any(device.edits, other_nodes);
      const bool is_named = (!card.uuid.empty() && device.name == card.uuid) ||
                            (index != card.values.end() && device.name == index->second);
      if (!shows_other && (has_any(device.edits, own_nodes) || is_named)) return kind + "=" + device.name;
    }
  }
  return {};
}

}  // namespace busbar::chip::probe
