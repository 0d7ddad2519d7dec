#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"
#include "launch/internal/document.h"

namespace busbar::launch::internal {
namespace {

void clear_positions(YamlNode& node) {
  node.position = {};
  for (YamlNode& item : node.items) {
    clear_positions(item);
  }
  for (YamlNode::Entry& entry : node.entries) {
    entry.key_position = {};
    clear_positions(entry.value);
  }
}

YamlNode text_node(std::string_view text) {
  YamlNode node;
  node.kind = YamlNode::Kind::kScalar;
  node.scalar = std::string(text);
  node.is_quoted = true;
  return node;
}

/// Shell text and variables may begin with a bracket, and a variable may be empty.
bool is_always_text(std::string_view path) {
  return path == "run" || path == "setup" || path.starts_with("env.");
}

/// Flow collections are YAML; everything else is the text as it stands, so that `name=a: b` needs no quotes.
tl::expected<YamlNode, std::string> parse_value(std::string_view text) {
  const std::string_view trimmed = trim(text);
  if (trimmed.starts_with('[') || trimmed.starts_with('{')) {
    auto parsed = parse_yaml(trimmed);
    if (!parsed) {
      return tl::unexpected<std::string>(parsed.error().message);
    }
    clear_positions(*parsed);
    return *std::move(parsed);
  }
  YamlNode node;
  if (!text.empty()) {
    node.kind = YamlNode::Kind::kScalar;
    node.scalar = std::string(text);
  }
  return node;
}

/// The entry of `key` or of another name of the same field; made if absent.
YamlNode& entry_of(YamlNode& map, const Section* section, std::string_view key) {
  const Field* field = section == nullptr ? nullptr : section->find(key);
  for (YamlNode::Entry& entry : map.entries) {
    if (entry.key == key || (field != nullptr && section->find(entry.key) == field)) {
      entry.key = std::string(key);
      entry.key_position = {};
      return entry.value;
    }
  }
  map.entries.push_back({.key = std::string(key), .key_position = {}, .value = {}});
  return map.entries.back().value;
}

/// `env.NAME=x` where the file has a list of NAME=VALUE.
void set_list_variable(YamlNode& list, std::string_view name, YamlNode value) {
  const std::string prefix = std::string(name) + "=";
  std::erase_if(list.items, [&](const YamlNode& item) { return item.scalar.starts_with(prefix); });
  value.scalar = prefix + value.scalar;
  value.kind = YamlNode::Kind::kScalar;
  list.items.push_back(std::move(value));
}

}  // namespace

std::string apply_override(YamlNode& document, std::string_view assignment) {
  const auto equals = assignment.find('=');
  const std::string_view path = trim(assignment.substr(0, equals));
  if (equals == std::string_view::npos || path.empty()) {
    return "an override is FIELD=VALUE, as in resources.cpus=4";
  }
  const std::string_view given = assignment.substr(equals + 1);
  auto value = is_always_text(path) ? text_node(given) : parse_value(given);
  if (!value) {
    return fmt::format("value of {}: {}", path, value.error());
  }
  if (document.kind == YamlNode::Kind::kNull) {
    document.kind = YamlNode::Kind::kMap;
  }
  YamlNode* node = &document;
  const Section* section = &job_section();
  // Only the first key of a path belongs to a section with dots in its names' depth; a variable may hold dots itself.
  const auto keys =
      path.starts_with("env.") ? std::vector<std::string_view>{path.substr(0, 3), path.substr(4)} : split(path, '.');
  for (std::size_t depth = 0; depth < keys.size(); ++depth) {
    if (node->kind == YamlNode::Kind::kSequence && depth == 1 && keys[0] == "env") {
      set_list_variable(*node, keys[1], *std::move(value));
      return {};
    }
    if (depth > 0 && node->kind != YamlNode::Kind::kMap) {
      *node = YamlNode{};  // A shorthand like `restart: 3` gives way to the map that the path means.
      node->kind = YamlNode::Kind::kMap;
    }
    const Field* field = section == nullptr ? nullptr : section->find(keys[depth]);
    node = &entry_of(*node, section, keys[depth]);
    section = field == nullptr ? nullptr : field->section;
  }
  *node = *std::move(value);
  return {};
}

}  // namespace busbar::launch::internal
