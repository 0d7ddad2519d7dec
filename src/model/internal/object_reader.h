#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/json.h"

namespace busbar::model::internal {

inline constexpr std::int64_t kMaxInt = std::numeric_limits<std::int64_t>::max();
inline constexpr std::int64_t kMaxU32 = std::numeric_limits<std::uint32_t>::max();

/// Reads the members of one JSON object, each at most once, and keeps the first error. Reading goes on after an error
/// with fallbacks, so callers write straight-line code and ask `finish()` at the end. Borrows `json`.
class ObjectReader {
 public:
  ObjectReader(const Json& json, std::string what);

  /// The member, marked as known; nullptr when absent or null.
  const Json* take(std::string_view key);

  std::string text(std::string_view key, std::string fallback = {});
  std::int64_t integer(std::string_view key, std::int64_t low, std::int64_t high, std::int64_t fallback);
  bool boolean(std::string_view key, bool fallback);
  /// A number with at most three decimals, in milli units.
  std::int64_t milli(std::string_view key, std::int64_t fallback);
  std::vector<std::string> texts(std::string_view key);
  /// A list of objects, each read by `read(const Json&) -> Result<T>`.
  template <class T, class Read>
  std::vector<T> list(std::string_view key, Read read);
  /// A text or a whole number, as text, given to `parse(std::string_view) -> Result<T>`.
  template <class T, class Parse>
  T parsed(std::string_view key, T fallback, Parse parse);
  /// An enumerator by `lookup(std::string_view) -> std::optional<T>`.
  template <class T, class Lookup>
  T named(std::string_view key, T fallback, Lookup lookup);
  /// A nested object, read by `read(const Json&) -> Result<T>`.
  template <class T, class Read>
  T nested(std::string_view key, T fallback, Read read);

  void fail(std::string_view key, const std::string& message);
  /// The first error, or one that names a key nobody read.
  Result<void> finish() const;

 private:
  const Json& json_;
  std::string what_;
  std::vector<std::string> known_;
  std::optional<Error> error_;
};

/// `milli` as a JSON number: 2000 -> 2, 500 -> 0.5.
Json milli_to_json(std::int64_t milli);

template <class T, class Read>
std::vector<T> ObjectReader::list(std::string_view key, Read read) {
  std::vector<T> values;
  const Json* member = take(key);
  if (member == nullptr) {
    return values;
  }
  if (!member->is_array()) {
    fail(key, "not a list");
    return values;
  }
  for (const Json& item : member->items()) {
    Result<T> value = read(item);
    if (!value) {
      fail(key, value.error().to_string());
      return values;
    }
    values.push_back(*std::move(value));
  }
  return values;
}

template <class T, class Parse>
T ObjectReader::parsed(std::string_view key, T fallback, Parse parse) {
  const Json* member = take(key);
  if (member == nullptr) {
    return fallback;
  }
  if (!member->is_string() && !member->is_int()) {
    fail(key, "not a text or a whole number");
    return fallback;
  }
  Result<T> value = parse(member->is_int() ? std::to_string(member->as_int()) : member->as_string());
  if (!value) {
    fail(key, value.error().to_string());
    return fallback;
  }
  return *std::move(value);
}

template <class T, class Lookup>
T ObjectReader::named(std::string_view key, T fallback, Lookup lookup) {
  const Json* member = take(key);
  if (member == nullptr) {
    return fallback;
  }
  const std::optional<T> value = member->is_string() ? lookup(member->as_string()) : std::nullopt;
  if (!value) {
    fail(key, "unknown value " + member->dump());
  }
  return value.value_or(fallback);
}

template <class T, class Read>
T ObjectReader::nested(std::string_view key, T fallback, Read read) {
  const Json* member = take(key);
  if (member == nullptr) {
    return fallback;
  }
  Result<T> value = read(*member);
  if (!value) {
    fail(key, value.error().to_string());
    return fallback;
  }
  return *std::move(value);
}

}  // namespace busbar::model::internal
