#include "cli/describe.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string_view>

#include "base/text.h"
#include "cli/progress.h"
#include "cli/table.h"

namespace busbar::cli {
namespace {

constexpr int kBarWidth = 24;

void put(std::string& out, std::string_view name, std::string_view value) {
  if (!value.empty() && value != "-") {
    out += fmt::format("  {:<12}{}\n", name, printable(value));
  }
}

void heading(std::string& out, std::string_view text, const Look& look) {
  out += "\n" + paint(text, Style::kBold, look.has_colour) + "\n";
}

std::string when(TimeMs time_ms, const Look& look) {
  return time_ms == 0 ? "" : fmt::format("{} ({})", short_time(time_ms), time_ago(time_ms, look.now_ms));
}

std::string card_list(const std::vector<std::uint16_t>& cards) {
  std::vector<std::string> texts;
  for (const std::uint16_t card : cards) {
    texts.push_back(std::to_string(card));
  }
  return texts.empty() ? "-" : join(texts, ",");
}

/// Duration between two moments; up to now where the second has not come; "-" where the first has not.
std::string span_text(TimeMs from_ms, TimeMs to_ms, const Look& look) {
  if (from_ms == 0) {
    return "-";
  }
  return format_duration_ms(std::max<std::int64_t>(0, (to_ms != 0 ? to_ms : look.now_ms) - from_ms));
}

/// The next moment of an attempt that came, or its end.
TimeMs first_of(TimeMs next_ms, TimeMs ended_ms) {
  return next_ms != 0 ? next_ms : ended_ms;
}

void attempts(std::string& out, const api::JobStatus& job, const Look& look) {
  if (job.attempts.empty()) {
    return;
  }
  heading(out, "Attempts", look);
  Table table({{.title = "#", .align = Column::Align::kRight},
               {.title = "CHIP", .rank = 2},
               {.title = "WAITED"},
               {.title = "IMAGE"},
               {.title = "START"},
               {.title = "RUN"},
               {.title = "END"},
               {.title = "REASON", .rank = 3}});
  TimeMs waits_since = job.submitted_ms;
  for (const api::AttemptStatus& attempt : job.attempts) {
    table.add({std::to_string(attempt.number), attempt.chip.empty() ? "-" : attempt.chip,
               span_text(waits_since, attempt.placed_ms, look),
               span_text(attempt.placed_ms, first_of(attempt.image_ready_ms, attempt.ended_ms), look),
               span_text(attempt.image_ready_ms, first_of(attempt.started_ms, attempt.ended_ms), look),
               span_text(attempt.started_ms, attempt.ended_ms, look),
               attempt.exit_class.empty() ? "-" : attempt.exit_class, attempt.reason});
    waits_since = attempt.ended_ms;
  }
  out += table.render({.width = look.width, .has_colour = look.has_colour, .indent = 2});
}

void tasks(std::string& out, const api::JobStatus& job, const Look& look) {
  if (job.attempts.empty() || job.attempts.back().tasks.empty()) {
    return;
  }
  const api::AttemptStatus& attempt = job.attempts.back();
  heading(out, fmt::format("Tasks of attempt {}", attempt.number), look);
  Table table({{.title = "RANK", .align = Column::Align::kRight},
               {.title = "NODE"},
               {.title = "CARDS", .rank = 1},
               {.title = "STATE"},
               {.title = "EXIT"},
               {.title = "DETAIL", .rank = 2}});
  std::vector<api::TaskStatus> all = attempt.tasks;
  all.insert(all.end(), attempt.left.begin(), attempt.left.end());
  for (const api::TaskStatus& task : all) {
    std::string exit = task.exit_code ? std::to_string(*task.exit_code) : "-";
    if (!task.exit_class.empty() && task.exit_class != "success") {
      exit += " (" + task.exit_class + ")";
    }
    table.add({std::to_string(task.rank), task.node, card_list(task.cards), task.state, std::move(exit), task.detail});
  }
  out += table.render({.width = look.width, .has_colour = look.has_colour, .indent = 2});
}

/// One line a bucket: card-seconds, share, bar. The sum line is the exact total, not the sum of rounded lines.
void efficiency(std::string& out, const api::JobStatus& job, const Look& look) {
  const api::EfficiencyStatus& account = job.efficiency;
  if (account.total_milli_card_ms <= 0) {
    return;
  }
  constexpr double kMilliCardMsPerCardSecond = 1e6;
  const int decimals = static_cast<double>(account.total_milli_card_ms) < 100 * kMilliCardMsPerCardSecond ? 3 : 1;
  heading(out, "Where the card time went", look);
  for (const auto& [bucket, amount] : account.milli_card_ms) {
    if (amount == 0) {
      continue;
    }
    const double share = static_cast<double>(amount) / static_cast<double>(account.total_milli_card_ms);
    const auto bar = static_cast<std::size_t>(std::lround(std::clamp(share, 0.0, 1.0) * kBarWidth));
    out += fmt::format(
        "  {:<12}{:>12.{}f} card-s {:>5.1f} %  {}\n", printable(bucket),
        static_cast<double>(amount) / kMilliCardMsPerCardSecond, decimals, share * 100,
        paint(std::string(bar, '#'), bucket == "compute" ? Style::kGreen : Style::kYellow, look.has_colour));
    while (out.ends_with(" \n")) {
      out.erase(out.size() - 2, 1);
    }
  }
  out += fmt::format("  {:<12}{:>12.{}f} card-s 100.0 %\n", "total",
                     static_cast<double>(account.total_milli_card_ms) / kMilliCardMsPerCardSecond, decimals);
  if (account.mfu) {
    out += fmt::format("  {:<12}{:.2f} % of the peak ({})\n", "MFU", *account.mfu * 100,
                       printable(account.mfu_denominator));
  }
}

void progress(std::string& out, const api::JobStatus& job) {
  std::string text = progress_text(job.progress);
  if (const auto percent = progress_percent(job.progress)) {
    text += fmt::format(" ({} %)", *percent);
  }
  put(out, "Progress", text);
  std::vector<std::string> metrics;
  for (const auto& [name, value] : job.progress.metrics) {
    metrics.push_back(name + " " + human_number(value));
  }
  put(out, "Metrics", join(metrics, ", "));
  put(out, "Checkpoint", job.progress.last_checkpoint);
  put(out, "Message", job.progress.message);
}

void logs(std::string& out, const api::JobStatus& job, const Look& look) {
  if (job.log_paths.empty() && !job.are_files_deleted) {
    return;
  }
  heading(out, "Logs", look);
  if (job.are_files_deleted) {
    out += fmt::format("  deleted; `busbar events {}` says when and why\n", job.id.value);
  }
  for (const std::string& path : job.log_paths) {
    out += "  " + printable(path) + "\n";
  }
}

/// The effective job in the job file's own words. Nested values stay on one line, as YAML's flow style allows.
void spec(std::string& out, const api::JobStatus& job, const Look& look) {
  if (!job.spec.is_object() || job.spec.members().empty()) {
    return;
  }
  heading(out, "Effective job", look);
  for (const auto& [name, value] : job.spec.members()) {
    if (value.is_string() && value.as_string().find('\n') != std::string::npos) {
      out += fmt::format("  {}: |\n", printable(name));
      for (const std::string_view line : split(trim(value.as_string()), '\n')) {
        out += "    " + printable(line) + "\n";
      }
    } else {
      out +=
          fmt::format("  {}: {}\n", printable(name), printable(value.is_string() ? value.as_string() : value.dump()));
    }
  }
}

std::string title_line(const api::JobStatus& job, const Look& look) {
  return fmt::format("{}  {}\n", paint("Job " + printable(job_title(job)), Style::kBold, look.has_colour),
                     paint(model::job_state_name(job.state), state_style(job.state), look.has_colour));
}

}  // namespace

std::string job_ending(const api::JobStatus& job) {
  if (!model::is_terminal(job.state)) {
    return "";
  }
  std::string text;
  if (job.exit_code) {
    text = fmt::format("exit code {}", *job.exit_code);
    if (!job.exit_class.empty() && job.exit_class != "success") {
      text += " (" + job.exit_class + ")";
    }
  } else {
    text = job.exit_class;
  }
  // Of one task the reason only repeats the exit code.
  const bool is_said = job.exit_class == model::exit_class_name(model::ExitClass::kUser) && job.nodes == 1;
  if (!job.reason.empty() && !is_said) {
    text += (text.empty() ? "" : ", ") + job.reason;
  }
  return text;
}

std::string describe_job(const api::JobStatus& job, const Look& look) {
  std::string out = title_line(job, look);
  put(out, "User", job.user);
  put(out, "Queue", job.priority == 0 ? job.queue : fmt::format("{}, priority {}", job.queue, job.priority));
  put(out, "Type", job.type);
  put(out, "Asks for", job.cards.empty() ? fmt::format("{} task{}", job.nodes, job.nodes == 1 ? "" : "s") : job.cards);
  put(out, "Nodes", join(job.node_names, ", "));
  if (job.array_index) {
    put(out, "Array", fmt::format("index {} of array {}", *job.array_index, job.array.to_string()));
  }
  put(out, "Submitted", when(job.submitted_ms, look));
  put(out, "Started", when(job.started_ms, look));
  put(out, "Ended", when(job.ended_ms, look));
  if (model::is_terminal(job.state)) {
    put(out, "End", job_ending(job));
  } else {
    put(out, "Reason", job.reason);
  }
  if (job.restarts > 0) {
    put(out, "Restarts", std::to_string(job.restarts));
  }
  progress(out, job);
  attempts(out, job, look);
  tasks(out, job, look);
  efficiency(out, job, look);
  logs(out, job, look);
  spec(out, job, look);
  return out;
}

std::string summarise_job(const api::JobStatus& job, const Look& look) {
  std::string out = title_line(job, look);
  put(out, "End", job_ending(job));
  progress(out, job);
  attempts(out, job, look);
  efficiency(out, job, look);
  logs(out, job, look);
  return out;
}

std::string describe_why(const api::WhyAnswer& why, const Look& look) {
  std::string out = fmt::format("Job {} is {}", why.id.to_string(), printable(why.state));
  if (why.position) {
    out += fmt::format(", number {} of its queue", *why.position);
  }
  if (!why.constraint.empty() && why.constraint != "none") {
    out += ": " + paint(printable(why.constraint), Style::kYellow, look.has_colour);
  }
  out += "\n";
  if (!why.text.empty()) {
    out += "  " + printable(why.text) + "\n";
  }
  if (!why.changes.empty()) {
    out += "It would start now with any one of:\n";
    for (const api::ChangeStatus& change : why.changes) {
      out += "  - " + printable(change.text) + "\n";
    }
  }
  return out;
}

}  // namespace busbar::cli
