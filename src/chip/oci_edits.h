#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/json.h"

namespace busbar::chip {

/// The largest CPU number that a mask of the kernel can name (CONFIG_NR_CPUS of x86's MAXSMP).
inline constexpr std::int64_t kMaxCpu = 8191;

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

/// A program that the container runtime starts at a moment of the container's life (OCI runtime spec, "POSIX-platform
/// hooks").
struct EditHook {
  std::string name = {};  ///< "createContainer", "prestart" ...
  std::string path = {};
  std::vector<std::string> args = {};
  std::vector<std::string> env = {};
  std::int64_t timeout_s = 0;  ///< 0: none.
  friend bool operator==(const EditHook&, const EditHook&) = default;
};

/// What must change in a container's configuration so that it sees its cards and no others: the containerEdits of CDI
/// 0.5.0, plus the CPU set for CPU cards.
struct OciEdits {
  std::vector<DeviceNode> devices = {};
  std::vector<EditMount> mounts = {};
  std::vector<EditHook> hooks = {};
  std::map<std::string, std::string> env = {};
  std::vector<std::uint32_t> cpu_set = {};  ///< Logical CPUs that belong to the granted CPU cards; empty: all.
  std::vector<std::string> remarks = {};    ///< For people: which rule was used, how parts of a card are kept apart.
  friend bool operator==(const OciEdits&, const OciEdits&) = default;
};

/// Adds `more` to `into`, the one way in which edits of every source come together: the same node, mount, hook or
/// remark is kept once; a variable that both set keeps the later value. kFailedPrecondition if two things want to stand
/// at the same place in the container.
Result<void> merge_edits(OciEdits& into, const OciEdits& more);
Json to_json(const OciEdits& edits);
/// Reads what `to_json` wrote.
Result<OciEdits> oci_edits_from_json(const Json& json);

}  // namespace busbar::chip
