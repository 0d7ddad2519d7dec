#include "cli/progress.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "base/text.h"

namespace busbar::cli {
namespace {

constexpr int kBarWidth = 20;

std::string bar(int percent) {
  const int full = percent * kBarWidth / 100;
  return "[" + std::string(static_cast<std::size_t>(full), '#') +
         std::string(static_cast<std::size_t>(kBarWidth - full), '.') + "]";
}

std::string head(const api::JobStatus& job) {
  std::string text = fmt::format("{} {}", job_title(job), model::job_state_name(job.state));
  if (job.restarts > 0) {
    text += fmt::format(" (attempt {})", job.attempt);
  }
  return text;
}

/// What to say besides the state.
std::string tail(const api::JobStatus& job) {
  std::string ending = job_ending(job);
  if (!ending.empty()) {
    return ending;
  }
  if (job.state == model::JobState::kRunning) {
    const std::string progress = progress_text(job.progress);
    return progress.empty() ? job.progress.message : progress;
  }
  return job.reason;
}

}  // namespace

std::optional<int> progress_percent(const api::ProgressStatus& progress) {
  if (progress.total_steps <= 0) {
    return std::nullopt;
  }
  const std::int64_t step = std::clamp<std::int64_t>(progress.step, 0, progress.total_steps);
  return static_cast<int>(static_cast<double>(step) * 100 / static_cast<double>(progress.total_steps));
}

std::string progress_text(const api::ProgressStatus& progress) {
  std::vector<std::string> parts;
  if (progress.total_steps > 0) {
    parts.push_back(fmt::format("step {}/{}", progress.step, progress.total_steps));
  } else if (progress.step > 0) {
    parts.push_back(fmt::format("step {}", progress.step));
  }
  if (progress.loss) {
    parts.push_back("loss " + human_number(*progress.loss));
  }
  if (progress.tokens_per_second) {
    parts.push_back(human_number(*progress.tokens_per_second) + " tokens/s");
  } else if (progress.samples_per_second) {
    parts.push_back(human_number(*progress.samples_per_second) + " samples/s");
  } else if (progress.steps_per_second) {
    parts.push_back(human_number(*progress.steps_per_second) + " steps/s");
  }
  if (progress.eta_ms && progress.step < progress.total_steps) {
    parts.push_back("ETA " + format_duration_ms(*progress.eta_ms));
  }
  return join(parts, ", ");
}

void ProgressLine::show(const api::JobStatus& job, TimeMs now_ms) {
  if (is_quiet_) {
    return;
  }
  if (err_.is_terminal()) {
    show_on_terminal(job, now_ms);
  } else {
    show_on_pipe(job);
  }
}

void ProgressLine::show_on_terminal(const api::JobStatus& job, TimeMs now_ms) {
  std::string text = head(job);
  if (const auto percent = progress_percent(job.progress); percent && job.state == model::JobState::kRunning) {
    text += fmt::format(" {} {:3} %", bar(*percent), *percent);
  }
  if (const std::string more = tail(job); !more.empty()) {
    text += "  " + more;
  }
  const TimeMs since = job.started_ms != 0 ? job.started_ms : job.submitted_ms;
  if (const std::int64_t seconds = (now_ms - since) / 1000;
      since != 0 && seconds > 0 && !model::is_terminal(job.state)) {
    text += "  " + format_duration_ms(seconds * 1000);
  }
  // One column stays free: a full line would make the terminal wrap.
  std::string line = ellipsis(printable(text), std::max(20, err_.width() - 1));
  if (line == line_ && is_drawn_) {
    return;
  }
  clear();
  line_ = std::move(line);
  redraw();
}

void ProgressLine::show_on_pipe(const api::JobStatus& job) {
  const std::string state(model::job_state_name(job.state));
  const int tenth = progress_percent(job.progress).value_or(0) / 10;
  const bool is_same_job = last_job_ == job.id;
  if (is_same_job && state == last_state_ && tenth <= last_tenth_) {
    return;
  }
  last_job_ = job.id;
  last_state_ = state;
  last_tenth_ = tenth;
  const std::string more = tail(job);
  err_.line(printable("busbar: " + head(job) + (more.empty() ? "" : ": " + more)));
}

void ProgressLine::clear() {
  if (is_drawn_) {
    err_.write("\r\x1b[K");
    is_drawn_ = false;
  }
}

void ProgressLine::redraw() {
  if (!line_.empty() && !is_drawn_ && err_.is_terminal()) {
    err_.write(line_);
    is_drawn_ = true;
  }
}

}  // namespace busbar::cli
