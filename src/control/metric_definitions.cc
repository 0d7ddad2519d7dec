#include <array>
#include <string>

#include "control/metrics.h"

namespace busbar::control {

std::span<const MetricDefinition> server_metrics() {
  using enum MetricKind;
  static const std::array kDefinitions = std::to_array<MetricDefinition>({
      {.name = "busbar_api_requests_total", .kind = kCounter, .help = "Requests that reached the API's handlers."},
      {.name = "busbar_api_unauthenticated_total",
       .kind = kCounter,
       .help = "Requests refused because they had no token or an unknown one."},
      {.name = "busbar_control_commit_failures_total",
       .kind = kCounter,
       .help = "Transactions that the store refused; each is tried again."},
      {.name = "busbar_control_commit_seconds", .kind = kHistogram, .help = "Time to commit one batch of changes."},
      {.name = "busbar_control_degraded",
       .kind = kGauge,
       .help = "1 while the server cannot write its state and refuses changes."},
      {.name = "busbar_control_jobs", .kind = kGauge, .help = "Jobs that are not over, by state."},
      {.name = "busbar_control_journal_sequence", .kind = kGauge, .help = "Number of the journal's last record."},
      {.name = "busbar_sched_cards", .kind = kGauge, .help = "Cards of all nodes."},
      {.name = "busbar_sched_cards_used", .kind = kGauge, .help = "Cards placed to jobs, in whole cards."},
  });
  return kDefinitions;
}

std::string metrics_reference() {
  std::string text = "| metric | kind | what it is |\n|---|---|---|\n";
  for (const MetricDefinition& metric : server_metrics()) {
    const char* kind = metric.kind == MetricKind::kCounter ? "counter"
                       : metric.kind == MetricKind::kGauge ? "gauge"
                                                           : "histogram";
    text += "| `" + metric.name + "` | " + kind + " | " + metric.help + " |\n";
  }
  return text;
}

}  // namespace busbar::control
