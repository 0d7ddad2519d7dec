#include "control/metrics.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <mutex>
#include <variant>

#include "base/check.h"

namespace busbar::control {
namespace {

/// Bucket i of a histogram holds observations in (bounds[i - 1], bounds[i]]; the last one has no bound.
struct Histogram {
  std::vector<std::uint64_t> buckets;
  double sum = 0;
  std::uint64_t count = 0;
};
using Value = std::variant<std::uint64_t, double, Histogram>;

struct Family {
  MetricDefinition definition;
  std::vector<double> bounds;
  std::map<MetricLabels, Value> series;
};

/// 1, 2 ... 9 times each power of ten, then one more power. Made from the decimal text, so that 3e-6 is the double that
/// a reader of le="3e-06" gets, and not a product's neighbour.
std::vector<double> log_linear_bounds(double lowest, int decades) {
  std::vector<double> bounds;
  const int first = static_cast<int>(std::lround(std::log10(lowest)));
  for (int decade = 0; decade < decades; ++decade) {
    for (int digit = 1; digit <= 9; ++digit) {
      bounds.push_back(std::strtod(fmt::format("{}e{}", digit, first + decade).c_str(), nullptr));
    }
  }
  bounds.push_back(std::strtod(fmt::format("1e{}", first + decades).c_str(), nullptr));
  return bounds;
}

/// Nine buckets a decade are kept for `quantile`; scrapes get 1, 2 and 5 of each, a third of the text.
bool is_exposed(std::size_t bound) {
  const std::size_t digit = bound % 9 + 1;
  return digit == 1 || digit == 2 || digit == 5;
}

bool is_name(std::string_view text) {
  return !text.empty() && (text.front() < '0' || text.front() > '9') &&
         std::all_of(text.begin(), text.end(),
                     [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_'; });
}

void append_escaped(std::string& out, std::string_view text, bool is_label) {
  for (const char c : text) {
    if (c == '\\') {
      out += "\\\\";
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '"' && is_label) {
      out += "\\\"";
    } else {
      out += c;
    }
  }
}

std::string number(double value) {
  if (std::isnan(value)) {
    return "NaN";
  }
  if (std::isinf(value)) {
    return value > 0 ? "+Inf" : "-Inf";
  }
  return fmt::format("{}", value);
}

void append_line(std::string& out, std::string_view name, const MetricLabels& labels, std::string_view value) {
  out += name;
  for (std::size_t i = 0; i < labels.size(); ++i) {
    out += i == 0 ? '{' : ',';
    out += labels[i].first;
    out += "=\"";
    append_escaped(out, labels[i].second, true);
    out += '"';
  }
  out += labels.empty() ? " " : "} ";
  out += value;
  out += '\n';
}

void append_histogram(std::string& out, const Family& family, const MetricLabels& labels, const Histogram& histogram) {
  const std::string& name = family.definition.name;
  MetricLabels with_bound = labels;
  with_bound.emplace_back("le", "");
  std::uint64_t below = 0;
  for (std::size_t i = 0; i < family.bounds.size(); ++i) {
    below += histogram.buckets[i];
    if (is_exposed(i)) {
      with_bound.back().second = number(family.bounds[i]);
      append_line(out, name + "_bucket", with_bound, std::to_string(below));
    }
  }
  with_bound.back().second = "+Inf";
  append_line(out, name + "_bucket", with_bound, std::to_string(histogram.count));
  append_line(out, name + "_sum", labels, number(histogram.sum));
  append_line(out, name + "_count", labels, std::to_string(histogram.count));
}

std::string_view kind_name(MetricKind kind) {
  switch (kind) {
    case MetricKind::kCounter:
      return "counter";
    case MetricKind::kGauge:
      return "gauge";
    case MetricKind::kHistogram:
      return "histogram";
  }
  return "untyped";
}

}  // namespace

struct Metrics::State {
  Family& family(std::string_view name, MetricKind kind) {
    auto found = families.find(name);
    if (found == families.end()) {
      found = define({.name = std::string(name), .kind = kind});
    }
    CHECK(found->second.definition.kind == kind, name);
    return found->second;
  }

  std::map<std::string, Family, std::less<>>::iterator define(const MetricDefinition& definition) {
    CHECK(is_name(definition.name) && definition.name.starts_with("busbar_"), definition.name);
    CHECK((definition.kind == MetricKind::kCounter) == definition.name.ends_with("_total"), definition.name);
    Family made{.definition = definition, .bounds = {}, .series = {}};
    if (definition.kind == MetricKind::kHistogram) {
      made.bounds = log_linear_bounds(definition.lowest, definition.decades);
    }
    const auto [place, is_new] = families.emplace(definition.name, std::move(made));
    CHECK(is_new, definition.name);
    return place;
  }

  Value& series(Family& in, const MetricLabels& labels) {
    if (const auto found = in.series.find(labels); found != in.series.end()) {
      return found->second;
    }
    MetricLabels key = labels;
    if (in.series.size() >= max_series) {
      for (auto& [label, value] : key) {
        value = "other";
      }
    }
    for (const auto& [label, value] : key) {
      CHECK(is_name(label) && label != "le", label);
    }
    Value zero = std::uint64_t{0};
    if (in.definition.kind == MetricKind::kGauge) {
      zero = 0.0;
    } else if (in.definition.kind == MetricKind::kHistogram) {
      zero = Histogram{.buckets = std::vector<std::uint64_t>(in.bounds.size() + 1)};
    }
    return in.series.try_emplace(std::move(key), std::move(zero)).first->second;
  }

  mutable std::mutex mutex;
  std::size_t max_series = 0;
  std::map<std::string, Family, std::less<>> families;
};

Metrics::Metrics(std::span<const MetricDefinition> definitions, std::size_t max_series)
    : state_(std::make_unique<State>()) {
  state_->max_series = max_series;
  for (const MetricDefinition& definition : definitions) {
    state_->define(definition);
  }
}

Metrics::~Metrics() = default;

void Metrics::add(std::string_view name, std::uint64_t by, const MetricLabels& labels) {
  const std::lock_guard lock(state_->mutex);
  std::get<std::uint64_t>(state_->series(state_->family(name, MetricKind::kCounter), labels)) += by;
}

void Metrics::set_counter(std::string_view name, std::uint64_t value, const MetricLabels& labels) {
  const std::lock_guard lock(state_->mutex);
  std::get<std::uint64_t>(state_->series(state_->family(name, MetricKind::kCounter), labels)) = value;
}

void Metrics::set(std::string_view name, double value, const MetricLabels& labels) {
  const std::lock_guard lock(state_->mutex);
  std::get<double>(state_->series(state_->family(name, MetricKind::kGauge), labels)) = value;
}

void Metrics::observe(std::string_view name, double value, const MetricLabels& labels) {
  const std::lock_guard lock(state_->mutex);
  Family& family = state_->family(name, MetricKind::kHistogram);
  auto& histogram = std::get<Histogram>(state_->series(family, labels));
  const auto bound = std::lower_bound(family.bounds.begin(), family.bounds.end(), value);
  ++histogram.buckets[static_cast<std::size_t>(bound - family.bounds.begin())];
  histogram.sum += value;
  ++histogram.count;
}

double Metrics::quantile(std::string_view name, double quantile) const {
  const std::lock_guard lock(state_->mutex);
  const auto family = state_->families.find(name);
  if (family == state_->families.end() || family->second.definition.kind != MetricKind::kHistogram) {
    return 0;
  }
  const std::vector<double>& bounds = family->second.bounds;
  std::vector<std::uint64_t> all(bounds.size() + 1);
  std::uint64_t count = 0;
  for (const auto& [labels, value] : family->second.series) {
    const auto& histogram = std::get<Histogram>(value);
    std::transform(all.begin(), all.end(), histogram.buckets.begin(), all.begin(), std::plus<>());
    count += histogram.count;
  }
  const auto wanted = static_cast<std::uint64_t>(std::ceil(quantile * static_cast<double>(count)));
  std::uint64_t below = 0;
  for (std::size_t i = 0; i < all.size() && count > 0; ++i) {
    below += all[i];
    if (below >= std::max<std::uint64_t>(wanted, 1)) {
      return bounds[std::min(i, bounds.size() - 1)];
    }
  }
  return 0;
}

std::string Metrics::render() const {
  const std::lock_guard lock(state_->mutex);
  std::string out;
  for (const auto& [name, family] : state_->families) {
    if (family.series.empty()) {
      continue;
    }
    if (!family.definition.help.empty()) {
      out += "# HELP " + name + " ";
      append_escaped(out, family.definition.help, false);
      out += '\n';
    }
    out += fmt::format("# TYPE {} {}\n", name, kind_name(family.definition.kind));
    for (const auto& [labels, value] : family.series) {
      if (const auto* count = std::get_if<std::uint64_t>(&value)) {
        append_line(out, name, labels, std::to_string(*count));
      } else if (const auto* gauge = std::get_if<double>(&value)) {
        append_line(out, name, labels, number(*gauge));
      } else {
        append_histogram(out, family, labels, std::get<Histogram>(value));
      }
    }
  }
  return out;
}

}  // namespace busbar::control
