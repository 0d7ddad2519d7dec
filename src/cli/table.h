#pragma once

#include <string>
#include <vector>

#include "cli/output.h"

namespace busbar::cli {

struct Column {
  enum class Align { kLeft, kRight };
  std::string title = {};
  /// 0: always shown whole. Else the column with the highest rank is shortened first, then left out.
  int rank = 0;
  Align align = Align::kLeft;
  /// A shortened column keeps at least this many columns, or its title if that is longer.
  int least_width = 8;
};
inline constexpr Column::Align kRight = Column::Align::kRight;

struct Cell {
  std::string text = {};
  Style style = Style::kPlain;
  Cell() = default;
  Cell(std::string cell_text, Style cell_style = Style::kPlain) : text(std::move(cell_text)), style(cell_style) {}
  Cell(const char* cell_text) : text(cell_text) {}
};

/// Text in columns, two spaces apart, with a head line. Cells are made printable. A plain value.
class Table {
 public:
  explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}

  /// CHECKs that there is one cell a column.
  void add(std::vector<Cell> cells);
  bool is_empty() const { return rows_.empty(); }

  struct Look {
    int width = 0;  ///< 0: no limit, nothing is shortened.
    bool has_colour = false;
    int indent = 0;
  };
  /// Lines with line feeds and without spaces at their ends. Wider than `width` only by columns of rank 0.
  std::string render(const Look& look) const;

 private:
  std::vector<int> natural_widths() const;

  std::vector<Column> columns_;
  std::vector<std::vector<Cell>> rows_;
};

}  // namespace busbar::cli
