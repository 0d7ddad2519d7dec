#include "control/retention.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "base/text.h"
#include "base/units.h"
#include "os/gate.h"
#include "os/log.h"

namespace busbar::control {
namespace {

/// A burst of ends shares one look.
constexpr std::chrono::seconds kLeastGap{1};
constexpr std::chrono::minutes kMostGap{1};

}  // namespace

std::string RetentionLimits::to_string() const {
  std::vector<std::string> parts;
  if (jobs > 0) parts.push_back(fmt::format("{} ended job{} (keep_ended_jobs)", jobs, jobs == 1 ? "" : "s"));
  if (age_ms > 0) parts.push_back(fmt::format("{} after the end (keep_ended_age)", format_duration_ms(age_ms)));
  if (bytes > 0) parts.push_back(fmt::format("{} in all (keep_ended_size)", format_bytes({bytes})));
  return parts.empty() ? "without a limit" : join(parts, ", ");
}

std::vector<ExpiredFiles> expired_files(std::vector<EndedFiles> ended, const RetentionLimits& limits, TimeMs now_ms) {
  std::sort(ended.begin(), ended.end(), [](const EndedFiles& a, const EndedFiles& b) {
    return std::pair(a.ended_ms, a.job) > std::pair(b.ended_ms, b.job);
  });
  std::vector<ExpiredFiles> expired;
  std::int64_t bytes = 0;
  for (std::size_t i = 0; i < ended.size(); ++i) {
    const EndedFiles& one = ended[i];
    bytes += one.bytes;
    if (limits.jobs > 0 && i >= static_cast<std::size_t>(limits.jobs)) {
      expired.push_back({one.job, fmt::format("{} jobs ended after it (keep_ended_jobs)", i)});
    } else if (limits.age_ms > 0 && now_ms - one.ended_ms > limits.age_ms) {
      expired.push_back(
          {one.job, fmt::format("it ended more than {} ago (keep_ended_age)", format_duration_ms(limits.age_ms))});
    } else if (limits.bytes > 0 && bytes > limits.bytes && i > 0) {
      expired.push_back({one.job, fmt::format("with those of jobs that ended after it they take more than {} "
                                              "(keep_ended_size)",
                                              format_bytes({limits.bytes}))});
      bytes -= one.bytes;  // A small older job may still fit.
    }
  }
  std::reverse(expired.begin(), expired.end());
  return expired;
}

Retention::Retention(Dependencies dependencies, RetentionLimits limits)
    : dependencies_(std::move(dependencies)), limits_(limits) {
  thread_ = os::start_thread("retention", [this] { run(); });
}

void Retention::wake() {
  {
    const std::lock_guard lock(mutex_);
    is_woken_ = true;
  }
  changed_.notify_one();
}

void Retention::stop() {
  {
    const std::lock_guard lock(mutex_);
    is_stopping_ = true;
  }
  changed_.notify_one();
  if (thread_.joinable()) thread_.join();
}

void Retention::run() {
  for (;;) {
    look();
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, kLeastGap, [this] { return is_stopping_; });
    changed_.wait_for(lock, kMostGap, [this] { return is_stopping_ || is_woken_; });
    if (is_stopping_) return;
    is_woken_ = false;
  }
}

TimeMs Retention::ended_ms(model::JobId job) {
  if (const auto known = ended_of_.find(job); known != ended_of_.end()) return known->second;
  const auto row = dependencies_.store.job(job);
  if (!row) return 0;  // Cannot be told now; the next look asks again.
  // Without a row a backup without the job was restored: its age counts from now.
  const TimeMs ended = *row ? (*row)->ended_ms : dependencies_.clock.now_ms();
  if (ended != 0) ended_of_[job] = ended;
  return ended;
}

std::map<model::JobId, Retention::Kept> Retention::find_kept() {
  std::map<model::JobId, Kept> jobs;
  const auto attempts = dependencies_.engine.kept();
  if (!attempts) {
    LOG(kWarning, "retention_cannot_look", {{"error", attempts.error().to_string()}});
    return jobs;
  }
  for (const model::AttemptId& attempt : *attempts) {
    const TimeMs ended = ended_ms(attempt.job);
    if (ended == 0) continue;
    auto [size, is_new] = bytes_of_.try_emplace(attempt, 0);
    if (is_new) size->second = dependencies_.engine.kept_bytes(attempt).value;
    Kept& kept = jobs[attempt.job];
    kept.attempts.push_back(attempt);
    kept.files.job = attempt.job;
    kept.files.ended_ms = ended;
    kept.files.bytes += size->second;
  }
  return jobs;
}

void Retention::look() {
  std::map<model::JobId, Kept> jobs = find_kept();
  std::vector<EndedFiles> ended;
  for (const auto& [id, kept] : jobs) ended.push_back(kept.files);
  for (const ExpiredFiles& expired : expired_files(std::move(ended), limits_, dependencies_.clock.now_ms())) {
    remove(jobs.at(expired.job), expired.reason);
    jobs.erase(expired.job);
  }
  std::int64_t bytes = 0;
  for (const auto& [id, kept] : jobs) bytes += kept.files.bytes;
  dependencies_.metrics.set("busbar_control_kept_jobs", static_cast<double>(jobs.size()));
  dependencies_.metrics.set("busbar_control_kept_bytes", static_cast<double>(bytes));
}

void Retention::remove(const Kept& kept, const std::string& reason) {
  for (const model::AttemptId& attempt : kept.attempts) {
    if (const auto done = dependencies_.engine.forget(attempt); !done) {
      LOG(kWarning, "files_not_deleted", {{"attempt", attempt.to_string()}, {"error", done.error().to_string()}});
      return;  // Stays in the engine's list, so it is tried again.
    }
    bytes_of_.erase(attempt);
  }
  ended_of_.erase(kept.files.job);
  dependencies_.metrics.add("busbar_control_forgotten_jobs_total", 1);
  dependencies_.on_deleted(kept.files.job, "logs and files deleted: " + reason);
}

}  // namespace busbar::control
