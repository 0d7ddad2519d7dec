#include "sim/internal/plot.h"

#include <algorithm>
#include <array>
#include <cmath>

#include <fmt/format.h>

namespace busbar::sim::internal {
namespace {

constexpr double kWidth = 960;
constexpr double kHeight = 260;
constexpr double kLeft = 52;
constexpr double kRight = 12;
constexpr double kTop = 18;
constexpr double kBottom = 34;
constexpr int kGridLines = 4;

// Distinct for most kinds of colour blindness (Okabe and Ito's set), readable on light and dark.
constexpr std::array<std::string_view, 8> kColours = {"#0072b2", "#d55e00", "#009e73", "#cc79a7",
                                                      "#e69f00", "#56b4e9", "#7a68c8", "#8c8c8c"};

std::string_view colour_of(std::size_t index) {
  return kColours[index % kColours.size()];
}

double plot_width() {
  return kWidth - kLeft - kRight;
}
double plot_height() {
  return kHeight - kTop - kBottom;
}
double y_of(double value, double top) {
  return kTop + plot_height() * (1 - std::clamp(value / top, 0.0, 1.0));
}

template <class Item>
std::string legend(std::span<const Item> items) {
  std::string text = "<div class=\"legend\">";
  for (std::size_t i = 0; i < items.size(); ++i) {
    text += fmt::format("<span><i style=\"background:{}\"></i>{}</span>", colour_of(i), escape_html(items[i].name));
  }
  return text + "</div>";
}

std::string frame(double top, std::string_view y_unit) {
  std::string text = fmt::format("<svg viewBox=\"0 0 {} {}\" role=\"img\">", kWidth, kHeight);
  for (int i = 0; i <= kGridLines; ++i) {
    const double value = top * i / kGridLines;
    const double y = y_of(value, top);
    text += fmt::format("<line class=\"{}\" x1=\"{}\" x2=\"{}\" y1=\"{:.1f}\" y2=\"{:.1f}\"/>",
                        i == 0 ? "axis" : "grid", kLeft, kWidth - kRight, y, y);
    text += fmt::format("<text x=\"{}\" y=\"{:.1f}\" text-anchor=\"end\">{:.4g}</text>", kLeft - 6, y + 4, value);
  }
  return text + fmt::format("<text x=\"{}\" y=\"11\">{}</text>", kLeft, y_unit);
}

}  // namespace

std::string escape_html(std::string_view text) {
  std::string safe;
  for (const char c : text) {
    switch (c) {
      case '&':
        safe += "&amp;";
        break;
      case '<':
        safe += "&lt;";
        break;
      case '>':
        safe += "&gt;";
        break;
      case '"':
        safe += "&quot;";
        break;
      default:
        safe += c;
    }
  }
  return safe;
}

double round_up(double value) {
  if (!std::isfinite(value) || value <= 0) {
    return 1;
  }
  const double power = std::pow(10, std::floor(std::log10(value)));
  for (const double step : {1.0, 2.0, 2.5, 5.0}) {
    if (value <= step * power * (1 + 1e-9)) {
      return step * power;
    }
  }
  return 10 * power;
}

std::string plot_lines(std::span<const Line> lines, const Axes& axes) {
  double right = 0;
  double highest = 0;
  for (const Line& line : lines) {
    for (const auto& [x, y] : line.points) {
      right = std::max(right, x);
      highest = std::max(highest, y);
    }
  }
  const double top = axes.top > 0 ? axes.top : round_up(highest);
  right = right > 0 ? right : 1;
  std::string text = frame(top, axes.y_unit);
  const double step = round_up(right / 8);
  for (double x = 0; x <= right; x += step) {
    text += fmt::format("<text x=\"{:.1f}\" y=\"{}\" text-anchor=\"middle\">{:.4g}</text>",
                        kLeft + plot_width() * x / right, kHeight - 16, x);
  }
  text +=
      fmt::format("<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>", kWidth - kRight, kHeight - 3, axes.x_unit);
  for (std::size_t i = 0; i < lines.size(); ++i) {
    text += fmt::format(
        "<polyline fill=\"none\" stroke=\"{}\" stroke-width=\"1.5\" stroke-linejoin=\"round\" points=\"", colour_of(i));
    for (const auto& [x, y] : lines[i].points) {
      if (std::isfinite(y)) {
        text += fmt::format("{:.1f},{:.1f} ", kLeft + plot_width() * x / right, y_of(y, top));
      }
    }
    text += "\"/>";
  }
  return text + "</svg>" + legend(lines);
}

std::string plot_bars(std::span<const std::string> groups, std::span<const Bars> bars) {
  double highest = 0;
  for (const Bars& one : bars) {
    for (const double value : one.values) {
      highest = std::isfinite(value) ? std::max(highest, value) : highest;
    }
  }
  const double top = round_up(highest);
  std::string text = frame(top, "hours");
  const double group_width = plot_width() / static_cast<double>(std::max<std::size_t>(groups.size(), 1));
  const double bar_width = group_width * 0.8 / static_cast<double>(std::max<std::size_t>(bars.size(), 1));
  for (std::size_t group = 0; group < groups.size(); ++group) {
    const double left = kLeft + group_width * static_cast<double>(group);
    for (std::size_t i = 0; i < bars.size(); ++i) {
      if (group >= bars[i].values.size() || !std::isfinite(bars[i].values[group])) {
        continue;
      }
      const double y = y_of(bars[i].values[group], top);
      text += fmt::format(
          "<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\" fill=\"{}\"><title>{}: {:.4g} "
          "h</title></rect>",
          left + group_width * 0.1 + bar_width * static_cast<double>(i), y, std::max(bar_width - 1, 1.0),
          kTop + plot_height() - y, colour_of(i), escape_html(bars[i].name), bars[i].values[group]);
    }
    text += fmt::format("<text x=\"{:.1f}\" y=\"{}\" text-anchor=\"middle\">{}</text>", left + group_width / 2,
                        kHeight - 16, escape_html(groups[group]));
  }
  return text + "</svg>" + legend(bars);
}

}  // namespace busbar::sim::internal
