#include "sim/csv.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/text.h"

namespace busbar::sim {
namespace {

constexpr std::size_t kMaxColumns = 256;
constexpr std::size_t kShownBytes = 40;

/// What a person can make sense of in a terminal: the beginning, without control characters.
std::string shown(std::string_view field) {
  std::string text(field.substr(0, kShownBytes));
  std::ranges::replace_if(text, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }, '?');
  return field.size() > kShownBytes ? text + "..." : text;
}

}  // namespace

Result<CsvReader> CsvReader::open(std::string name, std::string_view text) {
  CsvReader reader(std::move(name), text);
  if (!reader.read_line()) {
    return make_error(ErrorCode::kInvalidArgument,
                      reader.name_ + ":1: the file is empty; a line of column names is due");
  }
  TRY(reader.split_line());
  for (std::string& column : reader.fields_) {
    column = std::string(trim(column));
  }
  reader.columns_ = std::move(reader.fields_);
  reader.fields_.clear();
  return reader;
}

bool CsvReader::read_line() {
  while (!rest_.empty()) {
    const std::size_t end = rest_.find('\n');
    line_ = rest_.substr(0, end);
    rest_ = end == std::string_view::npos ? std::string_view() : rest_.substr(end + 1);
    ++line_number_;
    if (line_.ends_with('\r')) {
      line_.remove_suffix(1);
    }
    if (!line_.empty()) {
      return true;
    }
  }
  return false;
}

Result<void> CsvReader::split_line() {
  fields_.clear();
  std::size_t at = 0;
  while (true) {
    std::string field;
    if (at < line_.size() && line_[at] == '"') {
      ++at;
      while (true) {
        const std::size_t quote = line_.find('"', at);
        if (quote == std::string_view::npos) {
          return error("a quoted field does not end on its line");
        }
        field.append(line_.substr(at, quote - at));
        at = quote + 1;
        if (at >= line_.size() || line_[at] != '"') {
          break;
        }
        field.push_back('"');
        ++at;
      }
      if (at < line_.size() && line_[at] != ',') {
        return error("after a quoted field a comma is due");
      }
    } else {
      const std::size_t comma = std::min(line_.find(',', at), line_.size());
      field = line_.substr(at, comma - at);
      at = comma;
    }
    fields_.push_back(std::move(field));
    if (fields_.size() > kMaxColumns) {
      return error(fmt::format("more than {} columns", kMaxColumns));
    }
    if (at >= line_.size()) {
      return {};
    }
    ++at;
  }
}

Result<bool> CsvReader::next() {
  if (!read_line()) {
    return false;
  }
  TRY(split_line());
  if (fields_.size() != columns_.size()) {
    return error(fmt::format("{} fields, the head line names {} columns", fields_.size(), columns_.size()));
  }
  return true;
}

bool CsvReader::has_column(std::string_view column) const {
  return std::ranges::find(columns_, column) != columns_.end();
}

Result<std::size_t> CsvReader::column(std::string_view column) const {
  const auto found = std::ranges::find(columns_, column);
  if (found == columns_.end()) {
    return make_error(ErrorCode::kInvalidArgument,
                      fmt::format("{}:1: no column \"{}\"; there are: {}", name_, column, shown(join(columns_, ", "))));
  }
  return static_cast<std::size_t>(found - columns_.begin());
}

Result<std::int64_t> CsvReader::integer(std::size_t column, std::int64_t least, std::int64_t most) const {
  const auto value = parse_int(trim(fields_[column]));
  if (!value || *value < least || *value > most) {
    return field_error(column, fmt::format("is no whole number from {} to {}", least, most));
  }
  return *value;
}

Result<std::int64_t> CsvReader::thousandths(std::size_t column, std::int64_t least, std::int64_t most) const {
  std::string_view rest = trim(fields_[column]);
  const bool is_negative = rest.starts_with('-');
  rest.remove_prefix(is_negative ? 1 : 0);
  const std::size_t point = rest.find('.');
  const std::string_view whole = rest.substr(0, point);
  const std::string_view decimals = point == std::string_view::npos ? std::string_view() : rest.substr(point + 1);
  const auto is_digits = [](std::string_view digits) {
    return std::ranges::all_of(digits, [](char c) { return c >= '0' && c <= '9'; });
  };
  const auto units = whole.empty() || !is_digits(whole) ? std::nullopt : parse_int(whole);
  const bool is_number = units && is_digits(decimals) && (point == std::string_view::npos || !decimals.empty());
  if (!is_number || *units > INT64_MAX / 1000 - 1) {
    return field_error(column, "is no number");
  }
  std::string three(decimals.substr(0, 3));
  three.resize(3, '0');
  const std::int64_t value = (*units * 1000 + *parse_int(three)) * (is_negative ? -1 : 1);
  if (value < least || value > most) {
    return field_error(column, fmt::format("is not between {} and {}", static_cast<double>(least) / 1000,
                                           static_cast<double>(most) / 1000));
  }
  return value;
}

tl::unexpected<Error> CsvReader::error(std::string_view message) const {
  return make_error(ErrorCode::kInvalidArgument, fmt::format("{}:{}: {}", name_, line_number_, message));
}

tl::unexpected<Error> CsvReader::field_error(std::size_t column, std::string_view what) const {
  return error(fmt::format("column {}: \"{}\" {}", shown(columns_[column]), shown(fields_[column]), what));
}

}  // namespace busbar::sim
