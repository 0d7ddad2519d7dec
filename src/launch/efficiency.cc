#include "launch/efficiency.h"

#include <algorithm>

#include "base/check.h"

namespace busbar::launch {
namespace {

/// Rates are taken over at most this many step reports: the SDK writes about one a second.
constexpr std::size_t kWindow = 20;
constexpr std::int64_t kIdleIntervals = 10;

std::size_t index_of(Bucket bucket) {
  return static_cast<std::size_t>(bucket);
}

bool loses_work(model::ExitClass exit_class) {
  switch (exit_class) {
    case model::ExitClass::kSuccess:
    case model::ExitClass::kCancelled:
      return false;
    case model::ExitClass::kUser:
    case model::ExitClass::kOutOfMemory:
    case model::ExitClass::kTimeLimit:
    case model::ExitClass::kPreempted:
    case model::ExitClass::kInfrastructure:
      return true;
  }
  return true;
}

std::optional<double> rate(std::int64_t amount, std::int64_t over_ms) {
  if (amount <= 0 || over_ms <= 0) {
    return std::nullopt;
  }
  return static_cast<double>(amount) * 1000.0 / static_cast<double>(over_ms);
}

}  // namespace

std::string_view bucket_name(Bucket bucket) {
  switch (bucket) {
    case Bucket::kQueue:
      return "queue";
    case Bucket::kImage:
      return "image";
    case Bucket::kStart:
      return "start";
    case Bucket::kCompute:
      return "compute";
    case Bucket::kCheckpoint:
      return "checkpoint";
    case Bucket::kIdle:
      return "idle";
    case Bucket::kLost:
      return "lost";
  }
  return "unknown";
}

EfficiencyAccount::EfficiencyAccount(TimeMs submitted_ms, std::int64_t milli_cards)
    : submitted_ms_(submitted_ms), asked_milli_cards_(milli_cards), milli_cards_(milli_cards), since_ms_(submitted_ms) {
  CHECK(milli_cards >= 0);
}

std::int64_t EfficiencyAccount::idle_after_ms() const {
  const std::int64_t intervals = step_reports_ - 1;
  const std::int64_t mean = intervals > 0 ? (progress_.last_report_ms - first_step_ms_) / intervals : 0;
  return std::max(kIdleAfterMs, kIdleIntervals * mean);
}

EfficiencyAccount::Totals EfficiencyAccount::pending(TimeMs at_ms) const {
  Totals added = {};
  const TimeMs until = is_finished_ ? since_ms_ : std::max(at_ms, since_ms_);
  TimeMs busy_until = until;
  if (current_ == Bucket::kCompute && reporting_ == Reporting::kSteps) {
    const TimeMs idle_from = std::max(since_ms_, progress_.last_report_ms + idle_after_ms());
    busy_until = std::min(until, idle_from);
  }
  added[index_of(current_)] += (busy_until - since_ms_) * milli_cards_;
  added[index_of(Bucket::kIdle)] += (until - busy_until) * milli_cards_;
  return added;
}

void EfficiencyAccount::settle(TimeMs at_ms) {
  const Totals added = pending(at_ms);
  for (std::size_t bucket = 0; bucket < kBucketCount; ++bucket) {
    settled_[bucket] += added[bucket];
  }
  if (current_ == Bucket::kCompute) {
    unsaved_compute_ += added[index_of(Bucket::kCompute)];
  }
  if (!is_finished_) {
    since_ms_ = std::max(at_ms, since_ms_);
  }
}

void EfficiencyAccount::move(Bucket from, Bucket to, std::int64_t amount) {
  CHECK(amount >= 0 && amount <= settled_[index_of(from)]);
  settled_[index_of(from)] -= amount;
  settled_[index_of(to)] += amount;
}

void EfficiencyAccount::placed(TimeMs at_ms) {
  settle(at_ms);
  current_ = Bucket::kImage;
  reporting_ = Reporting::kSilent;
  unsaved_compute_ = 0;
  first_step_ms_ = 0;
  step_reports_ = 0;
  window_.clear();
}

void EfficiencyAccount::resized(TimeMs at_ms, std::int64_t milli_cards) {
  CHECK(milli_cards >= 0);
  if (current_ == Bucket::kQueue || is_finished_) {
    return;
  }
  settle(at_ms);
  milli_cards_ = milli_cards;
}

void EfficiencyAccount::image_ready(TimeMs at_ms) {
  settle(at_ms);
  current_ = Bucket::kStart;
}

void EfficiencyAccount::started(TimeMs at_ms) {
  settle(at_ms);
  current_ = Bucket::kCompute;
}

void EfficiencyAccount::report(const Report& report) {
  const bool is_running = current_ == Bucket::kCompute || current_ == Bucket::kCheckpoint || current_ == Bucket::kStart;
  if (is_finished_ || !is_running) {
    return;  // A late line of an attempt that is over, or one being stopped.
  }
  settle(report.time_ms);
  const bool is_step = report.kind == Report::Kind::kStep;
  if (reporting_ == Reporting::kSilent && (is_step || report.total_steps > 0)) {
    // Now it is known that this job reports steps: what went before its first one was start.
    move(Bucket::kCompute, Bucket::kStart, unsaved_compute_);
    unsaved_compute_ = 0;
    reporting_ = Reporting::kAnnounced;
    current_ = current_ == Bucket::kCompute ? Bucket::kStart : current_;
  }
  if (report.total_steps > 0) {
    progress_.total_steps = report.total_steps;
  }
  for (const auto& reported : report.metrics) {
    const auto known = std::find_if(progress_.metrics.begin(), progress_.metrics.end(),
                                    [&reported](const auto& metric) { return metric.first == reported.first; });
    if (known == progress_.metrics.end()) {
      progress_.metrics.push_back(reported);
    } else {
      known->second = reported.second;
    }
  }
  switch (report.kind) {
    case Report::Kind::kStep:
      take_step(report);
      break;
    case Report::Kind::kCheckpointBegin:
      current_ = Bucket::kCheckpoint;
      break;
    case Report::Kind::kCheckpointEnd:
      current_ = reporting_ == Reporting::kAnnounced ? Bucket::kStart : Bucket::kCompute;
      unsaved_compute_ = 0;
      progress_.last_checkpoint = report.text.empty() ? progress_.last_checkpoint : report.text;
      break;
    case Report::Kind::kMessage:
      progress_.message = report.text;
      break;
    case Report::Kind::kMetric:
      break;
  }
  progress_.last_report_ms = std::max(progress_.last_report_ms, report.time_ms);
}

void EfficiencyAccount::take_step(const Report& report) {
  if (reporting_ != Reporting::kSteps) {
    reporting_ = Reporting::kSteps;
    first_step_ms_ = report.time_ms;
  }
  // Also out of a checkpoint: one that failed has no end, and one in the background does not stop the work.
  current_ = Bucket::kCompute;
  ++step_reports_;
  progress_.step = report.step;
  if (report.has_loss) {
    progress_.loss = report.loss;
  }
  if (!window_.empty() && (report.step < window_.back().step || report.time_ms < window_.back().time_ms)) {
    window_.clear();
  }
  window_.push_back(
      {.time_ms = report.time_ms, .step = report.step, .samples = report.samples, .tokens = report.tokens});
  if (window_.size() > kWindow) {
    window_.erase(window_.begin());
  }
}

void EfficiencyAccount::stopping(TimeMs at_ms) {
  if (current_ == Bucket::kQueue || is_finished_) {
    return;
  }
  settle(at_ms);
  current_ = Bucket::kLost;
}

void EfficiencyAccount::attempt_ended(TimeMs at_ms, model::ExitClass exit_class) {
  settle(at_ms);
  if (loses_work(exit_class)) {
    move(Bucket::kCompute, Bucket::kLost, unsaved_compute_);
  }
  unsaved_compute_ = 0;
  current_ = Bucket::kQueue;
  milli_cards_ = asked_milli_cards_;
}

void EfficiencyAccount::finished(TimeMs at_ms) {
  settle(at_ms);
  is_finished_ = true;
}

std::array<std::int64_t, kBucketCount> EfficiencyAccount::totals(TimeMs now_ms) const {
  Totals sum = settled_;
  const Totals added = pending(now_ms);
  for (std::size_t bucket = 0; bucket < kBucketCount; ++bucket) {
    sum[bucket] += added[bucket];
  }
  return sum;
}

EfficiencyAccount::Progress EfficiencyAccount::progress() const {
  Progress progress = progress_;
  if (window_.size() < 2) {
    return progress;
  }
  const Sample& first = window_.front();
  const Sample& last = window_.back();
  const std::int64_t over_ms = last.time_ms - first.time_ms;
  progress.steps_per_second = rate(last.step - first.step, over_ms);
  progress.samples_per_second = rate(last.samples - first.samples, over_ms);
  progress.tokens_per_second = rate(last.tokens - first.tokens, over_ms);
  if (progress.steps_per_second && progress.total_steps >= progress.step) {
    const double left = static_cast<double>(progress.total_steps - progress.step);
    constexpr double kLongestMs = 9e15;  // Any double below converts to int64.
    progress.eta_ms = static_cast<std::int64_t>(std::min(kLongestMs, left * 1000.0 / *progress.steps_per_second));
  }
  return progress;
}

std::optional<Mfu> model_flops_utilisation(const model::JobSpec& spec, const EfficiencyAccount::Progress& progress,
                                           std::int64_t peak_gflops_per_card, std::int64_t milli_cards,
                                           std::string_view peak_kind) {
  const model::EfficiencyHint& hint = spec.efficiency;
  // Forward and backward pass of a dense transformer: 6 FLOPs a parameter and token (Kaplan et al. 2020, section 2.1).
  constexpr double kFlopsPerParameter = 6;
  const double per_token = hint.flops_per_token > 0 ? static_cast<double>(hint.flops_per_token)
                                                    : kFlopsPerParameter * static_cast<double>(hint.parameters);
  double achieved = 0;
  if (per_token > 0 && progress.tokens_per_second) {
    achieved = per_token * *progress.tokens_per_second;
  } else if (hint.flops_per_sample > 0 && progress.samples_per_second) {
    achieved = static_cast<double>(hint.flops_per_sample) * *progress.samples_per_second;
  }
  if (achieved <= 0 || peak_gflops_per_card <= 0 || milli_cards <= 0) {
    return std::nullopt;
  }
  const double peak = static_cast<double>(peak_gflops_per_card) * 1e9 * static_cast<double>(milli_cards) / 1000.0;
  std::string precision = !hint.precision.empty() ? hint.precision : spec.precision;
  return Mfu{.value = achieved / peak,
             .denominator = std::string(peak_kind) + " " + (precision.empty() ? "fp32" : precision)};
}

}  // namespace busbar::launch
