#include "model/internal/object_reader.h"

#include <algorithm>
#include <cmath>

namespace busbar::model::internal {

ObjectReader::ObjectReader(const Json& json, std::string what) : json_(json), what_(std::move(what)) {
  if (!json.is_object()) {
    error_ = Error{.code = ErrorCode::kInvalidArgument, .message = what_ + ": not an object"};
  }
}

const Json* ObjectReader::take(std::string_view key) {
  known_.emplace_back(key);
  const Json* member = json_.find(key);
  return member == nullptr || member->is_null() ? nullptr : member;
}

std::string ObjectReader::text(std::string_view key, std::string fallback) {
  const Json* member = take(key);
  if (member == nullptr) {
    return fallback;
  }
  if (!member->is_string()) {
    fail(key, "not a text");
    return fallback;
  }
  return member->as_string();
}

std::int64_t ObjectReader::integer(std::string_view key, std::int64_t low, std::int64_t high, std::int64_t fallback) {
  const Json* member = take(key);
  if (member == nullptr) {
    return fallback;
  }
  if (!member->is_int() || member->as_int() < low || member->as_int() > high) {
    fail(key, "not a whole number from " + std::to_string(low) + " to " + std::to_string(high));
    return fallback;
  }
  return member->as_int();
}

bool ObjectReader::boolean(std::string_view key, bool fallback) {
  const Json* member = take(key);
  if (member == nullptr) {
    return fallback;
  }
  if (!member->is_bool()) {
    fail(key, "not true or false");
  }
  return member->as_bool(fallback);
}

std::int64_t ObjectReader::milli(std::string_view key, std::int64_t fallback) {
  const Json* member = take(key);
  if (member == nullptr) {
    return fallback;
  }
  constexpr double kLargest = 9e12;  // Times 1000 it is still exact in a double.
  const double value = member->as_double(-1);
  if (!member->is_number() || !(value >= 0 && value <= kLargest)) {
    fail(key, "not a number from 0");
    return fallback;
  }
  return member->is_int() ? member->as_int() * 1000 : std::llround(value * 1000);
}

std::vector<std::string> ObjectReader::texts(std::string_view key) {
  return list<std::string>(key, [](const Json& item) -> Result<std::string> {
    if (!item.is_string()) {
      return make_error(ErrorCode::kInvalidArgument, "not a list of texts");
    }
    return item.as_string();
  });
}

void ObjectReader::fail(std::string_view key, const std::string& message) {
  if (!error_) {
    error_ = Error{.code = ErrorCode::kInvalidArgument, .message = what_ + "." + std::string(key) + ": " + message};
  }
}

Result<void> ObjectReader::finish() const {
  if (error_) {
    return tl::unexpected<Error>(*error_);
  }
  for (const auto& [key, value] : json_.members()) {
    if (std::find(known_.begin(), known_.end(), key) == known_.end()) {
      return make_error(ErrorCode::kInvalidArgument, what_ + ": unknown key \"" + key + "\"");
    }
  }
  return {};
}

Json milli_to_json(std::int64_t milli) {
  return milli % 1000 == 0 ? Json(milli / 1000) : Json(static_cast<double>(milli) / 1000.0);
}

}  // namespace busbar::model::internal
