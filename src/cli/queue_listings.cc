#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"
#include "base/units.h"
#include "cli/describe.h"
#include "cli/table.h"
#include "model/queue.h"

// Queues and what was used of them, as text.
namespace busbar::cli {

namespace {

/// "64,H100=8" of the API's numbers; "-" if nothing is said.
std::string amounts_text(std::int64_t all, const std::vector<std::pair<std::string, std::int64_t>>& by_chip) {
  model::CardAmounts amounts{.all = {all}};
  for (const auto& [chip, milli] : by_chip) {
    amounts.chips.emplace_back(chip, MilliCards{milli});
  }
  return amounts.is_given() ? model::format_card_amounts(amounts) : "-";
}

std::string percent_text(std::int64_t ppm) {
  return fmt::format("{}.{} %", ppm / 10'000, ppm / 1'000 % 10);
}

void add_queues_below(Table& table, const std::vector<api::QueueStatus>& queues, const std::string& parent, int depth) {
  for (const api::QueueStatus& queue : queues) {
    const bool has_parent =
        std::ranges::any_of(queues, [&](const api::QueueStatus& other) { return other.name == queue.parent; });
    if ((has_parent ? queue.parent : "") != parent) {
      continue;
    }
    table.add({std::string(static_cast<std::size_t>(2 * depth), ' ') + queue.name,
               amounts_text(queue.guarantee_milli_cards, queue.guarantee_by_chip),
               amounts_text(queue.limit_milli_cards, queue.limit_by_chip), format_milli(queue.used_milli_cards),
               format_milli(queue.borrowed_milli_cards), percent_text(queue.share_ppm),
               percent_text(queue.past_share_ppm), std::to_string(queue.weight), std::to_string(queue.running_jobs),
               std::to_string(queue.queued_jobs), std::to_string(queue.priority)});
    add_queues_below(table, queues, queue.name, depth + 1);
  }
}

/// Thousandths of a card x ms as card-hours with two decimals.
std::string card_hours(std::int64_t milli_card_ms) {
  const std::int64_t hundredths = milli_card_ms / 36'000'000;
  return fmt::format("{}.{:02}", hundredths / 100, hundredths % 100);
}

std::string csv_field(const std::string& text) {
  if (text.find_first_of(",\"\n") == std::string::npos) {
    return text;
  }
  std::string quoted = "\"";
  for (const char c : text) {
    quoted += c == '"' ? "\"\"" : std::string(1, c);
  }
  return quoted + "\"";
}

std::string render(const Table& table, const Look& look) {
  return table.render({.width = look.width, .has_colour = look.has_colour});
}

}  // namespace

std::string queues_table(const std::vector<api::QueueStatus>& queues, const Look& look) {
  Table table({{.title = "NAME"},
               {.title = "GUARANTEE", .rank = 1, .align = kRight},
               {.title = "LIMIT", .rank = 1, .align = kRight},
               {.title = "USED", .align = kRight},
               {.title = "BORROWED", .rank = 2, .align = kRight},
               {.title = "SHARE", .rank = 3, .align = kRight},
               {.title = "PAST", .rank = 5, .align = kRight},
               {.title = "WEIGHT", .rank = 6, .align = kRight},
               {.title = "RUNNING", .align = kRight},
               {.title = "QUEUED", .align = kRight},
               {.title = "PRIORITY", .rank = 7, .align = kRight}});
  add_queues_below(table, queues, "", 0);
  return render(table, look);
}

std::string queue_diff_text(const api::QueueDiff& diff, const Look& look) {
  std::string text = queues_table(diff.after, look) + "\n";
  if (diff.jobs.empty()) {
    return text + "No job would start or stop.\n";
  }
  Table table({{.title = "JOB", .align = kRight},
               {.title = "NAME", .rank = 1},
               {.title = "QUEUE", .rank = 3},
               {.title = "CHANGE"},
               {.title = "WHY", .rank = 2, .least_width = 24}});
  for (const api::JobChange& change : diff.jobs) {
    table.add({change.job.to_string(), change.name, change.queue, change.change, change.text});
  }
  return text + render(table, look);
}

std::string usage_table(const api::UsageList& usage, const Look& look) {
  const bool has_jobs = std::ranges::any_of(usage.rows, [](const auto& row) { return row.job.is_valid(); });
  Table table({{.title = "QUEUE"},
               {.title = "USER"},
               {.title = has_jobs ? "JOB" : "JOBS", .align = kRight},
               {.title = "NAME", .rank = 1},
               {.title = "ALLOCATED", .align = kRight},
               {.title = "BUSY", .align = kRight},
               {.title = "LOST", .align = kRight}});
  const auto or_dash = [](const std::string& cell) { return cell.empty() ? std::string("-") : cell; };
  for (const api::UsageRow& row : usage.rows) {
    table.add({or_dash(row.queue), or_dash(row.user), has_jobs ? row.job.to_string() : std::to_string(row.jobs),
               or_dash(row.name), card_hours(row.allocated_milli_card_ms), card_hours(row.busy_milli_card_ms),
               card_hours(row.lost_milli_card_ms)});
  }
  return render(table, look);
}

std::string usage_csv(const api::UsageList& usage) {
  std::string text = "queue,user,job,name,jobs,allocated_card_hours,busy_card_hours,lost_card_hours\n";
  for (const api::UsageRow& row : usage.rows) {
    text += fmt::format("{},{},{},{},{},{},{},{}\n", csv_field(row.queue), csv_field(row.user),
                        row.job.is_valid() ? row.job.to_string() : "", csv_field(row.name), row.jobs,
                        card_hours(row.allocated_milli_card_ms), card_hours(row.busy_milli_card_ms),
                        card_hours(row.lost_milli_card_ms));
  }
  return text;
}

}  // namespace busbar::cli
