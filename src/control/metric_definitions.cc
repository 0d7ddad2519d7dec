#include <array>
#include <string>

#include "control/metrics.h"

namespace busbar::control {

std::span<const MetricDefinition> server_metrics() {
  using enum MetricKind;
  static const std::array kDefinitions = std::to_array<MetricDefinition>({
      {.name = "busbar_api_request_seconds",
       .kind = kHistogram,
       .help = "Time from a complete request to its answer, by operation; streams are not counted."},
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
      {.name = "busbar_logs_gaps_total",
       .kind = kCounter,
       .help = "Log files rotated away before a client had been sent all of them."},
      {.name = "busbar_logs_lines_total", .kind = kCounter, .help = "Lines of tasks' output sent to clients."},
      {.name = "busbar_logs_polled_directories",
       .kind = kGauge,
       .help = "Log directories that are polled because the kernel gave no inotify watch."},
      {.name = "busbar_logs_streams", .kind = kGauge, .help = "Clients that read logs now."},
      {.name = "busbar_net_connections", .kind = kGauge, .help = "Open connections of the API's listener."},
      {.name = "busbar_net_connections_refused_total",
       .kind = kCounter,
       .help = "Connections closed because there were too many."},
      {.name = "busbar_net_connections_total", .kind = kCounter, .help = "Connections accepted since start."},
      {.name = "busbar_net_requests_refused_total",
       .kind = kCounter,
       .help = "Requests answered 4xx or 5xx before a handler saw them."},
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
