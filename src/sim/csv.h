#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace busbar::sim {

/// Rows of a CSV text (RFC 4180, but no line feeds inside quotes) whose first line names the columns.
///
/// Every error names input and line: `philly.csv:17: column duration: "x" is no number`. Borrows the text. Lines end in
/// LF or CRLF; empty lines are passed over. Cost: one pass.
class CsvReader {
 public:
  static Result<CsvReader> open(std::string name, std::string_view text);

  /// Goes to the next row; false at the end. A row needs as many fields as there are columns.
  Result<bool> next();

  bool has_column(std::string_view column) const;
  /// Number of a column that the format needs.
  Result<std::size_t> column(std::string_view column) const;

  /// Of the current row.
  std::string_view text(std::size_t column) const { return fields_[column]; }
  /// A whole number within the bounds.
  Result<std::int64_t> integer(std::size_t column, std::int64_t least, std::int64_t most) const;
  /// A decimal number times 1000, within the bounds (of the product); digits after the third are cut off.
  Result<std::int64_t> thousandths(std::size_t column, std::int64_t least, std::int64_t most) const;

  /// An error at the current line.
  tl::unexpected<Error> error(std::string_view message) const;
  tl::unexpected<Error> field_error(std::size_t column, std::string_view what) const;

 private:
  CsvReader(std::string name, std::string_view text) : name_(std::move(name)), rest_(text) {}
  bool read_line();
  Result<void> split_line();

  std::string name_;
  std::string_view rest_;
  std::string_view line_;
  int line_number_ = 0;
  std::vector<std::string> columns_;
  std::vector<std::string> fields_;
};

}  // namespace busbar::sim
