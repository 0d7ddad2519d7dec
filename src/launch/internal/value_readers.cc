#include "launch/internal/value_readers.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "base/text.h"
#include "launch/internal/field_kinds.h"
#include "model/cluster.h"
#include "model/spec_text.h"

namespace busbar::launch::internal {
namespace {

/// A label's key or value: what may stand in "label:KEY=VALUE".
bool is_label_text(std::string_view text) {
  return !text.empty() && text.size() <= 63 && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
           c == '.' || c == '/';
  });
}

/// "H100:8", 8, or a map of one entry {H100: 8}, as SkyPilot and Kubernetes write it.
std::optional<model::AcceleratorRequest> read_one_request(Reader& reader, const YamlNode& node) {
  if (node.kind == YamlNode::Kind::kMap && node.entries.size() == 1 &&
      node.entries[0].value.kind == YamlNode::Kind::kScalar) {
    const auto& [chip, position, count] = node.entries[0];
    return reader.value_or_report(node, model::parse_accelerators(chip + ":" + count.scalar));
  }
  if (node.kind == YamlNode::Kind::kMap && node.entries.size() > 1) {
    reader.error(node, "several kinds of cards", "write one kind, or any_of: [H100:8, A100:8] to choose from several");
    return std::nullopt;
  }
  const auto text = reader.scalar(node, "cards like H100:8, H100:0.5, 8 or cpu:2");
  return text ? reader.value_or_report(node, model::parse_accelerators(*text)) : std::nullopt;
}

void set_env(Reader& reader, const YamlNode& where, std::string_view name, std::string value) {
  if (!is_env_name(name)) {
    reader.error(where, fmt::format("\"{}\" is not the name of a variable", name),
                 "use letters, digits and _, and do not begin with a digit");
    return;
  }
  if (name.starts_with("BUSBAR_")) {
    reader.error(where, fmt::format("{} is set by busbar itself", name),
                 "choose a name that does not begin with BUSBAR_");
    return;
  }
  if (!reader.spec().env.emplace(name, std::move(value)).second) {
    reader.error(where, fmt::format("{} is given twice", name), "keep one of them");
  }
}

void add_secret(Reader& reader, const YamlNode& node, model::SecretRef secret) {
  const auto is_good = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-' ||
           c == '.';
  };
  const bool is_name = !secret.name.empty() && secret.name.size() <= 63 && secret.name.front() != '.' &&
                       secret.name.front() != '-' && std::all_of(secret.name.begin(), secret.name.end(), is_good);
  if (!is_name) {
    reader.error(node, fmt::format("\"{}\" is not the name of a secret", secret.name),
                 "use 1 to 63 letters, digits and - _ .");
    return;
  }
  if (!secret.env.empty() && !is_env_name(secret.env)) {
    reader.error(node, fmt::format("\"{}\" is not the name of a variable", secret.env), "write ENV_NAME: secret-name");
    return;
  }
  reader.spec().secrets.push_back(std::move(secret));
}

bool is_port_name(std::string_view text) {
  return is_env_name(text) || (!text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
         }));
}

/// Name and number as far as they are given; an empty name becomes the number's digits.
void add_port(Reader& reader, const YamlNode& node, std::string name, std::string_view number) {
  std::uint16_t port = 0;
  if (!number.empty()) {
    const auto value = parse_int(trim(number));
    if (!value || *value < 1 || *value > 65'535) {
      reader.error(node, fmt::format("\"{}\" is not a port; use 1 to 65535", number),
                   "write 8080, http, http:8080 or {name: http, port: 8080}");
      return;
    }
    port = static_cast<std::uint16_t>(*value);
  }
  name = name.empty() ? std::to_string(port) : name;
  if (!is_port_name(name)) {
    reader.error(node, fmt::format("\"{}\" is not the name of a port", name), "use letters, digits and - _");
    return;
  }
  const auto& ports = reader.spec().ports;
  if (std::any_of(ports.begin(), ports.end(), [&](const model::PortRequest& other) { return other.name == name; })) {
    reader.error(node, fmt::format("port \"{}\" is given twice", name), "give each port a name of its own");
    return;
  }
  reader.spec().ports.push_back({.name = std::move(name), .container_port = port});
}

