#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <memory>
#include <tuple>
#include <utility>

#include "base/text.h"
#include "control/config.h"
#include "control/internal/query.h"
#include "control/rest.h"
#include "launch/efficiency.h"

// Queues, what others would change, and what was used.
namespace busbar::control {
namespace {

std::vector<std::pair<std::string, std::int64_t>> by_chip(
    const std::vector<std::pair<std::string, MilliCards>>& chips) {
  std::vector<std::pair<std::string, std::int64_t>> numbers;
  for (const auto& [chip, milli] : chips) numbers.emplace_back(chip, milli.value);
  return numbers;
}

api::QueueStatus queue_status(const sched::QueueView& view) {
  const model::Queue& queue = view.queue;
  api::QueueStatus status{.name = queue.name,
                          .parent = queue.parent,
                          .guarantee_milli_cards = queue.guarantee.all.value,
                          .guarantee_by_chip = by_chip(queue.guarantee.chips),
                          .limit_milli_cards = queue.limit.all.value,
                          .limit_by_chip = by_chip(queue.limit.chips),
                          .weight = queue.weight.all,
                          .priority = queue.priority,
                          .reclaim_bound_ms = queue.reclaim_bound_ms,
                          .enforce = std::string(model::enforce_name(queue.enforce)),
                          .used_milli_cards = view.used.value,
                          .used_by_chip = by_chip(view.used_by_chip),
                          .borrowed_milli_cards = view.borrowed.value,
                          .share_ppm = view.share_ppm,
                          .past_share_ppm = view.past_share_ppm,
                          .running_jobs = view.running_jobs,
                          .queued_jobs = view.waiting_jobs};
  for (const auto& [chip, weight] : queue.weight.chips) status.weight_by_chip.emplace_back(chip, weight);
  return status;
}

/// Every queue, by name.
std::vector<api::QueueStatus> queue_statuses(const sched::Core& core) {
  std::vector<api::QueueStatus> statuses;
  for (const sched::QueueView& view : core.queue_views()) statuses.push_back(queue_status(view));
  return statuses;
}

model::CardAmounts amounts(std::int64_t all, std::vector<std::pair<std::string, std::int64_t>> chips) {
  model::CardAmounts amounts{.all = {std::max<std::int64_t>(all, -1)}};
  std::sort(chips.begin(), chips.end());
  for (const auto& [chip, milli] : chips) amounts.chips.emplace_back(chip, MilliCards{milli});
  return amounts;
}

Result<std::uint32_t> weight_number(std::int64_t weight) {
  if (weight >= 1 && std::in_range<std::uint32_t>(weight)) return static_cast<std::uint32_t>(weight);
  return make_error(ErrorCode::kInvalidArgument, fmt::format("weight {} must be from 1 to 1000000", weight));
}

Result<model::Queue> queue_from(const std::string& name, const api::QueueRequest& request) {
  model::Queue queue{.name = name,
                     .parent = request.parent,
                     .priority = request.priority,
                     .reclaim_bound_ms = request.reclaim_bound_ms};
  queue.guarantee = amounts(request.guarantee_milli_cards, request.guarantee_by_chip);
  queue.limit = amounts(request.limit_milli_cards, request.limit_by_chip);
  TRY_ASSIGN(queue.weight.all, weight_number(request.weight));
  for (const auto& [chip, weight] : request.weight_by_chip) {
    TRY_ASSIGN(const std::uint32_t number, weight_number(weight));
    queue.weight.chips.emplace_back(chip, number);
  }
  std::sort(queue.weight.chips.begin(), queue.weight.chips.end());
  const auto enforce = model::enforce_from_name(request.enforce);
  if (!enforce) {
    return make_error(ErrorCode::kInvalidArgument, fmt::format("enforce \"{}\" must be now or later", request.enforce));
  }
  queue.enforce = *enforce;
  TRY(model::validate(queue));
  return queue;
}

std::string change_of(const sched::Decision& decision) {
  struct Name {
    std::string operator()(const sched::Place&) const { return "starts"; }
    std::string operator()(const sched::Stop&) const { return "stops"; }
    std::string operator()(const sched::Claim& claim) const { return claim.placement.tasks.empty() ? "" : "claims"; }
    std::string operator()(const sched::EndHold&) const { return ""; }
    std::string operator()(const sched::Reserve&) const { return ""; }
    std::string operator()(const sched::Block& block) const { return block.is_blocked ? "blocked" : "unblocked"; }
    std::string operator()(const sched::Requeue&) const { return ""; }
    std::string operator()(const sched::Finish&) const { return ""; }
    std::string operator()(const sched::Refuse&) const { return ""; }
    std::string operator()(const sched::Extend&) const { return "grows"; }
    std::string operator()(const sched::Shrink&) const { return "shrinks"; }
  };
  return std::visit(Name{}, decision);
}

std::pair<model::JobId, std::string> job_and_text(const sched::Decision& decision) {
  struct Reader {
    std::pair<model::JobId, std::string> operator()(const sched::Place& d) const { return {d.attempt.job, d.reason}; }
    std::pair<model::JobId, std::string> operator()(const sched::Stop& d) const { return {d.attempt.job, d.detail}; }
    std::pair<model::JobId, std::string> operator()(const sched::Claim& d) const { return {d.job, d.reason}; }
    std::pair<model::JobId, std::string> operator()(const sched::EndHold& d) const { return {d.job, ""}; }
    std::pair<model::JobId, std::string> operator()(const sched::Reserve& d) const { return {d.job, ""}; }
    std::pair<model::JobId, std::string> operator()(const sched::Block& d) const { return {d.job, d.reason}; }
    std::pair<model::JobId, std::string> operator()(const sched::Requeue& d) const { return {d.job, ""}; }
    std::pair<model::JobId, std::string> operator()(const sched::Finish& d) const { return {d.job, d.reason}; }
    std::pair<model::JobId, std::string> operator()(const sched::Refuse& d) const { return {d.job, d.reason}; }
    std::pair<model::JobId, std::string> operator()(const sched::Extend& d) const { return {d.attempt.job, d.reason}; }
    std::pair<model::JobId, std::string> operator()(const sched::Shrink& d) const { return {d.attempt.job, d.reason}; }
  };
  return std::visit(Reader{}, decision);
}

/// Adds one job to the row that it belongs to.
void add_usage(std::map<std::tuple<std::string, std::string, model::JobId>, api::UsageRow>& rows,
               const api::JobStatus& job, const std::string& by) {
  api::UsageRow row{.queue = by == "user" ? "" : job.queue,
                    .user = by == "queue" ? "" : job.user,
                    .job = by == "job" ? job.id : model::JobId{},
                    .name = by == "job" ? job.name : ""};
  api::UsageRow& sum = rows.try_emplace({row.queue, row.user, row.job}, row).first->second;
  ++sum.jobs;
  for (const auto& [bucket, milli_card_ms] : job.efficiency.milli_card_ms) {
    if (bucket == launch::bucket_name(launch::Bucket::kQueue)) continue;
    sum.allocated_milli_card_ms += milli_card_ms;
    if (bucket == launch::bucket_name(launch::Bucket::kCompute) ||
        bucket == launch::bucket_name(launch::Bucket::kCheckpoint)) {
      sum.busy_milli_card_ms += milli_card_ms;
    } else if (bucket == launch::bucket_name(launch::Bucket::kLost)) {
      sum.lost_milli_card_ms += milli_card_ms;
    }
  }
}

/// Every job that ended at or after `since_ms`; newest first, a page at a time.
Result<std::vector<api::JobStatus>> ended_jobs(store::Store& store, TimeMs since_ms) {
  std::vector<api::JobStatus> jobs;
  store::JobFilter filter{
      .states = {model::JobState::kSucceeded, model::JobState::kFailed, model::JobState::kCancelled}, .limit = 1'000};
  while (true) {
    TRY_ASSIGN(const std::vector<store::JobRow> rows, store.jobs(filter));
    for (const store::JobRow& row : rows) {
      if (row.ended_ms < since_ms) continue;
      TRY_ASSIGN(const Json json, parse_json(row.status_json));
      TRY_ASSIGN(api::JobStatus status, api::from_json<api::JobStatus>(json));
      jobs.push_back(std::move(status));
    }
    if (rows.size() < filter.limit) return jobs;
    filter.before = rows.back().id;
  }
}

api::UsageList usage_of(const std::vector<api::JobStatus>& jobs, const std::string& by) {
  std::map<std::tuple<std::string, std::string, model::JobId>, api::UsageRow> rows;
  for (const api::JobStatus& job : jobs) add_usage(rows, job, by);
  api::UsageList list;
  for (auto& [key, row] : rows) list.rows.push_back(std::move(row));
  std::stable_sort(list.rows.begin(), list.rows.end(), [](const api::UsageRow& a, const api::UsageRow& b) {
    return a.allocated_milli_card_ms > b.allocated_milli_card_ms;
  });
  return list;
}

}  // namespace

void Rest::list_queues(const CallPtr& call) {
  d_.controller.post([call](Ledger&) -> Controller::Reply {
    return [call](const Ledger& ledger) {
      call->answer(200, api::to_json(api::QueueList{queue_statuses(ledger.core())}));
    };
  });
}

void Rest::put_queue(const CallPtr& call) {
  if (refuse_if_degraded(call)) return;
  const std::string name = call->request.path_parameter("queue");
  const auto json = parse_json(call->request.body.empty() ? "{}" : call->request.body);
  if (!json) return call->refuse(json.error());
  const auto request = api::from_json_strict<api::QueueRequest>(*json);
  if (!request) return call->refuse(request.error());
  const auto queue = queue_from(name, *request);
  if (!queue) return call->refuse(queue.error());
  command(call, 200, [call, queue = *queue](Ledger& ledger) -> Result<Json> {
    TRY(ledger.put_queue(queue, call->user));
    for (const api::QueueStatus& status : queue_statuses(ledger.core())) {
      if (status.name == queue.name) return api::to_json(status);
    }
    return make_error(ErrorCode::kNotFound, fmt::format("no queue \"{}\"", queue.name));
  });
}

void Rest::diff_queues(const CallPtr& call) {
  const auto json = parse_json(call->request.body);
  if (!json) return call->refuse(json.error());
  const auto request = api::from_json_strict<api::QueueDiffRequest>(*json);
  if (!request) return call->refuse(request.error());
  // A file of queues alone has no state directory; any absolute one will do, since nothing is opened.
  const auto config = load_config({.file_text = request->file,
                                   .file_name = request->file_name.empty() ? "file" : request->file_name,
                                   .is_root = true});
  if (!config) return call->refuse(config.error());
  d_.controller.post([call, queues = config->queues](Ledger&) -> Controller::Reply {
    return [call, queues](const Ledger& ledger) {
      sched::Core fork = ledger.core().fork();
      const auto decisions = try_queues(fork, queues, fork.now_ms());
      if (!decisions) return call->refuse(decisions.error());
      api::QueueDiff diff{.before = queue_statuses(ledger.core()), .after = queue_statuses(fork)};
      for (const sched::Decision& decision : *decisions) {
        const auto [id, text] = job_and_text(decision);
        const auto view = ledger.core().find_job(id);
        if (change_of(decision).empty() || !view) continue;
        diff.jobs.push_back({.job = id,
                             .name = view->request.name,
                             .queue = view->request.queue,
                             .change = change_of(decision),
                             .text = text});
      }
      call->answer(200, api::to_json(diff));
    };
  });
}

void Rest::usage(const CallPtr& call) {
  const std::string by = call->request.query_value("by").value_or("queue");
  if (by != "queue" && by != "user" && by != "job") {
    return call->refuse(
        {.code = ErrorCode::kInvalidArgument, .message = fmt::format("by=\"{}\" must be queue, user or job", by)});
  }
  const auto since = query_int(call->request, "since_ms");
  if (!since) return call->refuse(since.error());
  d_.controller.post([this, call, by, since = since->value_or(0)](Ledger&) -> Controller::Reply {
    return [this, call, by, since](const Ledger& ledger) {
      auto jobs = std::make_shared<std::vector<api::JobStatus>>();
      for (const auto& [id, record] : ledger.live_jobs()) {
        jobs->push_back(to_status(record, d_.clock.now_ms(), Detail::kSummary));
      }
      // Rows of ended jobs are read beside the control thread: there may be many.
      run_in_background(call, [this, call, by, since, jobs] {
        auto ended = ended_jobs(d_.store, since);
        if (!ended) return call->refuse(ended.error());
        jobs->insert(jobs->end(), std::make_move_iterator(ended->begin()), std::make_move_iterator(ended->end()));
        call->answer(200, api::to_json(usage_of(*jobs, by)));
      });
    };
  });
}

}  // namespace busbar::control
