#include "base/json.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>

#include "base/check.h"
#include "base/text.h"

namespace busbar {
namespace {

const Json kNull;
const std::string kNoText;
const Json::Array kNoItems;
const Json::Object kNoMembers;

void append_string(std::string& out, std::string_view text) {
  constexpr std::string_view kHex = "0123456789abcdef";
  constexpr std::string_view kReplacement = "\xef\xbf\xbd";
  out += '"';
  while (!text.empty()) {
    const std::size_t valid = valid_utf8_prefix(text);
    for (const char c : text.substr(0, valid)) {
      switch (c) {
        case '"':
          out += "\\\"";
          break;
        case '\\':
          out += "\\\\";
          break;
        case '\n':
          out += "\\n";
          break;
        case '\r':
          out += "\\r";
          break;
        case '\t':
          out += "\\t";
          break;
        default:
          if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
            out += "\\u00";
            out += kHex[static_cast<unsigned char>(c) >> 4];
            out += kHex[c & 0xf];
          } else {
            out += c;
          }
      }
    }
    text.remove_prefix(valid);
    if (!text.empty()) {
      out += kReplacement;
      text.remove_prefix(1);
    }
  }
  out += '"';
}

void append_double(std::string& out, double value) {
  if (!std::isfinite(value)) {
    out += "null";
    return;
  }
  std::array<char, 32> buffer{};
  const auto [end, failure] = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value);
  CHECK(failure == std::errc{});
  const std::string_view digits(buffer.data(), static_cast<std::size_t>(end - buffer.data()));
  out += digits;
  if (digits.find_first_of(".e") == std::string_view::npos) {
    out += ".0";
  }
}

/// Writes a value; `indent` below zero means compact.
class Writer {
 public:
  explicit Writer(bool is_pretty) : is_pretty_(is_pretty) {}

  void write(const Json& json, int depth) {
    if (json.is_null()) {
      out_ += "null";
    } else if (json.is_bool()) {
      out_ += json.as_bool() ? "true" : "false";
    } else if (json.is_int()) {
      fmt::format_to(std::back_inserter(out_), "{}", json.as_int());
    } else if (json.is_number()) {
      append_double(out_, json.as_double());
    } else if (json.is_string()) {
      append_string(out_, json.as_string());
    } else if (json.is_array()) {
      write_items(json.items(), depth);
    } else {
      write_members(json.members(), depth);
    }
  }

  std::string take() { return std::move(out_); }

 private:
  void write_items(const Json::Array& items, int depth) {
    out_ += '[';
    for (std::size_t i = 0; i < items.size(); ++i) {
      separate(i, depth + 1);
      write(items[i], depth + 1);
    }
    close(!items.empty(), depth);
    out_ += ']';
  }

  void write_members(const Json::Object& members, int depth) {
    out_ += '{';
    for (std::size_t i = 0; i < members.size(); ++i) {
      separate(i, depth + 1);
      append_string(out_, members[i].first);
      out_ += is_pretty_ ? ": " : ":";
      write(members[i].second, depth + 1);
    }
    close(!members.empty(), depth);
    out_ += '}';
  }

  void separate(std::size_t index, int depth) {
    if (index > 0) {
      out_ += ',';
    }
    new_line(depth);
  }

  void close(bool has_content, int depth) {
    if (has_content) {
      new_line(depth);
    }
  }

  void new_line(int depth) {
    if (is_pretty_) {
      out_ += '\n';
      out_.append(static_cast<std::size_t>(depth) * 2, ' ');
    }
  }

  bool is_pretty_;
  std::string out_;
};

}  // namespace

Json::Json(std::uint64_t value) {
  if (value <= static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
    value_ = static_cast<std::int64_t>(value);
  } else {
    value_ = static_cast<double>(value);
  }
}

Json Json::object(Object members) {
  Json json;
  json.value_ = std::move(members);
  return json;
}

bool Json::as_bool(bool fallback) const {
  const bool* value = std::get_if<bool>(&value_);
  return value == nullptr ? fallback : *value;
}

std::int64_t Json::as_int(std::int64_t fallback) const {
  if (const auto* value = std::get_if<std::int64_t>(&value_)) {
    return *value;
  }
  const auto* value = std::get_if<double>(&value_);
  constexpr double kLimit = 9223372036854775808.0;  // 2^63
  return value != nullptr && *value >= -kLimit && *value < kLimit ? static_cast<std::int64_t>(*value) : fallback;
}

double Json::as_double(double fallback) const {
  if (const auto* value = std::get_if<double>(&value_)) {
    return *value;
  }
  const auto* value = std::get_if<std::int64_t>(&value_);
  return value == nullptr ? fallback : static_cast<double>(*value);
}

const std::string& Json::as_string() const {
  const auto* value = std::get_if<std::string>(&value_);
  return value == nullptr ? kNoText : *value;
}

const Json::Array& Json::items() const {
  const auto* value = std::get_if<Array>(&value_);
  return value == nullptr ? kNoItems : *value;
}

const Json::Object& Json::members() const {
  const auto* value = std::get_if<Object>(&value_);
  return value == nullptr ? kNoMembers : *value;
}

const Json& Json::operator[](std::string_view key) const {
  const Json* member = find(key);
  return member == nullptr ? kNull : *member;
}

const Json* Json::find(std::string_view key) const {
  for (const Member& member : members()) {
    if (member.first == key) {
      return &member.second;
    }
  }
  return nullptr;
}

Json& Json::set(std::string key, Json value) {
  if (is_null()) {
    value_ = Object{};
  }
  CHECK(is_object(), "set() on a JSON value that is not an object");
  auto& members = std::get<Object>(value_);
  const auto same = std::find_if(members.begin(), members.end(), [&](const Member& m) { return m.first == key; });
  if (same != members.end()) {
    same->second = std::move(value);
  } else {
    members.emplace_back(std::move(key), std::move(value));
  }
  return *this;
}

Json& Json::push(Json value) {
  if (is_null()) {
    value_ = Array{};
  }
  CHECK(is_array(), "push() on a JSON value that is not an array");
  std::get<Array>(value_).push_back(std::move(value));
  return *this;
}

std::string Json::dump() const {
  Writer writer(false);
  writer.write(*this, 0);
  return writer.take();
}

std::string Json::dump_pretty() const {
  Writer writer(true);
  writer.write(*this, 0);
  return writer.take();
}

}  // namespace busbar
