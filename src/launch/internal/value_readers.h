#pragma once

#include <string>
#include <vector>

#include "base/json.h"
#include "launch/internal/reader.h"

/// Readers of the values that come in several forms, and what the schema says of them.
namespace busbar::launch::internal {

void read_accelerators(Reader& reader, const YamlNode& node);
void read_any_of(Reader& reader, const YamlNode& node);
Json accelerators_schema();

/// A map, or a list of "NAME=VALUE".
void read_env(Reader& reader, const YamlNode& node);
Json env_schema();

/// Names, {name, env} maps, or a map ENV: name.
void read_secrets(Reader& reader, const YamlNode& node);
Json secrets_schema();

/// "src:dst[:ro]" or {source, target, read_only}.
void read_volume(Reader& reader, const YamlNode& node);
Json volume_schema();

/// 8080, name, name:8080, {name, port}; or all of them as a map name: 8080.
void read_ports(Reader& reader, const YamlNode& node);
Json ports_schema();

/// Text, or a list of lines.
void read_script(Reader& reader, const YamlNode& node, std::string& into);
Json script_schema();

/// 4, 2..8, "2,4,8" or [2, 4, 8].
void read_nodes(Reader& reader, const YamlNode& node);
/// A map of short texts.
void read_labels(Reader& reader, const YamlNode& node);
/// "label:KEY=VALUE", "name:NAME", "array".
void read_avoid(Reader& reader, const YamlNode& node);
void read_array(Reader& reader, const YamlNode& node);
void read_after(Reader& reader, const YamlNode& node);
void read_time_limit(Reader& reader, const YamlNode& node);
void read_image(Reader& reader, const YamlNode& node);

}  // namespace busbar::launch::internal
