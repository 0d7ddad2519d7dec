#include <fmt/format.h>

#include <algorithm>
#include <boost/json/basic_parser_impl.hpp>
#include <charconv>
#include <cmath>
#include <numeric>

#include "base/json.h"

namespace busbar {
namespace {

constexpr std::size_t kMaxJsonDepth = 64;

/// Of equal keys the last value wins, at the first one's place. Sorted once for each object: linear look-ups would cost
/// a hostile object n^2.
Json::Object without_duplicates(Json::Object members) {
  std::vector<std::size_t> order(members.size());
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    const int difference = members[a].first.compare(members[b].first);
    return difference != 0 ? difference < 0 : a < b;
  });
  std::vector<bool> is_repeat(members.size());
  bool has_repeats = false;
  for (std::size_t i = 1, first = 0; i < order.size(); ++i) {
    if (members[order[i]].first != members[order[first]].first) {
      first = i;
      continue;
    }
    members[order[first]].second = std::move(members[order[i]].second);
    is_repeat[order[i]] = has_repeats = true;
  }
  if (!has_repeats) {
    return members;
  }
  Json::Object kept;
  for (std::size_t i = 0; i < members.size(); ++i) {
    if (!is_repeat[i]) {
      kept.push_back(std::move(members[i]));
    }
  }
  return kept;
}

/// What Boost.JSON's parser calls for each piece; builds our value without a tree in between.
class JsonBuilder {
 public:
  static constexpr std::size_t max_object_size = std::size_t(-1);
  static constexpr std::size_t max_array_size = std::size_t(-1);
  static constexpr std::size_t max_key_size = std::size_t(-1);
  static constexpr std::size_t max_string_size = std::size_t(-1);
  using Failure = boost::json::error_code;
  using Text = boost::json::string_view;

  Json take() { return std::move(root_); }

  bool on_document_begin(Failure&) { return true; }
  bool on_document_end(Failure&) { return true; }
  bool on_object_begin(Failure&) { return open(); }
  bool on_array_begin(Failure&) { return open(); }
  bool on_object_end(std::size_t, Failure&) {
    Level level = close();
    return add(Json::object(without_duplicates(std::move(level.members))));
  }
  bool on_array_end(std::size_t, Failure&) {
    Level level = close();
    return add(Json::array(std::move(level.items)));
  }
  bool on_key_part(Text part, std::size_t, Failure&) { return append(part); }
  bool on_key(Text part, std::size_t, Failure&) {
    append(part);
    levels_.back().key = std::exchange(text_, {});
    levels_.back().is_object = true;
    return true;
  }
  bool on_string_part(Text part, std::size_t, Failure&) { return append(part); }
  bool on_string(Text part, std::size_t, Failure&) {
    append(part);
    return add(Json(std::exchange(text_, {})));
  }
  bool on_number_part(Text part, Failure&) { return append(part); }
  bool on_int64(std::int64_t value, Text, Failure&) {
    text_.clear();
    return add(Json(value));
  }
  bool on_uint64(std::uint64_t value, Text, Failure&) {
    text_.clear();
    return add(Json(value));
  }
  bool on_double(double approximate, Text part, Failure& failure) {
    append(part);
    // Boost 1.81 may be off by the last bit; from_chars is exact. Out of its range: too small is zero, too large fails.
    double value = 0;
    if (std::from_chars(text_.data(), text_.data() + text_.size(), value).ec != std::errc{}) {
      value = std::abs(approximate) < 1 ? 0 : HUGE_VAL;
    }
    text_.clear();
    if (!std::isfinite(value)) {
      failure = boost::json::error::exponent_overflow;
      return false;
    }
    return add(Json(value));
  }
  bool on_bool(bool value, Failure&) { return add(Json(value)); }
  bool on_null(Failure&) { return add(Json()); }
  bool on_comment_part(Text, Failure&) { return true; }
  bool on_comment(Text, Failure&) { return true; }

 private:
  struct Level {
    Json::Array items = {};
    Json::Object members = {};
    std::string key = {};
    bool is_object = false;
  };

  bool open() {
    levels_.emplace_back();
    return true;
  }
  Level close() {
    Level level = std::move(levels_.back());
    levels_.pop_back();
    return level;
  }
  bool append(Text part) {
    text_.append(part.data(), part.size());
    return true;
  }
  bool add(Json value) {
    if (levels_.empty()) {
      root_ = std::move(value);
    } else if (Level& level = levels_.back(); level.is_object) {
      level.members.emplace_back(std::move(level.key), std::move(value));
    } else {
      level.items.push_back(std::move(value));
    }
    return true;
  }

  Json root_;
  std::vector<Level> levels_;
  std::string text_;
};

Error parse_failure(std::string_view text, std::size_t offset, std::string_view reason) {
  const std::string_view before = text.substr(0, std::min(offset, text.size()));
  const auto line = 1 + std::count(before.begin(), before.end(), '\n');
  const std::size_t line_start = before.rfind('\n') + 1;  // npos + 1 is 0
  return Error{
      .code = ErrorCode::kInvalidArgument,
      .message = fmt::format("bad JSON at line {}, column {}: {}", line, before.size() - line_start + 1, reason)};
}

}  // namespace

Result<Json> parse_json(std::string_view text) {
  boost::json::parse_options options;
  options.max_depth = kMaxJsonDepth;
  boost::json::basic_parser<JsonBuilder> parser(options);
  boost::json::error_code failure;
  const std::size_t used = parser.write_some(false, text.data(), text.size(), failure);
  if (failure == boost::json::error::too_deep) {
    return tl::unexpected(parse_failure(text, used, fmt::format("nested deeper than {}", kMaxJsonDepth)));
  }
  if (failure) {
    return tl::unexpected(parse_failure(text, used, failure.message()));
  }
  if (used < text.size()) {
    return tl::unexpected(parse_failure(text, used, "text after the end of the value"));
  }
  return parser.handler().take();
}

}  // namespace busbar
