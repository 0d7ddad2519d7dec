#include "launch/internal/field_kinds.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "base/text.h"
#include "model/cluster.h"

namespace busbar::launch::internal {
namespace {

constexpr std::int64_t kTenYearsMs = 10LL * 366 * 86'400'000;

Field make_field(FieldInfo info, Json schema, std::function<void(Reader&, const YamlNode&)> read) {
  return {.name = std::move(info.name),
          .help = std::move(info.help),
          .aliases = std::move(info.aliases),
          .schema = std::move(schema),
          .read = std::move(read)};
}

Json type_schema(const char* type) {
  return Json::object({{"type", type}});
}

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

/// How many powers of ten a suffix or exponent stands for.
std::optional<int> power_of_suffix(std::string_view suffix) {
  if (suffix.empty()) {
    return 0;
  }
  if (suffix.size() == 1) {
    switch (suffix.front()) {
      case 'k':
      case 'K':
        return 3;
      case 'm':
      case 'M':
        return 6;
      case 'g':
      case 'G':
      case 'b':
      case 'B':
        return 9;
      case 't':
      case 'T':
        return 12;
      default:
        return std::nullopt;
    }
  }
  if (suffix.front() != 'e' && suffix.front() != 'E') {
    return std::nullopt;
  }
  suffix.remove_prefix(suffix[1] == '+' ? 2 : 1);
  const auto exponent = parse_int(suffix);
  return exponent && *exponent >= 0 && *exponent <= 18 ? std::optional(static_cast<int>(*exponent)) : std::nullopt;
}

}  // namespace

Field text_field(FieldInfo info, SetText set, CheckText check) {
  return make_field(std::move(info), schema_of_types({"string", "number", "boolean"}),
                    [set = std::move(set), check = std::move(check)](Reader& reader, const YamlNode& node) {
                      auto text = reader.scalar(node, "a text");
                      if (!text) {
                        return;
                      }
                      if (const std::string wrong = check ? check(*text) : std::string(); !wrong.empty()) {
                        reader.error(node, wrong);
                        return;
                      }
                      set(reader.spec(), *std::move(text));
                    });
}

Field integer_field(FieldInfo info, std::int64_t low, std::int64_t high, SetNumber set) {
  Json schema = Json::object({{"type", "integer"}, {"minimum", low}, {"maximum", high}});
  return make_field(std::move(info), std::move(schema),
                    [low, high, set = std::move(set)](Reader& reader, const YamlNode& node) {
                      const auto text = reader.scalar(node, "a whole number");
                      if (!text) {
                        return;
                      }
                      const auto value = parse_int(trim(*text));
                      if (!value || *value < low || *value > high) {
                        reader.error(node, fmt::format("\"{}\" is not a whole number from {} to {}", *text, low, high));
                        return;
                      }
                      set(reader.spec(), *value);
                    });
}

Field boolean_field(FieldInfo info, std::function<void(model::JobSpec&, bool)> set) {
  return make_field(std::move(info), type_schema("boolean"),
                    [set = std::move(set)](Reader& reader, const YamlNode& node) {
                      static const std::vector<std::string> kAllowed = {"true", "false"};
                      if (const auto text = read_choice(reader, node, kAllowed)) {
                        set(reader.spec(), *text == "true");
                      }
                    });
}

Field choice_field(FieldInfo info, std::vector<std::string> allowed, SetText set) {
  Json names = Json::array();
  for (const std::string& name : allowed) {
    names.push(name);
  }
  return make_field(std::move(info), Json::object({{"enum", std::move(names)}}),
                    [allowed = std::move(allowed), set = std::move(set)](Reader& reader, const YamlNode& node) {
                      if (auto text = read_choice(reader, node, allowed)) {
                        set(reader.spec(), *std::move(text));
                      }
                    });
}

Field duration_field(FieldInfo info, std::int64_t low_ms, SetNumber set) {
  return make_field(std::move(info), schema_of_types({"integer", "string"}),
                    [low_ms, set = std::move(set)](Reader& reader, const YamlNode& node) {
                      const auto text = reader.scalar(node, "a duration like 90s, 15m, 4h or 0-04:00:00");
                      if (!text) {
                        return;
                      }
                      const auto value = reader.value_or_report(node, parse_duration_ms(*text));
                      if (!value) {
                        return;
                      }
                      if (*value < low_ms || *value > kTenYearsMs) {
                        reader.error(node, fmt::format("\"{}\" is out of range; use {} to ten years", *text,
                                                       low_ms == 0 ? "0" : format_duration_ms(low_ms)));
                        return;
                      }
                      set(reader.spec(), *value);
                    });
}

Field bytes_field(FieldInfo info, std::int64_t low, SetNumber set) {
  return make_field(std::move(info), schema_of_types({"integer", "string"}),
                    [low, set = std::move(set)](Reader& reader, const YamlNode& node) {
                      const auto text = reader.scalar(node, "a size like 512MiB or 64GB");
                      if (!text) {
                        return;
                      }
                      const auto value = reader.value_or_report(node, parse_bytes(*text));
                      if (!value) {
                        return;
                      }
                      if (value->value < low) {
                        reader.error(
                            node, fmt::format("\"{}\" is too little; use at least {}", *text, format_bytes(Bytes{low})),
                            "a bare number is bytes; write GiB or MiB behind it");
                        return;
                      }
                      set(reader.spec(), value->value);
                    });
}

Field count_field(FieldInfo info, SetNumber set) {
  return make_field(std::move(info), schema_of_types({"number", "string"}),
                    [set = std::move(set)](Reader& reader, const YamlNode& node) {
                      const auto text = reader.scalar(node, "a count like 6000000000, 6e9 or 7B");
                      if (!text) {
                        return;
                      }
                      if (const auto value = reader.value_or_report(node, parse_si_count(*text))) {
                        set(reader.spec(), *value);
                      }
                    });
}

Field section_field(FieldInfo info, const Section& section, Json shorthand_schema,
                    std::function<void(Reader&, const YamlNode&)> shorthand) {
  Json schema = section_schema(section);
  if (shorthand) {
    schema = schema_any_of({std::move(shorthand_schema), std::move(schema)});
  }
  Field field = make_field(std::move(info), std::move(schema),
                           [&section, shorthand = std::move(shorthand)](Reader& reader, const YamlNode& node) {
                             if (shorthand && node.kind != YamlNode::Kind::kMap) {
                               shorthand(reader, node);
                             } else {
                               reader.read_section(section, node);
                             }
                           });
  field.section = &section;
  return field;
}

Field list_field(FieldInfo info, Json item_schema, std::function<void(Reader&, const YamlNode&)> read_item) {
  Json list = Json::object({{"type", "array"}, {"items", item_schema}});
  return make_field(
      std::move(info), schema_any_of({std::move(list), std::move(item_schema)}),
      [read_item = std::move(read_item)](Reader& reader, const YamlNode& node) { reader.read_items(node, read_item); });
}

Field custom_field(FieldInfo info, Json schema, std::function<void(Reader&, const YamlNode&)> read) {
  return make_field(std::move(info), std::move(schema), std::move(read));
}

Field refused_field(FieldInfo info, std::string instead) {
  Field field =
      make_field(std::move(info), Json(), [instead = std::move(instead)](Reader& reader, const YamlNode& node) {
        reader.error(node, "not carried out by this version", instead);
      });
  field.is_carried_out = false;
  return field;
}

Json section_schema(const Section& section) {
  Json properties = Json::object();
  for (const Field& field : section.fields) {
    if (!field.is_carried_out) {
      continue;
    }
    Json schema = field.schema;
    schema.set("description", field.help);
    properties.set(field.name, std::move(schema));
    for (const std::string& alias : field.aliases) {
      Json alias_schema = field.schema;
      alias_schema.set("description", "Another name of `" + field.name + "`.");
      properties.set(alias, std::move(alias_schema));
    }
  }
  Json schema = Json::object({{"type", "object"}, {"properties", std::move(properties)}});
  if (const Field* resource = section.find(section.resource_field); resource != nullptr) {
    Json named = resource->schema;
    named.set("description", "A Kubernetes resource in place of `" + resource->name + "`: nvidia.com/gpu.");
    schema.set("patternProperties", Json::object({{"^[A-Za-z0-9.-]+/[A-Za-z0-9._-]+$", std::move(named)}}));
  }
  schema.set("additionalProperties", false);
  return schema;
}

Json schema_of_types(std::initializer_list<const char*> types) {
  Json names = Json::array();
  for (const char* type : types) {
    names.push(type);
  }
  return Json::object({{"type", std::move(names)}});
}

Json schema_any_of(std::vector<Json> schemas) {
  return Json::object({{"anyOf", Json::array(std::move(schemas))}});
}

std::optional<std::string> read_choice(Reader& reader, const YamlNode& node, std::span<const std::string> allowed) {
  const auto text = reader.scalar(node, "one of " + join(allowed, ", "));
  if (!text) {
    return std::nullopt;
  }
  const std::string wanted = to_lower(trim(*text));
  for (const std::string& name : allowed) {
    if (to_lower(name) == wanted) {
      return name;
    }
  }
  const auto nearest = nearest_name(*text, allowed);
  reader.error(node, fmt::format("\"{}\" is not one of {}", *text, join(allowed, ", ")),
               nearest ? fmt::format("did you mean \"{}\"?", *nearest) : std::string());
  return std::nullopt;
}

Result<std::int64_t> parse_si_count(std::string_view text) {
  const auto refuse = [&] {
    return make_error(ErrorCode::kInvalidArgument,
                      fmt::format("\"{}\" is not a count; write 6000000000, 6e9, 350M or 7B", text));
  };
  std::string_view rest = trim(text);
  std::int64_t digits = 0;
  int decimals = 0;
  bool has_digit = false;
  bool has_point = false;
  std::size_t at = 0;
  for (; at < rest.size() && (is_digit(rest[at]) || (rest[at] == '.' && !has_point)); ++at) {
    if (rest[at] == '.') {
      has_point = true;
      continue;
    }
    if (digits > (std::numeric_limits<std::int64_t>::max() - 9) / 10) {
      return refuse();
    }
    digits = digits * 10 + (rest[at] - '0');
    decimals += has_point ? 1 : 0;
    has_digit = true;
  }
  const auto power = power_of_suffix(rest.substr(at));
  if (!has_digit || !power || *power < decimals) {
    return refuse();
  }
  for (int i = decimals; i < *power; ++i) {
    if (digits > std::numeric_limits<std::int64_t>::max() / 10) {
      return refuse();
    }
    digits *= 10;
  }
  return digits;
}

std::string check_name(std::string_view text) {
  if (model::is_valid_name(text)) {
    return {};
  }
  return fmt::format("\"{}\" is not a name; use 1 to 63 of a-z 0-9 - _ . and begin with a letter or digit", text);
}

bool is_env_name(std::string_view text) {
  const auto is_letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; };
  return !text.empty() && is_letter(text.front()) &&
         std::all_of(text.begin(), text.end(), [&](char c) { return is_letter(c) || is_digit(c); });
}

}  // namespace busbar::launch::internal
