#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"
#include "cli/describe.h"
#include "cli/progress.h"
#include "cli/table.h"

namespace busbar::cli {
namespace {

std::string render(const Table& table, const Look& look) {
  return table.render({.width = look.width, .has_colour = look.has_colour});
}

/// How far it is, or what it waits for, or how it ended.
std::string remark(const api::JobStatus& job) {
  if (model::is_terminal(job.state)) {
    return job.state == model::JobState::kSucceeded ? "" : job_ending(job);
  }
  if (job.state != model::JobState::kRunning) {
    return job.reason;
  }
  std::string text = progress_text(job.progress);
  if (const auto percent = progress_percent(job.progress)) {
    text = fmt::format("{} %, {}", *percent, text);
  }
  return text;
}

/// How long it has run, or did.
std::string run_time(const api::JobStatus& job, TimeMs now_ms) {
  if (job.started_ms == 0) {
    return "-";
  }
  return format_duration_ms(std::max<std::int64_t>(0, (job.ended_ms != 0 ? job.ended_ms : now_ms) - job.started_ms));
}

std::string job_ids(const std::vector<model::JobId>& jobs) {
  std::vector<std::string> ids;
  for (const model::JobId job : jobs) {
    ids.push_back(job.to_string());
  }
  return ids.empty() ? "-" : join(ids, ",");
}

std::string dash_if_empty(std::string text) {
  return text.empty() ? "-" : text;
}

Style node_style(std::string_view state) {
  return state == "ready" ? Style::kGreen : state == "drained" ? Style::kYellow : Style::kRed;
}

/// "4 cpu, 8 H100" with how many milli-cards of them are in use.
std::string cards_of_node(const api::NodeStatus& node) {
  std::vector<std::pair<std::string, int>> counts;
  for (const api::CardStatus& card : node.cards) {
    auto found = std::ranges::find(counts, card.chip, &std::pair<std::string, int>::first);
    if (found == counts.end()) {
      counts.emplace_back(card.chip, 1);
    } else {
      ++found->second;
    }
  }
  std::vector<std::string> texts;
  for (const auto& [chip, count] : counts) {
    texts.push_back(fmt::format("{} {}", count, chip));
  }
  return dash_if_empty(join(texts, ", "));
}

}  // namespace

Style state_style(model::JobState state) {
  switch (state) {
    case model::JobState::kQueued:
      return Style::kYellow;
    case model::JobState::kBlocked:
      return Style::kRed;
    case model::JobState::kStarting:
    case model::JobState::kStopping:
      return Style::kCyan;
    case model::JobState::kRunning:
      return Style::kGreen;
    case model::JobState::kSucceeded:
      return Style::kDim;
    case model::JobState::kFailed:
      return Style::kRed;
    case model::JobState::kCancelled:
      return Style::kDim;
  }
  return Style::kPlain;
}

std::string job_title(const api::JobStatus& job) {
  std::string title = job.id.to_string() + " " + job.name;
  return job.array_index ? fmt::format("{}[{}]", title, *job.array_index) : title;
}

std::string jobs_table(const std::vector<api::JobStatus>& jobs, const Look& look) {
  Table table({{.title = "ID", .align = kRight},
               {.title = "NAME", .rank = 1},
               {.title = "USER", .rank = 5},
               {.title = "QUEUE", .rank = 6},
               {.title = "STATE"},
               {.title = "CARDS", .rank = 2},
               {.title = "TIME", .align = kRight},
               {.title = "SUBMITTED", .rank = 4},
               {.title = "NODES", .rank = 7},
               {.title = "REMARK", .rank = 3, .least_width = 24}});
  for (const api::JobStatus& job : jobs) {
    table.add({job.id.to_string(), job.array_index ? fmt::format("{}[{}]", job.name, *job.array_index) : job.name,
               job.user, job.queue, Cell(std::string(model::job_state_name(job.state)), state_style(job.state)),
               dash_if_empty(job.cards), run_time(job, look.now_ms), time_ago(job.submitted_ms, look.now_ms),
               dash_if_empty(join(job.node_names, ",")), remark(job)});
  }
  return render(table, look);
}

std::string nodes_table(const std::vector<api::NodeStatus>& nodes, const Look& look) {
  Table table({{.title = "NAME"},
               {.title = "STATE"},
               {.title = "CARDS", .rank = 1},
               {.title = "IN USE", .align = kRight},
               {.title = "CPUS", .rank = 3, .align = kRight},
               {.title = "MEMORY", .rank = 4, .align = kRight},
               {.title = "TASKS", .rank = 2, .align = kRight},
               {.title = "FABRIC", .rank = 5},
               {.title = "LABELS", .rank = 6}});
  for (const api::NodeStatus& node : nodes) {
    std::int64_t used = 0;
    for (const api::CardStatus& card : node.cards) {
      used += card.used_milli;
    }
    std::vector<std::string> labels;
    for (const auto& [name, value] : node.labels) {
      labels.push_back(name + "=" + value);
    }
    table.add({node.name, Cell(node.state, node_style(node.state)), cards_of_node(node), format_milli(used),
               format_milli(node.milli_cpus), format_bytes({node.memory_bytes}), std::to_string(node.running_tasks),
               dash_if_empty(join(node.fabric, "/")), dash_if_empty(join(labels, ","))});
  }
  return render(table, look);
}

std::string cards_table(const std::vector<api::CardStatus>& cards, const Look& look) {
  Table table({{.title = "NODE"},
               {.title = "CARD", .align = kRight},
               {.title = "CHIP"},
               {.title = "IN USE", .align = kRight},
               {.title = "JOBS", .rank = 2},
               {.title = "HEALTH", .rank = 1},
               {.title = "MEMORY", .rank = 3, .align = kRight},
               {.title = "NUMA", .rank = 5, .align = kRight},
               {.title = "LINKS", .rank = 6, .align = kRight},
               {.title = "DEVICE", .rank = 4}});
  for (const api::CardStatus& card : cards) {
    table.add({card.node, std::to_string(card.index), card.chip, format_milli(card.used_milli), job_ids(card.jobs),
               Cell(card.health_detail.empty() ? card.health : card.health + ": " + card.health_detail,
                    card.health == "healthy" ? Style::kPlain : Style::kRed),
               card.memory_bytes == 0 ? "-" : format_bytes({card.memory_bytes}),
               card.numa_node < 0 ? "-" : std::to_string(card.numa_node), std::to_string(card.link_group),
               card.device});
  }
  return render(table, look);
}

std::string reservations_table(const std::vector<api::ReservationStatus>& reservations, const Look& look) {
  Table table({{.title = "NAME"},
               {.title = "STATE"},
               {.title = "FROM"},
               {.title = "UNTIL"},
               {.title = "FOR", .rank = 1},
               {.title = "NODES", .rank = 2},
               {.title = "IN THE WAY"}});
  for (const api::ReservationStatus& reservation : reservations) {
    std::vector<std::string> admitted = reservation.users;
    for (const std::string& queue : reservation.queues) {
      admitted.push_back("queue " + queue);
    }
    table.add(
        {reservation.name,
         Cell(reservation.is_active ? "active" : "coming", reservation.is_active ? Style::kYellow : Style::kPlain),
         format_time(reservation.from_ms), format_time(reservation.until_ms),
         admitted.empty() ? "nobody" : join(admitted, ", "), join(reservation.nodes, ","),
         job_ids(reservation.jobs_in_the_way)});
  }
  return render(table, look);
}

std::string secrets_table(const std::vector<api::SecretStatus>& secrets, const Look& look) {
  Table table({{.title = "NAME"}, {.title = "CHANGED"}});
  for (const api::SecretStatus& secret : secrets) {
    table.add({secret.name, time_ago(secret.changed_ms, look.now_ms)});
  }
  return render(table, look);
}

std::string event_line(const api::EventStatus& event, const Look& look) {
  const std::string line =
      fmt::format("{}  {:<6} {:<12} {}", paint(short_time(event.time_ms), Style::kDim, look.has_colour),
                  event.job.is_valid() ? event.job.to_string() : "-", printable(event.kind), printable(event.text));
  return line;
}

}  // namespace busbar::cli
