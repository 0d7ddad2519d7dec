#include "api/internal/fields.h"

namespace busbar::api::internal {
namespace {

Result<void> refuse_unknown_keys(const ObjectTable& table, const Json& json) {
  for (const auto& [name, value] : json.members()) {
    bool is_known = false;
    for (const Field& field : table.fields) is_known = is_known || field.name == name;
    if (!is_known) {
      return make_error(ErrorCode::kInvalidArgument, "unknown key \"" + name + "\" in " + std::string(table.name));
    }
  }
  return {};
}

Json type_schema(std::string_view name) {
  return Json::object({{"type", name}});
}

}  // namespace

Json write_object(const void* value, const ObjectTable& table) {
  Json json = Json::object();
  for (const Field& field : table.fields) {
    Json member = field.type->write(field.member(value));
    if (field.type->is_always_written || !member.is_null()) json.set(std::string(field.name), std::move(member));
  }
  return json;
}

Result<void> read_object(void* value, const ObjectTable& table, const Json& json, UnknownKeys unknown_keys) {
  if (!json.is_object()) return type_error("an object (" + std::string(table.name) + ")");
  if (unknown_keys == UnknownKeys::kRefuse) TRY(refuse_unknown_keys(table, json));
  for (const Field& field : table.fields) {
    const Json* const member = json.find(field.name);
    if (member == nullptr) continue;
    const auto outcome = field.type->read(const_cast<void*>(field.member(value)), *member, unknown_keys);
    if (!outcome) return with_context(std::string(table.name) + "." + std::string(field.name), outcome.error());
  }
  return {};
}

Json object_schema(const ObjectTable& table) {
  Json properties = Json::object();
  Json required = Json::array();
  for (const Field& field : table.fields) {
    Json schema = field.type->schema();
    if (field.is_required) required.push(field.name);
    if (!field.text.empty()) schema.set("description", field.text);
    properties.set(std::string(field.name), std::move(schema));
  }
  Json json = Json::object({{"type", "object"}, {"description", table.text}});
  json.set("properties", std::move(properties));
  if (!required.items().empty()) json.set("required", std::move(required));
  return json;
}

Json reference(std::string_view component) {
  return Json::object({{"$ref", "#/components/schemas/" + std::string(component)}});
}

tl::unexpected<Error> type_error(std::string_view expected) {
  return make_error(ErrorCode::kInvalidArgument, "expected " + std::string(expected));
}

Result<void> Codec<bool>::read(bool& value, const Json& json, UnknownKeys /*unknown_keys*/) {
  if (!json.is_bool()) return type_error("true or false");
  value = json.as_bool();
  return {};
}

Json Codec<bool>::schema() {
  return type_schema("boolean");
}

Result<std::int64_t> read_integer(const Json& json, std::int64_t min, std::uint64_t max) {
  if (!json.is_int()) return type_error("an integer");
  const std::int64_t value = json.as_int();
  if (value < min || (value > 0 && static_cast<std::uint64_t>(value) > max)) {
    return type_error("an integer from " + std::to_string(min) + " to " + std::to_string(max));
  }
  return value;
}

Json integer_schema(std::size_t bytes, bool is_signed) {
  Json json = Json::object({{"type", "integer"}, {"format", bytes <= 4 ? "int32" : "int64"}});
  if (!is_signed) json.set("minimum", 0);
  return json;
}

Result<void> Codec<double>::read(double& value, const Json& json, UnknownKeys /*unknown_keys*/) {
  if (!json.is_number()) return type_error("a number");
  value = json.as_double();
  return {};
}

Json Codec<double>::schema() {
  return type_schema("number");
}

Result<void> Codec<std::string>::read(std::string& value, const Json& json, UnknownKeys /*unknown_keys*/) {
  if (!json.is_string()) return type_error("a text");
  value = json.as_string();
  return {};
}

Json Codec<std::string>::schema() {
  return type_schema("string");
}

Result<void> Codec<Json>::read(Json& value, const Json& json, UnknownKeys /*unknown_keys*/) {
  value = json;
  return {};
}

Json Codec<Json>::schema() {
  return Json::object();
}

Json Codec<model::JobState>::write(model::JobState value) {
  return model::job_state_name(value);
}

Result<void> Codec<model::JobState>::read(model::JobState& value, const Json& json, UnknownKeys /*unknown_keys*/) {
  const auto state = model::job_state_from_name(json.as_string());
  if (!state) return type_error("a job state");
  value = *state;
  return {};
}

Json Codec<model::JobState>::schema() {
  Json names = Json::array();
  for (int i = 0; i <= static_cast<int>(model::JobState::kCancelled); ++i) {
    names.push(model::job_state_name(static_cast<model::JobState>(i)));
  }
  Json json = type_schema("string");
  json.set("enum", std::move(names));
  return json;
}

Result<void> read_list(void* list, void* (*append)(void* list), const ValueType& item, const Json& json,
                       UnknownKeys unknown_keys) {
  if (!json.is_array()) return type_error("a list");
  for (std::size_t index = 0; index < json.items().size(); ++index) {
    const auto outcome = item.read(append(list), json.items()[index], unknown_keys);
    if (!outcome) return with_context("item " + std::to_string(index), outcome.error());
  }
  return {};
}

Json list_schema(const ValueType& item) {
  Json json = type_schema("array");
  json.set("items", item.schema());
  return json;
}

Result<void> read_map(void* map, void* (*append)(void* map, const std::string& name), const ValueType& value,
                      const Json& json, UnknownKeys unknown_keys) {
  if (!json.is_object()) return type_error("an object");
  for (const auto& [name, member] : json.members()) {
    const auto outcome = value.read(append(map, name), member, unknown_keys);
    if (!outcome) return with_context(name, outcome.error());
  }
  return {};
}

Json map_schema(const ValueType& value) {
  Json json = type_schema("object");
  json.set("additionalProperties", value.schema());
  return json;
}

}  // namespace busbar::api::internal
