#include "chip/internal/file_reader.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"
#include "base/units.h"

namespace busbar::chip::internal {
namespace {

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

/// "80GB", "3.35 TB/s": a number and then something else.
bool has_unit(std::string_view text) {
  return !text.empty() && is_digit(text.front()) &&
         std::any_of(text.begin(), text.end(), [](char c) { return !is_digit(c) && c != '.' && c != '-' && c != ','; });
}

}  // namespace

void FileReader::error(TextPosition position, std::string message) {
  if (diagnostics_.size() < kMaxCatalogueDiagnostics) {
    diagnostics_.push_back({.file = file_.name, .position = position, .message = std::move(message)});
  }
}

std::optional<std::string> FileReader::text(const YamlNode& node, std::string_view key) {
  if (node.kind != YamlNode::Kind::kScalar) {
    error(node.position, fmt::format("{} is a list or a map; write a text", key));
    return std::nullopt;
  }
  if (node.scalar.empty()) {
    error(node.position, fmt::format("{} is empty; leave the key out if it is not known", key));
    return std::nullopt;
  }
  return node.scalar;
}

std::vector<std::string> FileReader::texts(const YamlNode& node, std::string_view key) {
  std::vector<std::string> result;
  if (node.kind == YamlNode::Kind::kScalar) {
    if (auto one = text(node, key)) {
      result.push_back(*std::move(one));
    }
    return result;
  }
  if (node.kind != YamlNode::Kind::kSequence) {
    error(node.position, fmt::format("{} is a map; write a list of texts", key));
    return result;
  }
  for (const YamlNode& item : node.items) {
    if (auto one = text(item, key)) {
      result.push_back(*std::move(one));
    }
  }
  return result;
}

std::optional<std::int64_t> FileReader::milli(const YamlNode& node, std::string_view key, std::int64_t most,
                                              std::string_view unit) {
  const auto written = text(node, key);
  if (!written) {
    return std::nullopt;
  }
  if (has_unit(*written)) {
    error(node.position,
          fmt::format("{}: \"{}\" has a unit of its own; write the number of {} alone", key, *written, unit));
    return std::nullopt;
  }
  const auto value = parse_milli(*written);
  if (!value || *value <= 0) {
    error(node.position,
          fmt::format("{}: \"{}\" is no positive number of {} with at most three decimals", key, *written, unit));
    return std::nullopt;
  }
  if (*value > most * 1000) {
    error(node.position,
          fmt::format("{}: {} {} is more than any card has ({}); is the unit right?", key, *written, unit, most));
    return std::nullopt;
  }
  return *value;
}

std::optional<std::int64_t> FileReader::integer(const YamlNode& node, std::string_view key, std::int64_t most) {
  const auto written = text(node, key);
  const auto value = written ? parse_int(*written) : std::nullopt;
  if (written && (!value || *value < 1 || *value > most)) {
    error(node.position, fmt::format("{}: \"{}\" is no whole number from 1 to {}", key, *written, most));
    return std::nullopt;
  }
  return value;
}

std::optional<std::uint16_t> FileReader::hex16(std::string_view digits, TextPosition position, std::string_view key) {
  std::uint32_t value = 0;
  bool is_good = digits.size() == 4;
  for (const char c : digits) {
    const bool is_letter = c >= 'a' && c <= 'f';
    is_good = is_good && (is_digit(c) || is_letter);
    value = value * 16 + static_cast<std::uint32_t>(is_letter ? c - 'a' + 10 : c - '0');
  }
  if (!is_good) {
    error(position, fmt::format("{}: \"{}\" is not four lower-case hexadecimal digits, as in \"10de\"", key, digits));
    return std::nullopt;
  }
  return static_cast<std::uint16_t>(value);
}

std::vector<std::uint16_t> FileReader::hex16_list(const YamlNode& node, std::string_view key) {
  std::vector<std::uint16_t> result;
  for (const std::string& digits : texts(node, key)) {
    if (const auto value = hex16(digits, node.position, key)) {
      result.push_back(*value);
    }
  }
  return result;
}

bool FileReader::is_map(const YamlNode& node, std::string_view key) {
  if (node.kind != YamlNode::Kind::kMap) {
    error(node.position, fmt::format("{} is not a map of keys and values", key));
    return false;
  }
  return true;
}

std::vector<std::string> FileReader::source_keys(const YamlNode& node, std::string_view key,
                                                 std::map<std::string, Place>& places) {
  std::vector<std::string> keys = texts(node, key);
  for (const std::string& source : keys) {
    places.insert_or_assign(source, place(node.position));
  }
  return keys;
}

void FileReader::unknown_key(const YamlNode::Entry& entry, std::string_view where, std::span<const std::string> known) {
  const auto nearest = nearest_name(entry.key, known);
  error(entry.key_position, fmt::format("unknown key \"{}\" in {}; {}", entry.key, where,
                                        nearest ? fmt::format("did you mean \"{}\"?", *nearest)
                                                : fmt::format("known are {}", join(known, ", "))));
}

}  // namespace busbar::chip::internal
