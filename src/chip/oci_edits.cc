#include "chip/oci_edits.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "base/text.h"

namespace busbar::chip {
namespace {

Json strings(const std::vector<std::string>& values) {
  Json::Array items(values.begin(), values.end());
  return Json::array(std::move(items));
}

std::vector<std::string> strings_of(const Json& json) {
  std::vector<std::string> values;
  for (const Json& item : json.items()) {
    values.push_back(item.as_string());
  }
  return values;
}

template <class T>
void add_once(std::vector<T>& list, const std::vector<T>& more) {
  for (const T& item : more) {
    if (std::find(list.begin(), list.end(), item) == list.end()) {
      list.push_back(item);
    }
  }
}

const std::string& host_path_of(const DeviceNode& node) {
  return node.host_path.empty() ? node.path : node.host_path;
}

Json hooks_to_json(const std::vector<EditHook>& hooks) {
  Json json = Json::array();
  for (const EditHook& hook : hooks) {
    Json item = Json::object({{"hookName", hook.name}, {"path", hook.path}, {"args", strings(hook.args)}});
    if (!hook.env.empty()) {
      item.set("env", strings(hook.env));
    }
    if (hook.timeout_s > 0) {
      item.set("timeout", hook.timeout_s);
    }
    json.push(std::move(item));
  }
  return json;
}

}  // namespace

Result<void> merge_edits(OciEdits& into, const OciEdits& more) {
  for (const DeviceNode& node : more.devices) {
    const auto same_place = std::find_if(into.devices.begin(), into.devices.end(),
                                         [&](const DeviceNode& other) { return other.path == node.path; });
    if (same_place == into.devices.end()) {
      into.devices.push_back(node);
    } else if (host_path_of(*same_place) != host_path_of(node)) {
      return make_error(ErrorCode::kFailedPrecondition, "both " + host_path_of(*same_place) + " and " +
                                                            host_path_of(node) + " want to be " + node.path +
                                                            " in the container");
    }
  }
  for (const EditMount& mount : more.mounts) {
    const auto same_place = std::find_if(into.mounts.begin(), into.mounts.end(), [&](const EditMount& other) {
      return other.container_path == mount.container_path;
    });
    if (same_place == into.mounts.end()) {
      into.mounts.push_back(mount);
    } else if (same_place->host_path != mount.host_path) {
      return make_error(ErrorCode::kFailedPrecondition, "both " + same_place->host_path + " and " + mount.host_path +
                                                            " want to be mounted at " + mount.container_path);
    }
  }
  add_once(into.hooks, more.hooks);
  for (const auto& [name, value] : more.env) {
    into.env.insert_or_assign(name, value);
  }
  add_once(into.cpu_set, more.cpu_set);
  // Several CPU cards may stand for one core when the operator configured more cards than cores.
  std::sort(into.cpu_set.begin(), into.cpu_set.end());
  add_once(into.remarks, more.remarks);
  return {};
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
  Json json = Json::object({{"deviceNodes", std::move(devices)},
                            {"mounts", std::move(mounts)},
                            {"env", std::move(env)},
                            {"cpuSet", std::move(cpu_set)}});
  if (!edits.hooks.empty()) {
    json.set("hooks", hooks_to_json(edits.hooks));
  }
  if (!edits.remarks.empty()) {
    json.set("remarks", strings(edits.remarks));
  }
  return json;
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
    mount.options = strings_of(item["options"]);
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
  for (const Json& item : json["hooks"].items()) {
    edits.hooks.push_back({.name = item["hookName"].as_string(),
                           .path = item["path"].as_string(),
                           .args = strings_of(item["args"]),
                           .env = strings_of(item["env"]),
                           .timeout_s = item["timeout"].as_int()});
  }
  edits.remarks = strings_of(json["remarks"]);
  for (const Json& item : json["cpuSet"].items()) {
    if (item.as_int(-1) < 0 || item.as_int(-1) > kMaxCpu) {
      return make_error(ErrorCode::kInvalidArgument, "OCI edits: cpuSet holds " + item.dump());
    }
    edits.cpu_set.push_back(static_cast<std::uint32_t>(item.as_int()));
  }
  return edits;
}

}  // namespace busbar::chip
