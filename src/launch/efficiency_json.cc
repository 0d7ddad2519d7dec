#include <fmt/format.h>

#include <cmath>
#include <limits>

#include "launch/efficiency.h"

namespace busbar::launch {
namespace {

constexpr std::size_t kLongestLine = 64 * 1024;
constexpr std::size_t kMostMetrics = 64;
constexpr std::size_t kLongestName = 128;
/// Year 2286: beyond it a time is not milliseconds.
constexpr std::int64_t kLatestMs = 10'000'000'000'000;

tl::unexpected<Error> refuse(std::string message) {
  return make_error(ErrorCode::kInvalidArgument, std::move(message));
}

std::optional<Report::Kind> kind_from_name(std::string_view name) {
  if (name == "step") {
    return Report::Kind::kStep;
  }
  if (name == "checkpoint_begin") {
    return Report::Kind::kCheckpointBegin;
  }
  if (name == "checkpoint_end") {
    return Report::Kind::kCheckpointEnd;
  }
  if (name == "metric") {
    return Report::Kind::kMetric;
  }
  return name == "message" ? std::optional(Report::Kind::kMessage) : std::nullopt;
}

/// Absent is 0; anything but a whole number from 0 is an error.
Result<std::int64_t> count_of(const Json& line, std::string_view key) {
  const Json& value = line[key];
  if (value.is_null()) {
    return 0;
  }
  if (!value.is_int() || value.as_int() < 0) {
    return refuse(fmt::format("report: {} is not a whole number from 0", key));
  }
  return value.as_int();
}

Result<std::vector<std::pair<std::string, double>>> metrics_of(const Json& line) {
  std::vector<std::pair<std::string, double>> metrics;
  const Json& map = line["metrics"];
  if (!map.is_null() && (!map.is_object() || map.members().size() > kMostMetrics)) {
    return refuse(fmt::format("report: metrics is not a map of at most {} numbers", kMostMetrics));
  }
  for (const auto& [name, value] : map.members()) {
    if (!value.is_number() || !std::isfinite(value.as_double()) || name.size() > kLongestName) {
      return refuse("report: a metric is not a number");
    }
    metrics.emplace_back(name, value.as_double());
  }
  return metrics;
}

Json optional_json(const std::optional<double>& value) {
  return value ? Json(*value) : Json();
}

}  // namespace

Result<Report> parse_report_line(std::string_view line) {
  if (line.size() > kLongestLine) {
    return refuse(fmt::format("report: a line of {} bytes, the limit is {}", line.size(), kLongestLine));
  }
  TRY_ASSIGN(const Json json, parse_json(line));
  const auto kind = kind_from_name(json["kind"].as_string());
  if (!json.is_object() || !kind) {
    return refuse("report: no known kind");
  }
  Report report{.kind = *kind, .text = json["text"].as_string()};
  TRY_ASSIGN(report.time_ms, count_of(json, "time_ms"));
  TRY_ASSIGN(report.step, count_of(json, "step"));
  TRY_ASSIGN(report.total_steps, count_of(json, "total_steps"));
  TRY_ASSIGN(report.samples, count_of(json, "samples"));
  TRY_ASSIGN(report.tokens, count_of(json, "tokens"));
  TRY_ASSIGN(report.metrics, metrics_of(json));
  if (report.time_ms == 0 || report.time_ms > kLatestMs) {
    return refuse("report: time_ms is not milliseconds since 1970");
  }
  const Json& loss = json["loss"];
  if (loss.is_number() && std::isfinite(loss.as_double())) {
    report.loss = loss.as_double();
    report.has_loss = true;
  }
  return report;
}

Json EfficiencyAccount::to_json() const {
  Json buckets = Json::object();
  for (std::size_t bucket = 0; bucket < kBucketCount; ++bucket) {
    buckets.set(std::string(bucket_name(static_cast<Bucket>(bucket))), settled_[bucket]);
  }
  Json window = Json::array();
  for (const Sample& sample : window_) {
    window.push(Json::array({sample.time_ms, sample.step, sample.samples, sample.tokens}));
  }
  Json metrics = Json::object();
  for (const auto& [name, value] : progress_.metrics) {
    metrics.set(name, value);
  }
  return Json::object({{"submitted_ms", submitted_ms_},
                       {"asked_milli_cards", asked_milli_cards_},
                       {"milli_cards", milli_cards_},
                       {"settled", std::move(buckets)},
                       {"current", bucket_name(current_)},
                       {"since_ms", since_ms_},
                       {"is_finished", is_finished_},
                       {"reporting", static_cast<int>(reporting_)},
                       {"unsaved_compute", unsaved_compute_},
                       {"first_step_ms", first_step_ms_},
                       {"step_reports", step_reports_},
                       {"window", std::move(window)},
                       {"step", progress_.step},
                       {"total_steps", progress_.total_steps},
                       {"loss", optional_json(progress_.loss)},
                       {"metrics", std::move(metrics)},
                       {"last_report_ms", progress_.last_report_ms},
                       {"last_checkpoint", progress_.last_checkpoint},
                       {"message", progress_.message}});
}

Result<EfficiencyAccount> EfficiencyAccount::from_json(const Json& json) {
  const auto damaged = [](std::string_view what) {
    return make_error(ErrorCode::kDataCorrupt, fmt::format("efficiency account: {} is not what was stored", what));
  };
  if (!json.is_object() || !json["submitted_ms"].is_int() || json["milli_cards"].as_int(-1) < 0) {
    return damaged("the head");
  }
  const std::int64_t milli_cards = json["milli_cards"].as_int();
  const std::int64_t asked = json["asked_milli_cards"].as_int(milli_cards);
  if (asked < 0) {
    return damaged("asked_milli_cards");
  }
  EfficiencyAccount account(json["submitted_ms"].as_int(), asked);
  account.milli_cards_ = milli_cards;
  bool has_current = false;
  for (std::size_t index = 0; index < kBucketCount; ++index) {
    const std::string_view name = bucket_name(static_cast<Bucket>(index));
    if (!json["settled"][name].is_int()) {
      return damaged(name);
    }
    account.settled_[index] = json["settled"][name].as_int();
    if (json["current"].as_string() == name) {
      account.current_ = static_cast<Bucket>(index);
      has_current = true;
    }
  }
  const std::int64_t reporting = json["reporting"].as_int(-1);
  if (!has_current || reporting < 0 || reporting > static_cast<int>(Reporting::kSteps)) {
    return damaged("the state");
  }
  account.reporting_ = static_cast<Reporting>(reporting);
  account.since_ms_ = json["since_ms"].as_int(account.submitted_ms_);
  account.is_finished_ = json["is_finished"].as_bool();
  account.unsaved_compute_ = json["unsaved_compute"].as_int();
  const std::int64_t compute = account.settled_[static_cast<std::size_t>(Bucket::kCompute)];
  if (account.unsaved_compute_ < 0 || account.unsaved_compute_ > compute) {
    return damaged("unsaved_compute");
  }
  account.first_step_ms_ = json["first_step_ms"].as_int();
  account.step_reports_ = json["step_reports"].as_int();
  for (const Json& sample : json["window"].items()) {
    if (sample.items().size() != 4) {
      return damaged("the window");
    }
    const auto& parts = sample.items();
    account.window_.push_back({.time_ms = parts[0].as_int(),
                               .step = parts[1].as_int(),
                               .samples = parts[2].as_int(),
                               .tokens = parts[3].as_int()});
  }
  Progress& progress = account.progress_;
  progress.step = json["step"].as_int();
  progress.total_steps = json["total_steps"].as_int();
  if (json["loss"].is_number()) {
    progress.loss = json["loss"].as_double();
  }
  for (const auto& [name, value] : json["metrics"].members()) {
    progress.metrics.emplace_back(name, value.as_double());
  }
  progress.last_report_ms = json["last_report_ms"].as_int();
  progress.last_checkpoint = json["last_checkpoint"].as_string();
  progress.message = json["message"].as_string();
  return account;
}

}  // namespace busbar::launch
