#include <array>
#include <string>

#include "control/metrics.h"

namespace busbar::control {

std::span<const MetricDefinition> server_metrics() {
  using enum MetricKind;
  static const std::array kDefinitions = std::to_array<MetricDefinition>({
      {.name = "busbar_api_answer_seconds",
       .kind = kHistogram,
       .help = "Time from a request's last byte to the beginning of its answer, by route class.",
       .lowest = 1e-5,
       .decades = 7},
      {.name = "busbar_api_requests_total",
       .kind = kCounter,
       .help =
           "Requests that reached the API's handlers, by route class and status class (1xx: a terminal's upgrade)."},
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
      {.name = "busbar_control_forgotten_jobs_total",
       .kind = kCounter,
       .help = "Ended jobs whose logs and files were deleted to keep within the limits."},
      {.name = "busbar_control_jobs", .kind = kGauge, .help = "Jobs that are not over, by state."},
      {.name = "busbar_control_journal_sequence", .kind = kGauge, .help = "Number of the journal's last record."},
      {.name = "busbar_control_kept_bytes", .kind = kGauge, .help = "Room that logs and files of ended jobs take."},
      {.name = "busbar_control_kept_jobs", .kind = kGauge, .help = "Ended jobs whose logs and files are there."},
      {.name = "busbar_control_replicas", .kind = kGauge, .help = "Replicas of services, by phase."},
      {.name = "busbar_control_services", .kind = kGauge, .help = "Services."},
      {.name = "busbar_logs_gaps_total",
       .kind = kCounter,
       .help = "Log files that were rotated away before a client that follows them had them."},
      {.name = "busbar_logs_lines_total", .kind = kCounter, .help = "Lines of jobs' output sent to clients."},
      {.name = "busbar_logs_polled_directories",
       .kind = kGauge,
       .help = "Log directories that are looked at four times a second because the kernel gave no watch for them."},
      {.name = "busbar_logs_streams", .kind = kGauge, .help = "Clients that are being sent logs."},
      {.name = "busbar_net_accept_errors_total",
       .kind = kCounter,
       .help = "Times that accepting paused because the process or the machine was out of descriptors or memory."},
      {.name = "busbar_net_connections", .kind = kGauge, .help = "Open connections, terminals and streams included."},
      {.name = "busbar_net_connections_refused_total",
       .kind = kCounter,
       .help = "Connections closed with 503 because too many were open."},
      {.name = "busbar_net_connections_total", .kind = kCounter, .help = "Connections accepted."},
      {.name = "busbar_net_requests_refused_total",
       .kind = kCounter,
       .help = "Requests refused before they reached the API: malformed, too big, too slow, or for another host."},
      {.name = "busbar_sched_cards", .kind = kGauge, .help = "Cards of all nodes."},
      {.name = "busbar_sched_cards_used", .kind = kGauge, .help = "Cards placed to jobs, in whole cards."},
      {.name = "busbar_sched_reclaim_seconds",
       .kind = kHistogram,
       .help = "From the decision to take cards from others until the job that they were taken for was placed."},
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
