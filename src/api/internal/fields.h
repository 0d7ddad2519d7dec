#pragma once

#include <concepts>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/id.h"
#include "base/json.h"
#include "model/job.h"

/// One table of fields a type gives its writer, its reader and its OpenAPI schema, so the three cannot drift apart.
/// `table_of<T>()` (tables.h) holds the name, a sentence and the fields; `Codec<V>` knows how one kind of value looks
/// in JSON. The loops over tables know no types (fields.cc): a type costs the compiler its table and no more. All of it
/// is pure and without state.
namespace busbar::api::internal {

enum class UnknownKeys { kIgnore, kRefuse };

/// How one kind of value looks in JSON. The pointers are to a value of that kind.
struct ValueType {
  Json (*write)(const void* value);  ///< Null: it says nothing and its key is left out.
  Result<void> (*read)(void* value, const Json& json, UnknownKeys unknown_keys);
  Json (*schema)();
  bool is_always_written;
};

/// One member of an object, and its key.
struct Field {
  std::string_view name;
  std::string_view text;
  bool is_required;  ///< Only says so in the schema; readers give an absent key the field's default.
  const ValueType* type;
  const void* (*member)(const void* owner);
};

struct ObjectTable {
  std::string_view name;
  std::string_view text;
  std::span<const Field> fields;
};

/// Leaves out what says nothing: an optional without a value and null JSON.
Json write_object(const void* value, const ObjectTable& table);
/// Into a value with its defaults; after an error it holds what was read before.
Result<void> read_object(void* value, const ObjectTable& table, const Json& json, UnknownKeys unknown_keys);
Json object_schema(const ObjectTable& table);
/// {"$ref": ...} to a component of the OpenAPI document.
Json reference(std::string_view component);

/// The table of an object; every specialisation is declared in tables.h.
template <class T>
const ObjectTable& table_of();

tl::unexpected<Error> type_error(std::string_view expected);

/// write(value), read(value, json, unknown_keys), schema(). The general one is for objects that have a table.
template <class V>
struct Codec {
  static Json write(const V& value) { return write_object(&value, table_of<V>()); }
  static Result<void> read(V& value, const Json& json, UnknownKeys unknown_keys) {
    return read_object(&value, table_of<V>(), json, unknown_keys);
  }
  static Json schema() { return reference(table_of<V>().name); }
};

template <class V>
inline constexpr bool kIsAlwaysWritten = !std::is_same_v<V, Json>;
template <class V>
inline constexpr bool kIsAlwaysWritten<std::optional<V>> = false;

template <class V>
inline constexpr ValueType kValueType = {
    .write = [](const void* value) { return Json(Codec<V>::write(*static_cast<const V*>(value))); },
    .read = [](void* value, const Json& json,
               UnknownKeys unknown_keys) { return Codec<V>::read(*static_cast<V*>(value), json, unknown_keys); },
    .schema = &Codec<V>::schema,
    .is_always_written = kIsAlwaysWritten<V>};

template <class Owner, class Value>
Owner owner_of(Value Owner::*);
template <class Owner, class Value>
Value value_of(Value Owner::*);

template <auto kMember>
constexpr Field optional_field(std::string_view name, std::string_view text) {
  using Owner = decltype(owner_of(kMember));
  return {.name = name,
          .text = text,
          .is_required = false,
          .type = &kValueType<decltype(value_of(kMember))>,
          .member = [](const void* owner) -> const void* { return &(static_cast<const Owner*>(owner)->*kMember); }};
}
template <auto kMember>
constexpr Field field(std::string_view name, std::string_view text) {
  Field row = optional_field<kMember>(name, text);
  row.is_required = row.type->is_always_written;
  return row;
}

template <>
struct Codec<bool> {
  static Json write(bool value) { return value; }
  static Result<void> read(bool& value, const Json& json, UnknownKeys unknown_keys);
  static Json schema();
};

Result<std::int64_t> read_integer(const Json& json, std::int64_t min, std::uint64_t max);
Json integer_schema(std::size_t bytes, bool is_signed);

template <std::integral V>
struct Codec<V> {
  static Json write(V value) {
    return static_cast<std::conditional_t<std::is_signed_v<V>, std::int64_t, std::uint64_t>>(value);
  }
  static Result<void> read(V& value, const Json& json, UnknownKeys /*unknown_keys*/) {
    using Limits = std::numeric_limits<V>;
    TRY_ASSIGN(const std::int64_t integer, read_integer(json, static_cast<std::int64_t>(Limits::min()), Limits::max()));
    value = static_cast<V>(integer);
    return {};
  }
  static Json schema() { return integer_schema(sizeof(V), std::is_signed_v<V>); }
};

template <>
struct Codec<double> {
  static Json write(double value) { return value; }
  static Result<void> read(double& value, const Json& json, UnknownKeys unknown_keys);
  static Json schema();
};

template <>
struct Codec<std::string> {
  static Json write(const std::string& value) { return value; }
  static Result<void> read(std::string& value, const Json& json, UnknownKeys unknown_keys);
  static Json schema();
};

/// Any JSON.
template <>
struct Codec<Json> {
  static Json write(const Json& value) { return value; }
  static Result<void> read(Json& value, const Json& json, UnknownKeys unknown_keys);
  static Json schema();
};

template <class Tag>
struct Codec<Id<Tag>> {
  static Json write(Id<Tag> value) { return value.value; }
  static Result<void> read(Id<Tag>& value, const Json& json, UnknownKeys unknown_keys) {
    return Codec<std::uint64_t>::read(value.value, json, unknown_keys);
  }
  static Json schema() { return Codec<std::uint64_t>::schema(); }
};

template <>
struct Codec<model::JobState> {
  static Json write(model::JobState value);
  static Result<void> read(model::JobState& value, const Json& json, UnknownKeys unknown_keys);
  static Json schema();
};

template <class V>
struct Codec<std::optional<V>> {
  static Json write(const std::optional<V>& value) { return value ? Json(Codec<V>::write(*value)) : Json(); }
  static Result<void> read(std::optional<V>& value, const Json& json, UnknownKeys unknown_keys) {
    return json.is_null() ? Result<void>() : Codec<V>::read(value.emplace(), json, unknown_keys);
  }
  static Json schema() { return Codec<V>::schema(); }
};

/// `append` adds an item with its defaults to the list and gives it.
Result<void> read_list(void* list, void* (*append)(void* list), const ValueType& item, const Json& json,
                       UnknownKeys unknown_keys);
Json list_schema(const ValueType& item);

template <class Item>
struct Codec<std::vector<Item>> {
  using Items = std::vector<Item>;
  static Json write(const Items& items) {
    Json json = Json::array();
    for (const Item& item : items) json.push(Codec<Item>::write(item));
    return json;
  }
  static Result<void> read(Items& items, const Json& json, UnknownKeys unknown_keys) {
    constexpr auto append = [](void* list) -> void* { return &static_cast<Items*>(list)->emplace_back(); };
    return read_list(&items, append, kValueType<Item>, json, unknown_keys);
  }
  static Json schema() { return list_schema(kValueType<Item>); }
};

Result<void> read_map(void* map, void* (*append)(void* map, const std::string& name), const ValueType& value,
                      const Json& json, UnknownKeys unknown_keys);
Json map_schema(const ValueType& value);

/// Named values, as an object that keeps their order.
template <class Value>
struct Codec<std::vector<std::pair<std::string, Value>>> {
  using Pairs = std::vector<std::pair<std::string, Value>>;
  static Json write(const Pairs& pairs) {
    Json json = Json::object();
    for (const auto& [name, value] : pairs) json.set(name, Codec<Value>::write(value));
    return json;
  }
  static Result<void> read(Pairs& pairs, const Json& json, UnknownKeys unknown_keys) {
    constexpr auto append = [](void* map, const std::string& name) -> void* {
      return &static_cast<Pairs*>(map)->emplace_back(name, Value{}).second;
    };
    return read_map(&pairs, append, kValueType<Value>, json, unknown_keys);
  }
  static Json schema() { return map_schema(kValueType<Value>); }
};

}  // namespace busbar::api::internal
