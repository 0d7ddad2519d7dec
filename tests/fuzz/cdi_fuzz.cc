#include <cstddef>
#include <cstdint>
#include <string_view>

#include "chip/cdi.h"

namespace {

void require(bool holds) {
  if (!holds) {
    __builtin_trap();
  }
}

bool is_safe(const busbar::chip::OciEdits& edits) {
  for (const auto& node : edits.devices) {
    if (!node.path.starts_with('/') || node.path.find("/../") != std::string::npos) {
      return false;
    }
  }
  for (const auto& mount : edits.mounts) {
    if (!mount.host_path.starts_with('/') || mount.host_path.find("/../") != std::string::npos) {
      return false;
    }
  }
  return true;
}

}  // namespace

/// Any text gives a spec that holds safe paths only and survives being written, or an error.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace busbar::chip;
  const auto spec = parse_cdi_spec("fuzz", {reinterpret_cast<const char*>(data), size});
  if (!spec) {
    require(!spec.error().message.empty());
    return 0;
  }
  require(is_safe(spec->common));
  std::vector<std::string> names;
  for (const CdiDevice& device : spec->devices) {
    require(is_safe(device.edits));
    names.push_back(spec->kind + "=" + device.name);
  }
  const auto again = parse_cdi_spec("fuzz", to_cdi_json(*spec).dump());
  require(again.has_value() && *again == *spec);
  (void)cdi_edits({*spec}, names);
  return 0;
}
