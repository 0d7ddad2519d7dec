#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/error.h"

namespace busbar {

/// A JSON value (RFC 8259). Objects keep the order in which keys were added. Integers stay exact in 64 bits; a number
/// outside int64, or with a fraction or exponent, is a double. A plain value: copy, move, compare.
class Json {
 public:
  using Array = std::vector<Json>;
  using Member = std::pair<std::string, Json>;
  using Object = std::vector<Member>;

  Json() = default;  // null
  Json(std::nullptr_t) {}
  Json(bool value) : value_(value) {}
  Json(int value) : value_(std::int64_t{value}) {}
  Json(unsigned value) : value_(std::int64_t{value}) {}
  Json(std::int64_t value) : value_(value) {}
  Json(std::uint64_t value);  ///< Above int64's range: a double.
  Json(double value) : value_(value) {}
  Json(const char* value) : value_(std::string(value)) {}
  Json(std::string_view value) : value_(std::string(value)) {}
  Json(std::string value) : value_(std::move(value)) {}
  Json(Array value) : value_(std::move(value)) {}

  /// `Json::object({{"name", "a"}, {"nodes", 2}})`.
  static Json object(Object members = {});
  static Json array(Array items = {}) { return Json(std::move(items)); }

  bool is_null() const { return std::holds_alternative<std::monostate>(value_); }
  bool is_bool() const { return std::holds_alternative<bool>(value_); }
  bool is_int() const { return std::holds_alternative<std::int64_t>(value_); }
  bool is_number() const { return is_int() || std::holds_alternative<double>(value_); }
  bool is_string() const { return std::holds_alternative<std::string>(value_); }
  bool is_array() const { return std::holds_alternative<Array>(value_); }
  bool is_object() const { return std::holds_alternative<Object>(value_); }

  /// Readers with a fallback: the value if it has that type, else `fallback`. Safe on untrusted input.
  bool as_bool(bool fallback = false) const;
  std::int64_t as_int(std::int64_t fallback = 0) const;  ///< Doubles are truncated when they fit.
  double as_double(double fallback = 0) const;
  const std::string& as_string() const;  ///< "" if not a string.
  /// Empty if not of that type.
  const Array& items() const;
  const Object& members() const;

  /// The member, or null (a static) when absent or not an object; so `json["a"]["b"].as_int()` is safe.
  const Json& operator[](std::string_view key) const;
  /// nullptr when absent.
  const Json* find(std::string_view key) const;
  /// Sets or replaces. Turns null into an object; CHECKs otherwise.
  Json& set(std::string key, Json value);
  /// Appends. Turns null into an array; CHECKs otherwise.
  Json& push(Json value);

  /// Compact text; `dump_pretty` indents by two. Always valid JSON: bytes that are not UTF-8 become U+FFFD, NaN and
  /// infinities null. A double always shows a fraction or an exponent, so that it is read back as one.
  std::string dump() const;
  std::string dump_pretty() const;

  friend bool operator==(const Json&, const Json&) = default;

 private:
  std::variant<std::monostate, bool, std::int64_t, double, std::string, Array, Object> value_;
};

/// Strict parse; depth at most 64. The error names line and column (one-based; columns count bytes). Of duplicate keys
/// the last value wins, at the first one's place. Numbers beyond double's range are refused.
Result<Json> parse_json(std::string_view text);

}  // namespace busbar
