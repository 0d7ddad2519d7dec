#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "launch/internal/field.h"
#include "launch/internal/reader.h"

/// Builders of fields by the kind of their value: reading and schema come from the same arguments.
namespace busbar::launch::internal {

struct FieldInfo {
  std::string name = {};
  std::string help = {};
  std::vector<std::string> aliases = {};
};

using SetText = std::function<void(model::JobSpec&, std::string)>;
using SetNumber = std::function<void(model::JobSpec&, std::int64_t)>;

/// Checks a text: "" if it is good, else what is wrong with it.
using CheckText = std::function<std::string(std::string_view)>;

Field text_field(FieldInfo info, SetText set, CheckText check = {});
Field integer_field(FieldInfo info, std::int64_t low, std::int64_t high, SetNumber set);
Field boolean_field(FieldInfo info, std::function<void(model::JobSpec&, bool)> set);
/// One of `allowed`; compared without regard to case.
Field choice_field(FieldInfo info, std::vector<std::string> allowed, SetText set);
/// Milliseconds from `low_ms`; at most ten years.
Field duration_field(FieldInfo info, std::int64_t low_ms, SetNumber set);
/// Bytes, from 1 MiB where `low` says so.
Field bytes_field(FieldInfo info, std::int64_t low, SetNumber set);
/// A count with an optional SI suffix: 7B, 350M, 6.5e9.
Field count_field(FieldInfo info, SetNumber set);
/// A map with keys of its own; `shorthand`, if given, reads anything that is not a map.
Field section_field(FieldInfo info, const Section& section, Json shorthand_schema = {},
                    std::function<void(Reader&, const YamlNode&)> shorthand = {});
/// A list (or one item alone); `item_schema` describes one item.
Field list_field(FieldInfo info, Json item_schema, std::function<void(Reader&, const YamlNode&)> read_item);
Field custom_field(FieldInfo info, Json schema, std::function<void(Reader&, const YamlNode&)> read);
/// Known, but this version cannot carry it out: always refused, never ignored.
Field refused_field(FieldInfo info, std::string instead);

/// The schema of a map with these keys.
Json section_schema(const Section& section);
/// {"type": ["integer", "string"], ...}
Json schema_of_types(std::initializer_list<const char*> types);
Json schema_any_of(std::vector<Json> schemas);

/// The allowed value that `text` is, without regard to case; else reports the values and the nearest.
std::optional<std::string> read_choice(Reader& reader, const YamlNode& node, std::span<const std::string> allowed);

/// "7B", "350M", "6.5e9", "1000": exact, else kInvalidArgument.
Result<std::int64_t> parse_si_count(std::string_view text);

/// A checker for names of jobs, queues and projects.
std::string check_name(std::string_view text);
bool is_env_name(std::string_view text);

}  // namespace busbar::launch::internal
