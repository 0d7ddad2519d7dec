#include "cli/serve.h"

#include <fmt/format.h>
#include <poll.h>

#include <algorithm>
#include <utility>

#include "base/text.h"
#include "cli/table.h"
#include "cli/verb_tools.h"
#include "model/spec_text.h"
#include "net/http.h"

namespace busbar::cli {
namespace {

constexpr int kLookEveryMs = 100;
/// Replicas that ended so often in a row will not get better by waiting.
constexpr std::uint32_t kHopelessFailures = 3;

Style style_of(const std::string& state) {
  if (state == "ready") return Style::kGreen;
  if (state == "failing" || state == "unready") return Style::kRed;
  if (state == "idle" || state == "stopping" || state == "draining" || state == "deleting") return Style::kDim;
  return Style::kYellow;
}

bool is_settled(const api::ServiceStatus& service) {
  return service.updating_from == 0 && service.ready >= service.desired;
}

std::string replicas_text(const api::ServiceStatus& service) {
  return fmt::format("{}/{} of {}", service.ready, service.desired,
                     model::format_nodes(service.min_replicas, service.max_replicas));
}

std::string rate_text(double per_second) {
  return per_second == 0 ? "0" : human_number(per_second);
}

}  // namespace

std::string services_table(const std::vector<api::ServiceStatus>& services, const Look& look) {
  Table table({{.title = "NAME"},
               {.title = "STATE"},
               {.title = "READY"},
               {.title = "REVISION", .rank = 4, .align = kRight},
               {.title = "REQ/S", .rank = 1, .align = kRight},
               {.title = "RUNNING", .rank = 2, .align = kRight},
               {.title = "WAITING", .rank = 2, .align = kRight},
               {.title = "START", .rank = 5, .align = kRight},
               {.title = "ERROR", .rank = 3}});
  for (const api::ServiceStatus& service : services) {
    const std::string revision = service.updating_from == 0
                                     ? std::to_string(service.revision)
                                     : fmt::format("{} -> {}", service.updating_from, service.revision);
    table.add({service.name, Cell(service.state, style_of(service.state)), replicas_text(service), revision,
               rate_text(service.requests_per_second), std::to_string(service.running), std::to_string(service.waiting),
               service.start_ms == 0 ? "-" : format_duration_ms(service.start_ms), service.last_error});
  }
  std::string text = table.render({.width = look.width, .has_colour = look.has_colour});
  for (const api::ServiceStatus& service : services) {
    if (service.warning.empty()) continue;
    text +=
        paint(fmt::format("{}: ", service.name), Style::kYellow, look.has_colour) + printable(service.warning) + "\n";
  }
  return text;
}

std::string describe_service(const api::ServiceStatus& service, const Look& look) {
  const auto line = [&look](std::string_view title, const std::string& value) {
    return paint(fmt::format("{:<12}", title), Style::kBold, look.has_colour) + printable(value) + "\n";
  };
  std::string text = line("service", service.name);
  text += line("state", service.state);
  text += line("replicas", fmt::format("{} ready, {} wanted of {}", service.ready, service.desired,
                                       model::format_nodes(service.min_replicas, service.max_replicas)));
  text += line(
      "revision",
      fmt::format("{}{}{}", service.revision,
                  service.updating_from == 0 ? "" : fmt::format(", while {} still serves", service.updating_from),
                  service.previous_revision == 0 ? "" : fmt::format(" (rollback: {})", service.previous_revision)));
  text += line("requests",
               fmt::format("{}/s, {} running, {} waiting; {} at once a replica", rate_text(service.requests_per_second),
                           service.running, service.waiting, service.target));
  text += line("url", service.url);
  if (!service.hosts.empty()) text += line("hosts", join(service.hosts, ", "));
  if (!service.models.empty()) text += line("models", join(service.models, ", "));
  if (service.start_ms != 0) text += line("starts in", format_duration_ms(service.start_ms));
  text += line("by", fmt::format("{}, queue {}, changed {}", service.user, service.queue,
                                 time_ago(service.changed_ms, look.now_ms)));
  if (!service.last_error.empty()) text += line("last error", service.last_error);
  if (!service.warning.empty()) text += line("warning", service.warning);
  if (service.replicas.empty()) return text;
  Table table({{.title = "REPLICA"},
               {.title = "JOB", .align = kRight},
               {.title = "STATE"},
               {.title = "REVISION", .rank = 3, .align = kRight},
               {.title = "ADDRESS", .rank = 2},
               {.title = "RUNNING", .rank = 1, .align = kRight},
               {.title = "SINCE", .rank = 4},
               {.title = "DETAIL", .rank = 5}});
  for (const api::ReplicaStatus& replica : service.replicas) {
    table.add({replica.name, replica.job.to_string(), Cell(replica.state, style_of(replica.state)),
               std::to_string(replica.revision), replica.address.empty() ? "-" : replica.address,
               std::to_string(replica.running),
               time_ago(replica.ready_ms == 0 ? replica.created_ms : replica.ready_ms, look.now_ms), replica.detail});
  }
  return text + "\n" + table.render({.width = look.width, .has_colour = look.has_colour});
}

std::string service_line(const api::ServiceStatus& service) {
  const std::string what = service.updating_from != 0 ? fmt::format("updating from {}, ", service.updating_from) : "";
  const std::string why = service.state == "failing" ? ": " + service.last_error : "";
  return printable(fmt::format("service {} revision {}: {}{} of {} ready{}", service.name, service.revision, what,
                               service.ready, service.desired, why));
}

std::string how_to_reach(const api::ServiceStatus& service) {
  std::string text = service.desired == 0 ? fmt::format("service {} starts at the first request\n", service.name)
                                          : fmt::format("service {} is ready\n", service.name);
  text += fmt::format("  {}\n", service.url);
  for (const std::string& host : service.hosts) text += fmt::format("  also as host {}\n", host);
  for (const std::string& model : service.models) text += fmt::format("  also as model {}\n", model);
  return text;
}

Result<int> follow_service(Context& context, api::ServiceStatus service) {
  TRY_ASSIGN(ApiClient * client, context.client());
  const std::string target = "/v1/services/" + net::percent_encode(service.name);
  const std::uint32_t revision = service.revision;
  std::string last;
  while (true) {
    const std::string line = service_line(service);
    if (std::exchange(last, line) != line) context.note(line);
    if (service.revision != revision) {
      return make_error(ErrorCode::kUnavailable,
                        fmt::format("service \"{}\" went to revision {}: {}", service.name, service.revision,
                                    service.last_error.empty() ? "somebody else changed it" : service.last_error));
    }
    if (is_settled(service)) break;
    if (service.failures >= kHopelessFailures) {
      return make_error(ErrorCode::kUnavailable,
                        fmt::format("service \"{}\" does not get ready: {}; busbar logs {} may say why", service.name,
                                    service.last_error, service.name));
    }
    (void)::poll(nullptr, 0, kLookEveryMs);
    TRY_ASSIGN(const Json answer, client->get(target));
    TRY_ASSIGN(service, read_answer<api::ServiceStatus>(answer));
  }
  context.wants_json() ? context.print_json(api::to_json(service)) : context.out().write(how_to_reach(service));
  return 0;
}

}  // namespace busbar::cli
