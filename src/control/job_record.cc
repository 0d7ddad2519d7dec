#include "control/job_record.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/json.h"
#include "control/chip_requests.h"
#include "model/job_json.h"

namespace busbar::control {
namespace {

/// "array" becomes the array's own number.
std::vector<std::string> avoided_tags(const JobRecord& record) {
  std::vector<std::string> tags = record.spec.avoid;
  for (std::string& tag : tags) {
    if (tag == "array") tag = fmt::format("group:{}", record.array.value);
  }
  return tags;
}

api::ProgressStatus progress_status(const JobRecord& record) {
  const launch::EfficiencyAccount::Progress progress = record.account.progress();
  return {.step = progress.step,
          .total_steps = progress.total_steps,
          .loss = progress.loss,
          .steps_per_second = progress.steps_per_second,
          .samples_per_second = progress.samples_per_second,
          .tokens_per_second = progress.tokens_per_second,
          .eta_ms = model::is_terminal(record.state) ? std::nullopt : progress.eta_ms,
          .metrics = progress.metrics,
          .last_checkpoint = progress.last_checkpoint,
          .message = record.message};
}

api::EfficiencyStatus efficiency_status(const JobRecord& record, TimeMs now_ms) {
  const auto totals = record.account.totals(record.ended_ms > 0 ? record.ended_ms : now_ms);
  api::EfficiencyStatus status;
  for (std::size_t i = 0; i < launch::kBucketCount; ++i) {
    status.milli_card_ms.emplace_back(launch::bucket_name(static_cast<launch::Bucket>(i)), totals[i]);
    status.total_milli_card_ms += totals[i];
  }
  const auto mfu = launch::model_flops_utilisation(record.spec, record.account.progress(), record.peak_gflops,
                                                   record.account.milli_cards(), record.peak_kind);
  if (mfu) {
    status.mfu = mfu->value;
    status.mfu_denominator = mfu->denominator;
  }
  return status;
}

std::vector<std::string> node_names(const JobRecord& record) {
  std::vector<std::string> names;
  if (record.attempts.empty()) return names;
  for (const api::TaskStatus& task : record.attempts.back().tasks) {
    if (std::find(names.begin(), names.end(), task.node) == names.end()) names.push_back(task.node);
  }
  return names;
}

Json offsets_json(const JobRecord& record) {
  Json offsets = Json::object();
  for (const auto& [rank, offset] : record.report_offsets) offsets.set(std::to_string(rank), offset);
  return offsets;
}

}  // namespace

std::int64_t accounted_milli_cards(const model::JobSpec& spec, std::size_t tasks) {
  const auto requests = requested_cards(spec);
  const std::int64_t per_node = requests.empty() ? 1000 : requests.front().per_node.value;
  return per_node * static_cast<std::int64_t>(tasks);
}

std::string cards_text(const model::JobSpec& spec) {
  const auto requests = requested_cards(spec);
  if (requests.empty()) return "";
  std::string text;
  for (const model::AcceleratorRequest& request : requests) {
    if (!text.empty()) text += " | ";
    const std::string chip = request.chip.empty() ? "any" : request.chip;
    const std::string nodes = spec.min_nodes == spec.max_nodes ? fmt::format("{}", spec.max_nodes)
                                                               : fmt::format("{}..{}", spec.min_nodes, spec.max_nodes);
    text += fmt::format("{}x{} {}", nodes, format_milli(request.per_node.value), chip);
  }
  return text;
}

api::JobStatus to_status(const JobRecord& record, TimeMs now_ms, Detail detail) {
  api::JobStatus status{.id = record.id,
                        .name = record.spec.name,
                        .user = record.user,
                        .queue = record.spec.queue,
                        .type = std::string(model::job_type_name(record.spec.type)),
                        .state = record.state,
                        .reason = record.reason,
                        .priority = record.spec.priority,
                        .nodes = record.spec.max_nodes,
                        .cards = cards_text(record.spec),
                        .milli_cards = accounted_milli_cards(record.spec),
                        .submitted_ms = record.submitted_ms,
                        .started_ms = record.started_ms,
                        .ended_ms = record.ended_ms,
                        .attempt = record.attempts.empty() ? 0 : record.attempts.back().number,
                        .restarts = record.restarts,
                        .exit_class = {},
                        .exit_code = record.exit_code,
                        .node_names = node_names(record),
                        .array = record.array,
                        .array_index = record.spec.array_index,
                        .progress = progress_status(record)};
  if (model::is_terminal(record.state)) status.exit_class = model::exit_class_name(record.exit_class);
  status.efficiency = efficiency_status(record, now_ms);
  if (detail == Detail::kFull) {
    status.attempts = record.attempts;
    status.spec = model::to_json(record.spec);
  }
  return status;
}

store::JobRow to_row(const JobRecord& record) {
  Json status = api::to_json(to_status(record, record.ended_ms, Detail::kFull));
  Json private_part = Json::object({{"account", record.account.to_json()},
                                    {"offsets", offsets_json(record)},
                                    {"generation", record.generation},
                                    {"has_terminal", record.has_terminal},
                                    {"peak_gflops", record.peak_gflops},
                                    {"peak_kind", record.peak_kind}});
  if (record.grace_override_ms) private_part.set("grace_override_ms", *record.grace_override_ms);
  status.set("server", std::move(private_part));
  return {.id = record.id,
          .name = record.spec.name,
          .user = record.user,
          .queue = record.spec.queue,
          .state = record.state,
          .submitted_ms = record.submitted_ms,
          .ended_ms = record.ended_ms,
          .array = record.array,
          .client_key = record.client_key,
          .spec_json = model::to_json(record.spec).dump(),
          .status_json = status.dump()};
}

Result<JobRecord> from_row(const store::JobRow& row) {
  TRY_ASSIGN(const Json spec_json, parse_json(row.spec_json));
  TRY_ASSIGN(model::JobSpec spec, model::job_spec_from_json(spec_json));
  TRY_ASSIGN(const Json status_json, parse_json(row.status_json));
  TRY_ASSIGN(api::JobStatus status, api::from_json<api::JobStatus>(status_json));
  const Json& private_part = status_json["server"];
  TRY_ASSIGN(launch::EfficiencyAccount account, launch::EfficiencyAccount::from_json(private_part["account"]));
  JobRecord record{.id = row.id,
                   .spec = std::move(spec),
                   .user = row.user,
                   .client_key = row.client_key,
                   .array = row.array,
                   .has_terminal = private_part["has_terminal"].as_bool(),
                   .state = row.state,
                   .reason = status.reason,
                   .submitted_ms = row.submitted_ms,
                   .started_ms = status.started_ms,
                   .ended_ms = row.ended_ms,
                   .restarts = status.restarts,
                   .exit_class = model::exit_class_from_name(status.exit_class).value_or(model::ExitClass::kSuccess),
                   .exit_code = status.exit_code,
                   .attempts = std::move(status.attempts),
                   .account = std::move(account),
                   .message = status.progress.message,
                   .peak_gflops = private_part["peak_gflops"].as_int()};
  for (const auto& [rank, offset] : private_part["offsets"].members()) {
    record.report_offsets[static_cast<std::uint32_t>(std::stoul(rank))] = static_cast<std::uint64_t>(offset.as_int());
  }
  record.generation = static_cast<std::uint32_t>(private_part["generation"].as_int(1));
  if (const Json* kind = private_part.find("peak_kind")) record.peak_kind = kind->as_string();
  if (const Json* grace = private_part.find("grace_override_ms")) record.grace_override_ms = grace->as_int();
  return record;
}

Result<sched::JobRequest> to_request(const JobRecord& record, const chip::Catalogue& catalogue,
                                     std::vector<sched::JobRequest::Dependency> dependencies) {
  const model::JobSpec& spec = record.spec;
  TRY_ASSIGN(std::vector<model::AcceleratorRequest> accelerators, expand_accelerators(catalogue, spec));
  return sched::JobRequest{.id = record.id,
                           .name = spec.name,
                           .queue = spec.queue,
                           .user = record.user,
                           .priority = spec.priority,
                           .min_nodes = spec.min_nodes,
                           .max_nodes = spec.max_nodes,
                           .accelerators = std::move(accelerators),
                           .cpus = spec.resources.cpus,
                           .memory = spec.resources.memory,
                           .topology = spec.topology,
                           .time_limit_ms = spec.time_limit_ms,
                           .restart = spec.restart,
                           .group = record.array,
                           .group_parallel = spec.array_parallel,
                           .after = std::move(dependencies),
                           .is_preemptible = spec.preemptible.value_or(spec.type == model::JobType::kJob),
                           .min_run_time_ms = spec.min_run_time_ms,
                           .checkpoint_every_ms = spec.checkpoint.every_ms,
                           .sizes = spec.sizes,
                           .max_tasks_per_node = spec.max_tasks_per_node,
                           .labels = {spec.labels.begin(), spec.labels.end()},
                           .avoid = avoided_tags(record),
                           .is_live = spec.elastic == model::Elastic::kLive};
}

}  // namespace busbar::control