void read_port_item(Reader& reader, const YamlNode& node) {
  if (node.kind == YamlNode::Kind::kMap) {
    reader.spec().ports.emplace_back();
    reader.read_section(port_section(), node);
    const model::PortRequest port = reader.spec().ports.back();
    reader.spec().ports.pop_back();
    add_port(reader, node, port.name, port.container_port == 0 ? "" : std::to_string(port.container_port));
    return;
  }
  const auto text = reader.scalar(node, "a port like 8080, http or http:8080");
  if (!text) {
    return;
  }
  const auto colon = text->find(':');
  if (colon != std::string::npos) {
    const std::string name = text->substr(0, colon);
    if (parse_int(name)) {
      reader.error(node, fmt::format("\"{}\": ports are not mapped", *text),
                   "training tasks use the host's network; write the one port, as in http:8080");
      return;
    }
    add_port(reader, node, name, std::string_view(*text).substr(colon + 1));
  } else if (parse_int(*text)) {
    add_port(reader, node, "", *text);
  } else {
    add_port(reader, node, *text, "");
  }
}

Json text_schema() {
  return schema_of_types({"string"});
}

}  // namespace

void read_accelerators(Reader& reader, const YamlNode& node) {
  // Kubernetes' names of resources say whose cards are meant.
  const std::string& resource = reader.key();
  if (resource.find('/') != std::string::npos) {
    const auto text = reader.scalar(node, "a number of cards");
    if (!text) {
      return;
    }
    reader.spec().resources.accelerators =
        reader.value_or_report(node, model::parse_accelerators(resource + ":" + *text));
    return;
  }
  reader.spec().resources.accelerators = read_one_request(reader, node);
}

void read_any_of(Reader& reader, const YamlNode& node) {
  reader.read_items(node, [](Reader& items, const YamlNode& item) {
    if (auto request = read_one_request(items, item)) {
      items.spec().any_of.push_back(*std::move(request));
    }
  });
}

Json accelerators_schema() {
  return schema_any_of({schema_of_types({"string", "number"}),
                        Json::object({{"type", "object"}, {"minProperties", 1}, {"maxProperties", 1}})});
}

void read_env(Reader& reader, const YamlNode& node) {
  if (node.kind == YamlNode::Kind::kMap) {
    for (const YamlNode::Entry& entry : node.entries) {
      if (entry.value.kind == YamlNode::Kind::kScalar) {
        set_env(reader, entry.value, entry.key, entry.value.scalar);
      } else if (entry.value.kind == YamlNode::Kind::kNull) {
        reader.error(entry.key_position, fmt::format("{} has no value", entry.key), "write \"\" for an empty one");
      } else {
        reader.error(entry.value, fmt::format("{} is {}; a variable is a text", entry.key, kind_name(entry.value)));
      }
    }
    return;
  }
  reader.read_items(node, [](Reader& items, const YamlNode& item) {
    const auto text = items.scalar(item, "NAME=VALUE");
    if (!text) {
      return;
    }
    const auto equals = text->find('=');
    if (equals == std::string::npos) {
      items.error(item, fmt::format("\"{}\" is not NAME=VALUE", *text),
                  "variables of your own shell are not handed on; write the value, or use secrets");
      return;
    }
    set_env(items, item, std::string_view(*text).substr(0, equals), text->substr(equals + 1));
  });
}

Json env_schema() {
  Json map =
      Json::object({{"type", "object"}, {"additionalProperties", schema_of_types({"string", "number", "boolean"})}});
  return schema_any_of({std::move(map), Json::object({{"type", "array"}, {"items", text_schema()}})});
}

void read_secrets(Reader& reader, const YamlNode& node) {
  if (node.kind == YamlNode::Kind::kMap) {
    for (const YamlNode::Entry& entry : node.entries) {
      if (entry.value.kind == YamlNode::Kind::kScalar) {
        add_secret(reader, entry.value, {.name = entry.value.scalar, .env = entry.key});
      } else {
        reader.error(entry.key_position, "expected the name of a secret", "write ENV_NAME: secret-name");
      }
    }
    return;
  }
  reader.read_items(node, [](Reader& items, const YamlNode& item) {
    if (item.kind == YamlNode::Kind::kMap) {
      items.spec().secrets.emplace_back();
      items.read_section(secret_section(), item);
      model::SecretRef secret = items.spec().secrets.back();
      items.spec().secrets.pop_back();
      add_secret(items, item, std::move(secret));
    } else if (const auto text = items.scalar(item, "the name of a secret")) {
      add_secret(items, item, {.name = *text});
    }
  });
}

Json secrets_schema() {
  Json item = schema_any_of({text_schema(), section_schema(secret_section())});
  return schema_any_of({Json::object({{"type", "array"}, {"items", std::move(item)}}),
                        Json::object({{"type", "object"}, {"additionalProperties", text_schema()}}), text_schema()});
}

