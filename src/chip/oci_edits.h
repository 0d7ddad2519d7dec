#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/json.h"
#include "model/cluster.h"

namespace busbar::chip {

struct DeviceNode {
  std::string path = {};       ///< In the container.
  std::string host_path = {};  ///< Empty: same as `path`.
  std::string permissions = "rw";
  friend bool operator==(const DeviceNode&, const DeviceNode&) = default;
};

struct EditMount {
  std::string host_path = {};
  std::string container_path = {};
  std::vector<std::string> options = {"ro", "rbind", "nosuid", "nodev"};
  friend bool operator==(const EditMount&, const EditMount&) = default;
};

/// What must change in a container's configuration so that it sees its cards and no others: the containerEdits of CDI
/// 0.5.0, plus the CPU set for CPU cards.
struct OciEdits {
  std::vector<DeviceNode> devices = {};
  std::vector<EditMount> mounts = {};
  std::map<std::string, std::string> env = {};
  std::vector<std::uint32_t> cpu_set = {};  ///< Logical CPUs that belong to the granted CPU cards; empty: all.
  friend bool operator==(const OciEdits&, const OciEdits&) = default;
};

/// The edits for these cards of one task. Pure. kUnsupported for a chip with no injection rule.
Result<OciEdits> edits_for(const std::vector<model::Card>& granted);
Json to_json(const OciEdits& edits);
/// Reads what `to_json` wrote.
Result<OciEdits> oci_edits_from_json(const Json& json);

}  // namespace busbar::chip
