#pragma once

#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

/// Plots as SVG text with a legend below. Pure; numbers that are not finite are left out.
namespace busbar::sim::internal {

std::string escape_html(std::string_view text);

struct Line {
  std::string name = {};
  std::vector<std::pair<double, double>> points = {};  ///< x ascending.
};
struct Axes {
  std::string_view x_unit = {};
  std::string_view y_unit = {};
  double top = 0;  ///< Of the y axis; 0: from the values.
};
std::string plot_lines(std::span<const Line> lines, const Axes& axes);

struct Bars {
  std::string name = {};
  std::vector<double> values = {};  ///< One a group.
};
/// Groups of bars side by side; the y axis starts at 0.
std::string plot_bars(std::span<const std::string> groups, std::span<const Bars> bars);

/// The smallest of 1, 2, 2.5, 5 times a power of ten that is at least the value; 1 for nothing.
double round_up(double value);

}  // namespace busbar::sim::internal