void read_volume(Reader& reader, const YamlNode& node) {
  auto& volumes = reader.spec().volumes;
  volumes.emplace_back();
  if (node.kind == YamlNode::Kind::kMap) {
    reader.read_section(volume_section(), node);
    if (volumes.back().source.empty() || volumes.back().target.empty()) {
      reader.error(node, "a volume needs source and target", "write {source: /data, target: /data}");
    }
    return;
  }
  const auto text = reader.scalar(node, "a volume like /data:/data:ro");
  if (!text) {
    return;
  }
  const auto parts = split(*text, ':');
  const bool has_mode = parts.size() == 3;
  if (parts.size() < 2 || parts.size() > 3 || parts[0].empty() || parts[1].empty() ||
      (has_mode && parts[2] != "ro" && parts[2] != "rw")) {
    reader.error(node, fmt::format("\"{}\" is not a volume", *text),
                 "write SOURCE:TARGET, SOURCE:TARGET:ro or {source: ..., target: ..., read_only: true}");
    return;
  }
  volumes.back() = {
      .source = std::string(parts[0]), .target = std::string(parts[1]), .is_read_only = has_mode && parts[2] == "ro"};
}

Json volume_schema() {
  return schema_any_of({text_schema(), section_schema(volume_section())});
}

void read_ports(Reader& reader, const YamlNode& node) {
  const bool is_name_map = node.kind == YamlNode::Kind::kMap && node.find("name") == nullptr &&
                           node.find("port") == nullptr && node.find("container_port") == nullptr;
  if (!is_name_map) {
    reader.read_items(node, read_port_item);
    return;
  }
  for (const YamlNode::Entry& entry : node.entries) {
    if (entry.value.kind == YamlNode::Kind::kNull) {
      add_port(reader, entry.value, entry.key, "");
    } else if (const auto text = reader.scalar(entry.value, "a port")) {
      add_port(reader, entry.value, entry.key, *text);
    }
  }
}

Json ports_schema() {
  Json item = schema_any_of({schema_of_types({"integer", "string"}), section_schema(port_section())});
  Json map =
      Json::object({{"type", "object"}, {"additionalProperties", schema_of_types({"integer", "string", "null"})}});
  return schema_any_of({Json::object({{"type", "array"}, {"items", std::move(item)}}), std::move(map),
                        schema_of_types({"integer", "string"})});
}

void read_script(Reader& reader, const YamlNode& node, std::string& into) {
  if (node.kind != YamlNode::Kind::kSequence) {
    if (auto text = reader.scalar(node, "shell text")) {
      into = *std::move(text);
    }
    return;
  }
  if (reader.key() == "command" || reader.key() == "cmd" || reader.key() == "entrypoint") {
    reader.error(node, "a list could mean words or lines", "write shell text: run: python3 train.py --epochs 3");
    return;
  }
  std::string lines;
  reader.read_items(node, [&lines](Reader& items, const YamlNode& item) {
    if (const auto line = items.scalar(item, "a line of shell text")) {
      lines += *line + "\n";
    }
  });
  into = std::move(lines);
}

Json script_schema() {
  return schema_any_of({schema_of_types({"string", "number", "boolean"}),
                        Json::object({{"type", "array"}, {"items", schema_of_types({"string", "number"})}})});
}

void read_nodes(Reader& reader, const YamlNode& node) {
  std::string text;
  if (node.kind == YamlNode::Kind::kSequence) {
    reader.read_items(node, [&text](Reader& items, const YamlNode& item) {
      if (const auto size = items.scalar(item, "a number of nodes")) {
        text += (text.empty() ? "" : ",") + *size;
      }
    });
  } else if (const auto scalar = reader.scalar(node, "a number of nodes like 4, 2..8 or 2,4,8")) {
    text = *scalar;
  } else {
    return;
  }
  const auto dash = text.find('-');
  if (dash != std::string::npos && dash > 0) {
    reader.error(node, fmt::format("\"{}\" is not a number of nodes", text), "write a range as 2..8");
    return;
  }
  if (auto nodes = reader.value_or_report(node, model::parse_gang_sizes(text))) {
    reader.spec().min_nodes = nodes->min_nodes;
    reader.spec().max_nodes = nodes->max_nodes;
    reader.spec().sizes = std::move(nodes->sizes);
  }
}

void read_labels(Reader& reader, const YamlNode& node) {
  if (node.kind != YamlNode::Kind::kMap) {
    reader.error(node, fmt::format("labels are {}", kind_name(node)), "write labels: {tier: noisy}");
    return;
  }
  for (const YamlNode::Entry& entry : node.entries) {
    const bool is_text = entry.value.kind == YamlNode::Kind::kScalar;
    if (!is_label_text(entry.key) || !is_text || !is_label_text(entry.value.scalar)) {
      reader.error(entry.key_position, fmt::format("label \"{}\" is not a key and a value", entry.key),
                   "both are 1 to 63 letters, digits and - _ . /");
      continue;
    }
    reader.spec().labels[entry.key] = entry.value.scalar;
  }
}

