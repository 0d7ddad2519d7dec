#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/json.h"
#include "model/rate.h"

namespace busbar::route::internal {

inline constexpr std::int64_t kMaxInt = std::numeric_limits<std::int64_t>::max();
inline constexpr std::int64_t kMaxU32 = std::numeric_limits<std::uint32_t>::max();

/// Reads members of one object with fallbacks and keeps the first error, which names `what`. Keys that nobody
/// asks for are skipped: server and gateway may differ in age.
class JsonReader {
 public:
  JsonReader(const Json& json, std::string what) : json_(json), what_(std::move(what)) {
    if (!json.is_object()) fail("is not an object");
  }

  std::int64_t integer(std::string_view key, std::int64_t fallback, std::int64_t highest) {
    const Json* member = json_.find(key);
    if (member == nullptr) return fallback;
    if (!member->is_int() || member->as_int() < 0 || member->as_int() > highest) {
      fail(fmt::format("{} {} is not a whole number from 0 to {}", key, member->dump(), highest));
      return fallback;
    }
    return member->as_int();
  }
  std::uint32_t count(std::string_view key, std::uint32_t fallback) {
    return static_cast<std::uint32_t>(integer(key, fallback, kMaxU32));
  }
  std::uint64_t sum(std::string_view key) { return static_cast<std::uint64_t>(integer(key, 0, kMaxInt)); }
  std::string text(std::string_view key) {
    const Json* member = json_.find(key);
    if (member == nullptr) return {};
    if (!member->is_string()) fail(fmt::format("{} {} is not a text", key, member->dump()));
    return member->as_string();
  }
  bool boolean(std::string_view key) {
    const Json* member = json_.find(key);
    if (member != nullptr && !member->is_bool()) fail(fmt::format("{} {} is not true or false", key, member->dump()));
    return member != nullptr && member->as_bool();
  }
  std::vector<std::string> texts(std::string_view key) {
    std::vector<std::string> result;
    for (const Json& item : array(key)) {
      if (!item.is_string()) fail(fmt::format("{} has {}, which is not a text", key, item.dump()));
      result.push_back(item.as_string());
    }
    return result;
  }
  template <class T, class Read>
  std::vector<T> list(std::string_view key, Read read) {
    std::vector<T> result;
    for (const Json& item : array(key)) {
      Result<T> value = read(item);
      if (!value) {
        fail(value.error().message);
        break;
      }
      result.push_back(*std::move(value));
    }
    return result;
  }
  /// "10/s"; no bound where it is absent.
  model::Rate rate(std::string_view key) {
    const std::string written = text(key);
    if (written.empty()) return {};
    const auto rate = model::parse_rate(written);
    if (!rate) fail(fmt::format("{}: {}", key, rate.error().message));
    return rate.value_or(model::Rate{});
  }
  const Json& member(std::string_view key) const { return json_[key]; }
  void fail(const std::string& message) {
    if (error_.empty()) error_ = fmt::format("{}: {}", what_, message);
  }
  Result<void> finish() const {
    if (!error_.empty()) return make_error(ErrorCode::kInvalidArgument, error_);
    return {};
  }

 private:
  const Json::Array& array(std::string_view key) {
    const Json& member = json_[key];
    if (!member.is_null() && !member.is_array()) fail(fmt::format("{} is not a list", key));
    return member.items();
  }

  const Json& json_;
  std::string what_;
  std::string error_ = {};
};

inline Json texts_to_json(const std::vector<std::string>& texts) {
  Json json = Json::array();
  for (const std::string& text : texts) json.push(text);
  return json;
}

}  // namespace busbar::route::internal
