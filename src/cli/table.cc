#include "cli/table.h"

#include <algorithm>
#include <cstddef>
#include <numeric>

#include "base/check.h"

namespace busbar::cli {
namespace {

constexpr int kGap = 2;

int total_width(const std::vector<int>& widths) {
  int total = 0;
  for (const int width : widths) {
    total += width > 0 ? width + kGap : 0;
  }
  return std::max(0, total - kGap);
}

/// Shortens, then drops (width 0), the columns by falling rank until the row fits; then gives what room is left back to
/// the most important ones.
void fit(std::vector<int>& widths, const std::vector<Column>& columns, int limit) {
  const std::vector<int> natural = widths;
  std::vector<std::size_t> order(columns.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return columns[a].rank > columns[b].rank; });
  for (const std::size_t i : order) {
    const int excess = total_width(widths) - limit;
    if (excess <= 0 || columns[i].rank == 0) {
      break;
    }
    const int least = std::min(widths[i], std::max(columns[i].least_width, display_width(columns[i].title)));
    widths[i] = std::max(least, widths[i] - excess);
  }
  for (const std::size_t i : order) {
    if (total_width(widths) <= limit || columns[i].rank == 0) {
      break;
    }
    widths[i] = 0;
  }
  std::ranges::reverse(order);
  for (const std::size_t i : order) {
    if (widths[i] > 0) {
      widths[i] += std::clamp(limit - total_width(widths), 0, natural[i] - widths[i]);
    }
  }
}

std::string padded(const Cell& cell, const Column& column, int width, bool has_colour) {
  const std::string text = ellipsis(cell.text, width);
  const std::string space(static_cast<std::size_t>(std::max(0, width - display_width(text))), ' ');
  const std::string painted = paint(text, cell.style, has_colour);
  return column.align == Column::Align::kRight ? space + painted : painted + space;
}

}  // namespace

void Table::add(std::vector<Cell> cells) {
  CHECK(cells.size() == columns_.size());
  for (Cell& cell : cells) {
    cell.text = printable(cell.text);
  }
  rows_.push_back(std::move(cells));
}

std::vector<int> Table::natural_widths() const {
  std::vector<int> widths;
  for (std::size_t i = 0; i < columns_.size(); ++i) {
    int width = display_width(columns_[i].title);
    for (const auto& row : rows_) {
      width = std::max(width, display_width(row[i].text));
    }
    widths.push_back(width);
  }
  return widths;
}

std::string Table::render(const Look& look) const {
  std::vector<int> widths = natural_widths();
  if (look.width > 0) {
    fit(widths, columns_, look.width - look.indent);
  }
  std::vector<std::vector<Cell>> lines;
  std::vector<Cell> head;
  for (const Column& column : columns_) {
    head.emplace_back(column.title, Style::kBold);
  }
  lines.push_back(std::move(head));
  lines.insert(lines.end(), rows_.begin(), rows_.end());

  std::string out;
  for (const auto& cells : lines) {
    std::string line(static_cast<std::size_t>(look.indent), ' ');
    bool is_first = true;
    for (std::size_t i = 0; i < cells.size(); ++i) {
      if (widths[i] == 0) {
        continue;
      }
      if (!is_first) {
        line.append(kGap, ' ');
      }
      is_first = false;
      line += padded(cells[i], columns_[i], widths[i], look.has_colour);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    out += line;
    out += '\n';
  }
  return out;
}

}  // namespace busbar::cli
