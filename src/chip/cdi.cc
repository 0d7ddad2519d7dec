#include "chip/cdi.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/text.h"
#include "base/yaml.h"

namespace busbar::chip {
namespace {

constexpr std::size_t kMaxItems = 4096;

Error wrong(std::string message) {
  return {.code = ErrorCode::kInvalidArgument, .message = std::move(message)};
}

/// JSON of a YAML tree; plain integers and booleans get their types.
Json json_of(const YamlNode& node) {
  switch (node.kind) {
    case YamlNode::Kind::kNull:
      return {};
    case YamlNode::Kind::kScalar: {
      const auto number = node.is_quoted ? std::nullopt : parse_int(node.scalar);
      return number ? Json(*number) : Json(node.scalar);
    }
    case YamlNode::Kind::kSequence: {
      Json list = Json::array();
      for (const YamlNode& item : node.items) {
        list.push(json_of(item));
      }
      return list;
    }
    case YamlNode::Kind::kMap: {
      Json map = Json::object();
      for (const YamlNode::Entry& entry : node.entries) {
        map.set(entry.key, json_of(entry.value));
      }
      return map;
    }
  }
  return {};
}

Result<Json> parse_document(std::string_view text) {
  if (trim(text).starts_with('{')) {
    return parse_json(text);
  }
  const auto yaml = parse_yaml(text);
  if (!yaml) {
    return tl::unexpected(wrong(fmt::format("line {}: {}", yaml.error().position.line, yaml.error().message)));
  }
  return json_of(*yaml);
}

bool is_known_version(std::string_view version) {
  const auto parts = split(version, '.');
  const auto minor = parts.size() == 3 ? parse_int(parts[1]) : std::nullopt;
  return minor && ((parts[0] == "0" && *minor >= 3 && *minor <= 8) || (parts[0] == "1" && *minor == 0));
}

bool is_word(std::string_view text, std::string_view more) {
  return !text.empty() && text.size() <= 255 && std::all_of(text.begin(), text.end(), [more](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           more.find(c) != std::string_view::npos;
  });
}

/// "vendor.com/class"
bool is_kind(std::string_view kind) {
  const auto parts = split(kind, '/');
  return parts.size() == 2 && is_word(parts[0], "._-") && is_word(parts[1], "._-");
}

bool is_safe_path(std::string_view path) {
  return path.starts_with('/') && path.size() > 1 && path.size() <= 4096 && path.find('\0') == std::string_view::npos &&
         path.find("/../") == std::string_view::npos && !path.ends_with("/..");
}

Result<std::string> path_of(const Json& json, std::string_view what) {
  const std::string& path = json.as_string();
  if (!is_safe_path(path)) {
    return tl::unexpected(wrong(fmt::format("{} \"{}\" is not an absolute path without \"..\"", what, path)));
  }
  return path;
}

Result<std::vector<std::string>> texts_of(const Json& json, std::string_view what) {
  std::vector<std::string> texts;
  for (const Json& item : json.items()) {
    if (!item.is_string() || item.as_string().find('\0') != std::string::npos || texts.size() >= kMaxItems) {
      return tl::unexpected(wrong(fmt::format("{} holds {}, which is no text", what, item.dump())));
    }
    texts.push_back(item.as_string());
  }
  return texts;
}

Result<DeviceNode> read_node(const Json& json) {
  DeviceNode node;
  TRY_ASSIGN(node.path, path_of(json["path"], "device node"));
  if (json.find("hostPath") != nullptr && !json["hostPath"].as_string().empty()) {
    TRY_ASSIGN(node.host_path, path_of(json["hostPath"], "host path"));
    node.host_path = node.host_path == node.path ? std::string() : node.host_path;
  }
  const std::string& type = json["type"].as_string();
  if (!type.empty() && type != "c" && type != "b" && type != "u" && type != "char") {
    return tl::unexpected(wrong(fmt::format("device node {} has type \"{}\"", node.path, type)));
  }
  // Making new nodes is never a card's use, so "m" is left out.
  const std::string& permissions = json["permissions"].as_string();
  if (!permissions.empty()) {
    node.permissions.clear();
    for (const char c : {'r', 'w'}) {
      if (permissions.find(c) != std::string::npos) {
        node.permissions.push_back(c);
      }
    }
    if (node.permissions.empty()) {
      node.permissions = "rw";
    }
  }
  return node;
}

Result<EditMount> read_mount(const Json& json) {
  EditMount mount;
  TRY_ASSIGN(mount.host_path, path_of(json["hostPath"], "mount's host path"));
  TRY_ASSIGN(mount.container_path, path_of(json["containerPath"], "mount's container path"));
  if (json["options"].is_array()) {
    TRY_ASSIGN(mount.options, texts_of(json["options"], "mount options"));
  }
  return mount;
}

Result<EditHook> read_hook(const Json& json) {
  constexpr std::array<std::string_view, 6> kNames = {"prestart",       "createRuntime", "createContainer",
                                                      "startContainer", "poststart",     "poststop"};
  EditHook hook{.name = json["hookName"].as_string()};
  if (std::find(kNames.begin(), kNames.end(), hook.name) == kNames.end()) {
    return tl::unexpected(wrong(fmt::format("hook \"{}\" is none of {}", hook.name, fmt::join(kNames, ", "))));
  }
  TRY_ASSIGN(hook.path, path_of(json["path"], "hook"));
  TRY_ASSIGN(hook.args, texts_of(json["args"], "hook arguments"));
  TRY_ASSIGN(hook.env, texts_of(json["env"], "hook environment"));
  hook.timeout_s = std::max<std::int64_t>(0, json["timeout"].as_int());
  return hook;
}

Result<void> read_env(const Json& json, OciEdits& edits) {
  TRY_ASSIGN(const std::vector<std::string> pairs, texts_of(json, "env"));
  for (const std::string& pair : pairs) {
    const std::size_t equals = pair.find('=');
    if (equals == std::string::npos || !is_word(pair.substr(0, equals), "_")) {
      return tl::unexpected(wrong(fmt::format("env \"{}\" is not NAME=VALUE", pair)));
    }
    edits.env.insert_or_assign(pair.substr(0, equals), pair.substr(equals + 1));
  }
  return {};
}

Result<OciEdits> read_edits(const Json& json) {
  OciEdits edits;
  if (!json.is_null() && !json.is_object()) {
    return tl::unexpected(wrong("containerEdits is not an object"));
  }
  const std::size_t items =
      json["deviceNodes"].items().size() + json["mounts"].items().size() + json["hooks"].items().size();
  if (items > kMaxItems) {
    return tl::unexpected(wrong(fmt::format("containerEdits holds {} items; at most {}", items, kMaxItems)));
  }
  TRY(read_env(json["env"], edits));
  for (const Json& item : json["deviceNodes"].items()) {
    TRY_ASSIGN(DeviceNode node, read_node(item));
    edits.devices.push_back(std::move(node));
  }
  for (const Json& item : json["mounts"].items()) {
    TRY_ASSIGN(EditMount mount, read_mount(item));
    edits.mounts.push_back(std::move(mount));
  }
  for (const Json& item : json["hooks"].items()) {
    TRY_ASSIGN(EditHook hook, read_hook(item));
    edits.hooks.push_back(std::move(hook));
  }
  return edits;
}

Result<CdiSpec> read_spec(std::string_view file, const Json& json) {
  CdiSpec spec{.file = std::string(file), .kind = json["kind"].as_string()};
  if (!is_known_version(json["cdiVersion"].as_string())) {
    return tl::unexpected(
        wrong(fmt::format("cdiVersion {} is none of 0.3.0 to 0.8.0, 1.0.0", json["cdiVersion"].dump())));
  }
  if (!is_kind(spec.kind)) {
    return tl::unexpected(wrong(fmt::format("kind \"{}\" is not VENDOR/CLASS", spec.kind)));
  }
  TRY_ASSIGN(spec.common, read_edits(json["containerEdits"]));
  if (json["devices"].items().size() > kMaxItems) {
    return tl::unexpected(wrong(fmt::format("more than {} devices", kMaxItems)));
  }
  for (const Json& item : json["devices"].items()) {
    // A number as a name is what YAML makes of 0.
    CdiDevice device{.name = item["name"].is_int() ? std::to_string(item["name"].as_int()) : item["name"].as_string()};
    if (!is_word(device.name, "._-:")) {
      return tl::unexpected(
          wrong(fmt::format("device name \"{}\" is not made of letters, digits and . _ - :", device.name)));
    }
    auto edits = read_edits(item["containerEdits"]);
    if (!edits) {
      return with_context(fmt::format("device {}", device.name), edits.error());
    }
    device.edits = *std::move(edits);
    spec.devices.push_back(std::move(device));
  }
  return spec;
}

/// containerEdits as CDI has them: without what is ours alone.
Json container_edits(OciEdits edits) {
  edits.remarks.clear();
  const Json full = to_json(edits);
  Json json = Json::object();
  for (const char* key : {"env", "deviceNodes", "mounts", "hooks"}) {
    if (!full[key].items().empty()) {
      json.set(key, full[key]);
    }
  }
  return json;
}

}  // namespace

Result<CdiSpec> parse_cdi_spec(std::string_view file, std::string_view text) {
  const auto json = parse_document(text);
  if (!json) {
    return with_context(std::string(file), json.error());
  }
  if (!json->is_object()) {
    return tl::unexpected(wrong(fmt::format("{}: a CDI spec is an object", file)));
  }
  auto spec = read_spec(file, *json);
  if (!spec) {
    return with_context(std::string(file), spec.error());
  }
  return spec;
}

Json to_cdi_json(const CdiSpec& spec) {
  Json devices = Json::array();
  for (const CdiDevice& device : spec.devices) {
    devices.push(Json::object({{"name", device.name}, {"containerEdits", container_edits(device.edits)}}));
  }
  Json json = Json::object({{"cdiVersion", "0.5.0"}, {"kind", spec.kind}, {"devices", std::move(devices)}});
  if (const Json common = container_edits(spec.common); !common.members().empty()) {
    json.set("containerEdits", common);
  }
  return json;
}

Result<OciEdits> cdi_edits(const std::vector<CdiSpec>& specs, const std::vector<std::string>& devices) {
  OciEdits edits;
  std::vector<const CdiSpec*> used;
  for (const std::string& qualified : devices) {
    const std::size_t equals = qualified.find('=');
    const std::string kind = qualified.substr(0, equals);
    const std::string name = equals == std::string::npos ? std::string() : qualified.substr(equals + 1);
    const CdiDevice* found = nullptr;
    for (const CdiSpec& spec : specs) {
      const auto at = std::find_if(spec.devices.begin(), spec.devices.end(),
                                   [&](const CdiDevice& device) { return spec.kind == kind && device.name == name; });
      if (at == spec.devices.end()) {
        continue;
      }
      found = &*at;
      if (std::find(used.begin(), used.end(), &spec) == used.end()) {
        used.push_back(&spec);
        TRY(merge_edits(edits, spec.common));
      }
      break;
    }
    if (found == nullptr) {
      return make_error(ErrorCode::kNotFound, fmt::format("no CDI spec has device {}; make the spec anew", qualified));
    }
    TRY(merge_edits(edits, found->edits));
  }
  return edits;
}

}  // namespace busbar::chip
