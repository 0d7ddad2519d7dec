#pragma once

#include <concepts>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/id.h"
#include "base/json.h"
#include "model/job.h"

/// One table of fields a type gives its writer, its reader and its OpenAPI schema, so the three cannot drift apart.
/// `Table<T>` (tables.h) holds the name, a sentence and the fields; `Codec<V>` knows how one kind of value looks in
/// JSON. Pure templates without state.
namespace busbar::api::internal {

/// Whether a key must be there: only says so in the schema; readers give an absent key the field's default.
enum class Presence { kRequired, kOptional };

template <class Owner, class Value>
struct Field {
  std::string_view name;
  Value Owner::* member;
  std::string_view text;
  Presence presence;
};

template <class Owner, class Value>
constexpr auto field(std::string_view name, Value Owner::* member, std::string_view text) {
  return Field<Owner, Value>{name, member, text, Presence::kRequired};
}
template <class Owner, class Value>
constexpr auto optional_field(std::string_view name, Value Owner::* member, std::string_view text) {
  return Field<Owner, Value>{name, member, text, Presence::kOptional};
}

template <class T>
struct Table;
template <class T>
concept HasTable = requires { Table<T>::kName; };

enum class UnknownKeys { kIgnore, kRefuse };

inline tl::unexpected<Error> type_error(std::string_view expected) {
  return make_error(ErrorCode::kInvalidArgument, "expected " + std::string(expected));
}

/// write(value), read(json, unknown_keys), schema().
template <class V>
struct Codec;

template <class T>
Json write_object(const T& value);
template <class T>
Result<T> read_object(const Json& json, UnknownKeys unknown_keys);

template <HasTable T>
struct Codec<T> {
  static Json write(const T& value) { return write_object(value); }
  static Result<T> read(const Json& json, UnknownKeys unknown_keys) { return read_object<T>(json, unknown_keys); }
  static Json schema() { return Json::object({{"$ref", "#/components/schemas/" + std::string(Table<T>::kName)}}); }
};

template <>
struct Codec<bool> {
  static Json write(bool value) { return value; }
  static Result<bool> read(const Json& json, UnknownKeys /*unknown_keys*/) {
    if (!json.is_bool()) {
      return type_error("true or false");
    }
    return json.as_bool();
  }
  static Json schema() { return Json::object({{"type", "boolean"}}); }
};

template <std::integral V>
struct Codec<V> {
  static Json write(V value) {
    if constexpr (std::is_signed_v<V>) {
      return static_cast<std::int64_t>(value);
    } else {
      return static_cast<std::uint64_t>(value);
    }
  }
  static Result<V> read(const Json& json, UnknownKeys /*unknown_keys*/) {
    if (!json.is_int()) {
      return type_error("an integer");
    }
    if (!std::in_range<V>(json.as_int())) {
      return type_error("an integer from " + std::to_string(std::numeric_limits<V>::min()) + " to " +
                        std::to_string(std::numeric_limits<V>::max()));
    }
    return static_cast<V>(json.as_int());
  }
  static Json schema() {
    Json json = Json::object({{"type", "integer"}, {"format", sizeof(V) <= 4 ? "int32" : "int64"}});
    if constexpr (std::is_unsigned_v<V>) {
      json.set("minimum", 0);
    }
    return json;
  }
};

template <>
struct Codec<double> {
  static Json write(double value) { return value; }
  static Result<double> read(const Json& json, UnknownKeys /*unknown_keys*/) {
    if (!json.is_number()) {
      return type_error("a number");
    }
    return json.as_double();
  }
  static Json schema() { return Json::object({{"type", "number"}}); }
};

template <>
struct Codec<std::string> {
  static Json write(const std::string& value) { return value; }
  static Result<std::string> read(const Json& json, UnknownKeys /*unknown_keys*/) {
    if (!json.is_string()) {
      return type_error("a text");
    }
    return json.as_string();
  }
  static Json schema() { return Json::object({{"type", "string"}}); }
};

/// Any JSON.
template <>
struct Codec<Json> {
  static Json write(const Json& value) { return value; }
  static Result<Json> read(const Json& json, UnknownKeys /*unknown_keys*/) { return json; }
  static Json schema() { return Json::object(); }
};

template <class Tag>
struct Codec<Id<Tag>> {
  static Json write(Id<Tag> value) { return value.value; }
  static Result<Id<Tag>> read(const Json& json, UnknownKeys unknown_keys) {
    TRY_ASSIGN(const std::uint64_t value, Codec<std::uint64_t>::read(json, unknown_keys));
    return Id<Tag>{value};
  }
  static Json schema() { return Codec<std::uint64_t>::schema(); }
};

template <>
struct Codec<model::JobState> {
  static Json write(model::JobState value) { return model::job_state_name(value); }
  static Result<model::JobState> read(const Json& json, UnknownKeys /*unknown_keys*/) {
    const auto state = model::job_state_from_name(json.as_string());
    if (!state) {
      return type_error("a job state");
    }
    return *state;
  }
  static Json schema() {
    Json names = Json::array();
    for (int i = 0; i <= static_cast<int>(model::JobState::kCancelled); ++i) {
      names.push(model::job_state_name(static_cast<model::JobState>(i)));
    }
    return Json::object({{"type", "string"}, {"enum", std::move(names)}});
  }
};

template <class Item>
struct Codec<std::vector<Item>> {
  static Json write(const std::vector<Item>& items) {
    Json json = Json::array();
    for (const Item& item : items) {
      json.push(Codec<Item>::write(item));
    }
    return json;
  }
  static Result<std::vector<Item>> read(const Json& json, UnknownKeys unknown_keys) {
    if (!json.is_array()) {
      return type_error("a list");
    }
    std::vector<Item> items;
    items.reserve(json.items().size());
    for (const Json& item : json.items()) {
      auto value = Codec<Item>::read(item, unknown_keys);
      if (!value) {
        return with_context("item " + std::to_string(items.size()), value.error());
      }
      items.push_back(*std::move(value));
    }
    return items;
  }
  static Json schema() { return Json::object({{"type", "array"}, {"items", Codec<Item>::schema()}}); }
};

/// Named values, as an object that keeps their order.
template <class Value>
struct Codec<std::vector<std::pair<std::string, Value>>> {
  using Pairs = std::vector<std::pair<std::string, Value>>;
  static Json write(const Pairs& pairs) {
    Json json = Json::object();
    for (const auto& [name, value] : pairs) {
      json.set(name, Codec<Value>::write(value));
    }
    return json;
  }
  static Result<Pairs> read(const Json& json, UnknownKeys unknown_keys) {
    if (!json.is_object()) {
      return type_error("an object");
    }
    Pairs pairs;
    for (const auto& [name, member] : json.members()) {
      auto value = Codec<Value>::read(member, unknown_keys);
      if (!value) {
        return with_context(name, value.error());
      }
      pairs.emplace_back(name, *std::move(value));
    }
    return pairs;
  }
  static Json schema() { return Json::object({{"type", "object"}, {"additionalProperties", Codec<Value>::schema()}}); }
};

template <class V>
inline constexpr bool kIsOptional = false;
template <class V>
inline constexpr bool kIsOptional<std::optional<V>> = true;

template <class T, class Each>
void for_each_field(Each each) {
  std::apply([&](const auto&... fields) { (each(fields), ...); }, Table<T>::kFields);
}

/// Leaves out what says nothing: an optional without a value and null JSON.
template <class T>
Json write_object(const T& value) {
  Json json = Json::object();
  for_each_field<T>([&]<class Value>(const Field<T, Value>& field) {
    const Value& member = value.*field.member;
    if constexpr (kIsOptional<Value>) {
      if (member) {
        json.set(std::string(field.name), Codec<typename Value::value_type>::write(*member));
      }
    } else if constexpr (std::is_same_v<Value, Json>) {
      if (!member.is_null()) {
        json.set(std::string(field.name), member);
      }
    } else {
      json.set(std::string(field.name), Codec<Value>::write(member));
    }
  });
  return json;
}

template <class T, class Value>
Result<void> read_field(T& out, const Field<T, Value>& field, const Json& json, UnknownKeys unknown_keys) {
  if constexpr (kIsOptional<Value>) {
    if (json.is_null()) {
      return {};
    }
    TRY_ASSIGN(out.*field.member, Codec<typename Value::value_type>::read(json, unknown_keys));
  } else {
    TRY_ASSIGN(out.*field.member, Codec<Value>::read(json, unknown_keys));
  }
  return {};
}

template <class T>
Result<void> refuse_unknown_keys(const Json& json) {
  for (const auto& member : json.members()) {
    bool is_known = false;
    for_each_field<T>([&](const auto& field) { is_known = is_known || field.name == member.first; });
    if (!is_known) {
      return make_error(ErrorCode::kInvalidArgument,
                        "unknown key \"" + member.first + "\" in " + std::string(Table<T>::kName));
    }
  }
  return {};
}

template <class T>
Result<T> read_object(const Json& json, UnknownKeys unknown_keys) {
  if (!json.is_object()) {
    return type_error("an object (" + std::string(Table<T>::kName) + ")");
  }
  if (unknown_keys == UnknownKeys::kRefuse) {
    TRY(refuse_unknown_keys<T>(json));
  }
  T value;
  Result<void> outcome;
  for_each_field<T>([&](const auto& field) {
    const Json* member = outcome ? json.find(field.name) : nullptr;
    if (member == nullptr) {
      return;
    }
    outcome = read_field(value, field, *member, unknown_keys);
    if (!outcome) {
      outcome = with_context(std::string(Table<T>::kName) + "." + std::string(field.name), outcome.error());
    }
  });
  TRY(outcome);
  return value;
}

template <class T>
Json object_schema() {
  Json properties = Json::object();
  Json required = Json::array();
  for_each_field<T>([&]<class Value>(const Field<T, Value>& field) {
    Json schema;
    if constexpr (kIsOptional<Value>) {
      schema = Codec<typename Value::value_type>::schema();
    } else {
      schema = Codec<Value>::schema();
      if (field.presence == Presence::kRequired && !std::is_same_v<Value, Json>) {
        required.push(field.name);
      }
    }
    if (!field.text.empty()) {
      schema.set("description", field.text);
    }
    properties.set(std::string(field.name), std::move(schema));
  });
  Json json = Json::object({{"type", "object"}, {"description", Table<T>::kText}});
  json.set("properties", std::move(properties));
  if (!required.items().empty()) {
    json.set("required", std::move(required));
  }
  return json;
}

}  // namespace busbar::api::internal
