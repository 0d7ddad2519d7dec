#include "chip/oci_edits.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "base/text.h"

namespace busbar::chip {
namespace {

/// The largest CPU number that a mask of the kernel can name (CONFIG_NR_CPUS of x86's MAXSMP).
constexpr std::int64_t kMaxCpu = 8191;

Result<std::uint32_t> cpu_of(const model::Card& card) {
  constexpr std::string_view kPrefix = "cpu:";
  const std::string_view device = card.device;
  const auto number = device.starts_with(kPrefix) ? parse_int(device.substr(kPrefix.size())) : std::nullopt;
  if (!number || *number < 0 || *number > kMaxCpu) {
    return make_error(ErrorCode::kInvalidArgument, "CPU card " + std::to_string(card.index) + " has device \"" +
                                                       card.device + "\"; expected \"cpu:N\"");
  }
  return static_cast<std::uint32_t>(*number);
}

Json strings(const std::vector<std::string>& values) {
  Json::Array items(values.begin(), values.end());
  return Json::array(std::move(items));
}

}  // namespace

Result<OciEdits> edits_for(const std::vector<model::Card>& granted) {
  OciEdits edits;
  for (const model::Card& card : granted) {
    if (card.chip != "cpu") {
      return make_error(ErrorCode::kUnsupported,
                        "no rule to show a \"" + card.chip + "\" card to a container; known chips: cpu");
    }
    TRY_ASSIGN(const std::uint32_t cpu, cpu_of(card));
    edits.cpu_set.push_back(cpu);
  }
  // Several CPU cards may stand for one core when the operator configured more cards than cores.
  std::sort(edits.cpu_set.begin(), edits.cpu_set.end());
  edits.cpu_set.erase(std::unique(edits.cpu_set.begin(), edits.cpu_set.end()), edits.cpu_set.end());
  return edits;
}

Json to_json(const OciEdits& edits) {
  Json devices = Json::array();
  for (const DeviceNode& device : edits.devices) {
    Json item = Json::object({{"path", device.path}});
    if (!device.host_path.empty()) {
      item.set("hostPath", device.host_path);
    }
    item.set("permissions", device.permissions);
    devices.push(std::move(item));
  }
  Json mounts = Json::array();
  for (const EditMount& mount : edits.mounts) {
    mounts.push(Json::object(
        {{"hostPath", mount.host_path}, {"containerPath", mount.container_path}, {"options", strings(mount.options)}}));
  }
  Json env = Json::array();
  for (const auto& [name, value] : edits.env) {
    env.push(name + "=" + value);
  }
  Json cpu_set = Json::array();
  for (const std::uint32_t cpu : edits.cpu_set) {
    cpu_set.push(cpu);
  }
  return Json::object({{"deviceNodes", std::move(devices)},
                       {"mounts", std::move(mounts)},
                       {"env", std::move(env)},
                       {"cpuSet", std::move(cpu_set)}});
}

Result<OciEdits> oci_edits_from_json(const Json& json) {
  if (!json.is_object()) {
    return make_error(ErrorCode::kInvalidArgument, "OCI edits are not a JSON object");
  }
  OciEdits edits;
  for (const Json& item : json["deviceNodes"].items()) {
    edits.devices.push_back({.path = item["path"].as_string(),
                             .host_path = item["hostPath"].as_string(),
                             .permissions = item["permissions"].as_string()});
  }
  for (const Json& item : json["mounts"].items()) {
    EditMount mount{.host_path = item["hostPath"].as_string(), .container_path = item["containerPath"].as_string()};
    mount.options.clear();
    for (const Json& option : item["options"].items()) {
      mount.options.push_back(option.as_string());
    }
    edits.mounts.push_back(std::move(mount));
  }
  for (const Json& item : json["env"].items()) {
    const std::string& pair = item.as_string();
    const std::size_t equals = pair.find('=');
    if (equals == std::string::npos || equals == 0) {
      return make_error(ErrorCode::kInvalidArgument, "OCI edits: \"" + pair + "\" is not NAME=VALUE");
    }
    edits.env[pair.substr(0, equals)] = pair.substr(equals + 1);
  }
  for (const Json& item : json["cpuSet"].items()) {
    if (item.as_int(-1) < 0 || item.as_int(-1) > kMaxCpu) {
      return make_error(ErrorCode::kInvalidArgument, "OCI edits: cpuSet holds " + item.dump());
    }
    edits.cpu_set.push_back(static_cast<std::uint32_t>(item.as_int()));
  }
  return edits;
}

}  // namespace busbar::chip
