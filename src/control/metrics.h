#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace busbar::control {

enum class MetricKind { kCounter, kGauge, kHistogram };

/// One family of series. Names: `busbar_<part>_<what>_<unit>`, counters end in `_total`.
struct MetricDefinition {
  std::string name = {};
  MetricKind kind = MetricKind::kCounter;
  std::string help = {};
  /// Histograms: bounds are 1 to 9 times each power of ten from `lowest` on (log-linear, error at most half a bucket).
  double lowest = 1e-6;
  int decades = 9;
};

/// Every metric of the server, with its help: the table of docs/metrics.md.
std::span<const MetricDefinition> server_metrics();
/// The same as a Markdown table.
std::string metrics_reference();

using MetricLabels = std::vector<std::pair<std::string, std::string>>;

/// Counters, gauges and histograms, written in Prometheus' text format 0.0.4. Thread-safe. Cost: a lock and a lookup,
/// well under a microsecond. A family keeps at most `max_series` label sets; further ones are counted together in one
/// whose label values are "other", so that labels made from input cannot fill the memory.
class Metrics {
 public:
  explicit Metrics(std::span<const MetricDefinition> definitions = server_metrics(), std::size_t max_series = 200);
  ~Metrics();
  Metrics(const Metrics&) = delete;
  Metrics& operator=(const Metrics&) = delete;

  // A name without definition makes a family without help. CHECKs that the name fits the call and its definition.
  void add(std::string_view name, std::uint64_t by, const MetricLabels& labels = {});             ///< Counter.
  void set_counter(std::string_view name, std::uint64_t value, const MetricLabels& labels = {});  ///< Kept elsewhere.
  void set(std::string_view name, double value, const MetricLabels& labels = {});                 ///< Gauge.
  void observe(std::string_view name, double value, const MetricLabels& labels = {});             ///< Histogram.

  /// The bound below which a share `quantile` (0..1) of a histogram's observations lies, all labels together; 0 if
  /// none.
  double quantile(std::string_view name, double quantile) const;

  /// Content type "text/plain; version=0.0.4; charset=utf-8".
  std::string render() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace busbar::control