void read_avoid(Reader& reader, const YamlNode& node) {
  reader.read_items(node, [](Reader& items, const YamlNode& item) {
    const auto text = items.scalar(item, "jobs like label:tier=noisy, name:train or array");
    if (!text) {
      return;
    }
    const std::string_view whole = *text;
    const auto equals = whole.find('=');
    const bool is_label = whole.starts_with("label:") && equals != std::string_view::npos &&
                          is_label_text(whole.substr(6, equals - 6)) && is_label_text(whole.substr(equals + 1));
    const bool is_name = whole.starts_with("name:") && check_name(whole.substr(5)).empty();
    if (!is_label && !is_name && whole != "array") {
      items.error(item, fmt::format("\"{}\" names no jobs to keep away from", *text),
                  "write label:KEY=VALUE, name:NAME or array (the other members of the array)");
      return;
    }
    auto& avoid = items.spec().avoid;
    if (std::find(avoid.begin(), avoid.end(), *text) == avoid.end()) {
      avoid.push_back(*text);
    }
  });
}

void read_array(Reader& reader, const YamlNode& node) {
  std::string text;
  if (node.kind == YamlNode::Kind::kSequence) {
    reader.read_items(node, [&text](Reader& items, const YamlNode& item) {
      if (const auto index = items.scalar(item, "an index")) {
        // A lone number in a list is an index, not a count.
        text += (text.empty() ? "" : ",") + *index + (parse_int(*index) ? "-" + *index : "");
      }
    });
  } else if (const auto scalar = reader.scalar(node, "indices like 0-7, 1,3,5-9:2 or 0-99%4")) {
    text = *scalar;
  } else {
    return;
  }
  if (auto range = reader.value_or_report(node, model::parse_array(text))) {
    reader.spec().array = std::move(range->indices);
    reader.spec().array_parallel = range->parallel;
  }
}

void read_after(Reader& reader, const YamlNode& node) {
  reader.read_items(node, [](Reader& items, const YamlNode& item) {
    const auto text = items.scalar(item, "a job like 17, ok:17 or any:17");
    if (!text) {
      return;
    }
    std::string_view job = trim(*text);
    const auto colon = job.find(':');
    if (colon != std::string_view::npos && job.substr(0, colon) != "ok" && job.substr(0, colon) != "any") {
      items.error(item, fmt::format("\"{}\" is not a job to wait for", *text),
                  "write JOB or ok:JOB (it must succeed), any:JOB (it must have ended)");
      return;
    }
    job = colon == std::string_view::npos ? job : job.substr(colon + 1);
    if (!model::is_valid_name(job)) {
      items.error(item, fmt::format("\"{}\" is neither the id nor the name of a job", job));
      return;
    }
    items.spec().after.emplace_back(trim(*text));
  });
}

void read_time_limit(Reader& reader, const YamlNode& node) {
  const auto text = reader.scalar(node, "a duration like 90s, 15m, 4h or 0-04:00:00");
  if (!text) {
    return;
  }
  if (reader.key() == "time" && parse_int(trim(*text))) {
    reader.error(node, fmt::format("\"{}\" would be minutes in Slurm and seconds here", *text),
                 fmt::format("write time_limit: {}m or time_limit: {}s", *text, *text));
    return;
  }
  const auto limit = reader.value_or_report(node, parse_duration_ms(*text));
  if (!limit) {
    return;
  }
  constexpr std::int64_t kLongestMs = 366LL * 86'400'000;
  if (*limit < 1 || *limit > kLongestMs) {
    reader.error(node, fmt::format("\"{}\" is out of range; use 1ms to 366d", *text), "for no limit leave it out");
    return;
  }
  reader.spec().time_limit_ms = *limit;
}

void read_image(Reader& reader, const YamlNode& node) {
  auto text = reader.scalar(node, "host or oci:PATH");
  if (!text) {
    return;
  }
  if (*text != "host" && (!text->starts_with("oci:") || text->size() == 4)) {
    reader.error(node, fmt::format("\"{}\" is not an image of this version; use host or oci:PATH[:TAG]", *text),
                 "make an OCI layout of a registry's image with: skopeo copy docker://NAME oci:PATH:TAG");
    return;
  }
  reader.spec().image = *std::move(text);
}

}  // namespace busbar::launch::internal
