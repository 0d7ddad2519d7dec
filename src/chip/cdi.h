#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/json.h"
#include "chip/oci_edits.h"

/// The Container Device Interface: files by which vendors say how a device is shown to a container
/// (github.com/cncf-tags/container-device-interface, SPEC.md).
namespace busbar::chip {

struct CdiDevice {
  std::string name = {};  ///< "0", "GPU-8a3f...", "all"
  OciEdits edits = {};
  friend bool operator==(const CdiDevice&, const CdiDevice&) = default;
};

/// One spec file. A plain value.
struct CdiSpec {
  std::string file = {};  ///< For messages.
  std::string kind = {};  ///< "nvidia.com/gpu"
  OciEdits common = {};   ///< Applied once if any device of the spec is used.
  std::vector<CdiDevice> devices = {};
  friend bool operator==(const CdiSpec&, const CdiSpec&) = default;
};

/// Reads a spec of version 0.3 to 0.8 or 1.0, JSON or YAML. Lenient about what it need not understand (unknown members
/// are left out), strict about what would be done on the host: paths are absolute and without "..", variables are
/// NAME=VALUE, hooks are of the OCI specification. The error names the file. Pure; safe on any bytes.
Result<CdiSpec> parse_cdi_spec(std::string_view file, std::string_view text);

/// As version 0.5.0: some runtimes refuse newer ones, and nothing of ours needs them.
Json to_cdi_json(const CdiSpec& spec);

/// The edits of qualified devices ("nvidia.com/gpu=0"): the specs' common part once, then each device. kNotFound for a
/// device that no spec has; the first spec that has it counts.
Result<OciEdits> cdi_edits(const std::vector<CdiSpec>& specs, const std::vector<std::string>& devices);

}  // namespace busbar::chip
