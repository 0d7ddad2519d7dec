#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "base/text.h"
#include "base/units.h"
#include "cli/context.h"
#include "cli/describe.h"
#include "cli/verb_tools.h"
#include "model/queue.h"
#include "os/files.h"

namespace busbar::cli {
namespace {

struct QueueOptions {
  std::vector<std::string> names = {};
  std::optional<std::string> parent = {};
  std::string guarantee = {};
  std::string limit = {};
  std::string weight = {};
  std::string priority = {};
  std::optional<std::int64_t> reclaim_bound_ms = {};
  std::string enforce = {};
};

using ByChip = std::vector<std::pair<std::string, std::int64_t>>;

Result<void> set_amounts(const std::string& text, std::int64_t& all, ByChip& by_chip) {
  if (text.empty()) {
    return {};
  }
  TRY_ASSIGN(const model::CardAmounts amounts, model::parse_card_amounts(text));
  all = amounts.all.value;
  by_chip.clear();
  for (const auto& [chip, milli] : amounts.chips) {
    by_chip.emplace_back(chip, milli.value);
  }
  return {};
}

/// What is given, in place of what is there.
Result<void> apply_options(const QueueOptions& options, api::QueueRequest& request) {
  request.parent = options.parent.value_or(request.parent);
  TRY(set_amounts(options.guarantee, request.guarantee_milli_cards, request.guarantee_by_chip));
  TRY(set_amounts(options.limit, request.limit_milli_cards, request.limit_by_chip));
  if (!options.weight.empty()) {
    TRY_ASSIGN(const model::QueueWeights weights, model::parse_queue_weights(options.weight));
    request.weight = weights.all;
    request.weight_by_chip.assign(weights.chips.begin(), weights.chips.end());
  }
  if (!options.priority.empty()) {
    const auto priority = parse_int(options.priority);
    if (!priority || !std::in_range<std::int32_t>(*priority)) {
      return make_error(ErrorCode::kInvalidArgument, "--priority \"" + options.priority + "\" is no number");
    }
    request.priority = static_cast<std::int32_t>(*priority);
  }
  request.reclaim_bound_ms = options.reclaim_bound_ms.value_or(request.reclaim_bound_ms);
  request.enforce = options.enforce.empty() ? request.enforce : options.enforce;
  return {};
}

api::QueueRequest request_like(const api::QueueStatus& queue) {
  return {.parent = queue.parent,
          .guarantee_milli_cards = queue.guarantee_milli_cards,
          .guarantee_by_chip = queue.guarantee_by_chip,
          .limit_milli_cards = queue.limit_milli_cards,
          .limit_by_chip = queue.limit_by_chip,
          .weight = queue.weight,
          .weight_by_chip = queue.weight_by_chip,
          .priority = queue.priority,
          .reclaim_bound_ms = queue.reclaim_bound_ms,
          .enforce = queue.enforce};
}

/// What is not given stays as it is.
Result<int> set_queue(Context& context, const QueueOptions& options) {
  TRY_ASSIGN(ApiClient * client, context.client());
  const std::string& name = options.names[0];
  TRY_ASSIGN(const Json answer, client->get("/v1/queues"));
  TRY_ASSIGN(const auto list, read_answer<api::QueueList>(answer));
  api::QueueRequest request;
  for (const api::QueueStatus& queue : list.queues) {
    if (queue.name == name) {
      request = request_like(queue);
    }
  }
  TRY(apply_options(options, request));
  TRY_ASSIGN(const Json changed, client->put("/v1/queues/" + net::percent_encode(name), api::to_json(request)));
  if (context.wants_json()) {
    context.print_json(changed);
    return 0;
  }
  TRY_ASSIGN(const auto queue, read_answer<api::QueueStatus>(changed));
  context.out().write(queues_table({queue}, look_of(context)));
  return 0;
}

struct DiffOptions {
  std::vector<std::string> files = {};
};

Result<int> diff_queues(Context& context, const DiffOptions& options) {
  constexpr std::size_t kMaxFileBytes = std::size_t{4} << 20U;
  TRY_ASSIGN(std::string text, os::read_file(options.files[0], kMaxFileBytes));
  TRY_ASSIGN(ApiClient * client, context.client());
  TRY_ASSIGN(const Json answer,
             client->post("/v1/queues/diff",
                          api::to_json(api::QueueDiffRequest{.file = std::move(text), .file_name = options.files[0]})));
  if (context.wants_json()) {
    context.print_json(answer);
    return 0;
  }
  TRY_ASSIGN(const auto diff, read_answer<api::QueueDiff>(answer));
  context.out().write(queue_diff_text(diff, look_of(context)));
  return 0;
}

struct UsageOptions {
  std::string by = "queue";
  std::optional<std::int64_t> since_ms = {};
  bool wants_csv = false;
};

Result<int> print_usage(Context& context, const UsageOptions& options) {
  Query query = {{"by", options.by}};
  if (options.since_ms) {
    query.emplace_back("since_ms", std::to_string(std::max<std::int64_t>(context.now_ms() - *options.since_ms, 0)));
  }
  return print_list<api::UsageList>(context, api_target("/v1/usage", query), [&](const api::UsageList& list) {
    return options.wants_csv ? usage_csv(list) : usage_table(list, look_of(context));
  });
}

}  // namespace

Command policy_diff_command() {
  auto options = std::make_shared<DiffOptions>();
  return {
      .name = "policy diff",
      .summary = "what other queues would change now",
      .usage = "busbar policy diff FILE",
      .details =
          "FILE is a server configuration, or only its [[queues]] tables. They are tried on a copy of the "
          "server's state: which jobs would start, stop, or wait for ever. Nothing is changed.",
      .positional = {.name = "FILE", .least = 1, .most = 1, .target = &options->files, .complete = Complete::kFiles},
      .examples = {{"busbar policy diff queues.toml", "before it goes into the configuration"}},
      .run = [options](Context& context) { return diff_queues(context, *options); }};
}

Command usage_command() {
  auto options = std::make_shared<UsageOptions>();
  return {.name = "usage",
          .summary = "card-hours by queue, user or job",
          .usage = "busbar usage [flags]",
          .details =
              "Whole jobs: those that are not over, and those that ended within --since. ALLOCATED is from "
              "placement to the end, BUSY computing and saving checkpoints, LOST what was not saved.",
          .flags = {with_completion(text_flag("--by", "WHAT", "queue (default), user or job", options->by),
                                    Complete::kWords, {"queue", "user", "job"}),
                    duration_flag("--since", "TIME", "only jobs that ended in this time: 30d, 12h", options->since_ms),
                    switch_flag("--csv", "comma-separated values", options->wants_csv)},
          .examples = {{"busbar usage --by user --since 30d --csv", "for a spreadsheet"}},
          .run = [options](Context& context) { return print_usage(context, *options); }};
}

Command queues_command() {
  return {.name = "queues",
          .summary = "list queues",
          .usage = "busbar queues",
          .details =
              "GUARANTEE, LIMIT, USED and BORROWED are cards, SHARE is the largest part of the cluster's cards of "
              "one chip, PAST the faded mean of it.",
          .examples = {{"busbar queues", "the quota tree, cards in use, jobs"}},
          .run = [](Context& context) {
            return print_list<api::QueueList>(context, "/v1/queues", [&context](const api::QueueList& list) {
              return queues_table(list.queues, look_of(context));
            });
          }};
}

Command queues_set_command() {
  auto options = std::make_shared<QueueOptions>();
  Flag parent = {.names = "--parent",
                 .value = "QUEUE",
                 .help = "the queue above it; \"\" for none",
                 .set = [target = options.get()](const std::string& text) -> Result<void> {
                   target->parent = text;
                   return {};
                 },
                 .complete = Complete::kQueues};
  return {
      .name = "queues set",
      .summary = "make or change a queue",
      .usage = "busbar queues set [flags] QUEUE",
      .details = "What is not given stays as it is. CARDS is 64, 64,H100=8 (of all cards, of a chip), or none.",
      .flags = {std::move(parent),
                text_flag("--guarantee", "CARDS", "cards that its jobs get back from borrowers", options->guarantee),
                text_flag("--limit", "CARDS", "cards that its jobs may use together", options->limit),
                text_flag("--weight", "N", "its share beside its siblings': 2, or 2,H100=3", options->weight),
                text_flag("--priority", "N", "siblings of higher priority are served first", options->priority),
                duration_flag("--reclaim-bound", "TIME", "longest min_run_time, and grace when evicted, of its jobs",
                              options->reclaim_bound_ms),
                with_completion(text_flag("--enforce", "WHEN",
                                          "what a lower limit does to jobs that run: later "
                                          "(nothing) or now (evict)",
                                          options->enforce),
                                Complete::kWords, {"later", "now"})},
      .positional = {.name = "QUEUE", .least = 1, .most = 1, .target = &options->names, .complete = Complete::kQueues},
      .examples = {{"busbar queues set vision --guarantee 64 --limit 96", "64 cards of its own, 32 more if free"},
                   {"busbar queues set vision-dev --parent vision --limit H100=8", "a queue below it"}},
      .run = [options](Context& context) { return set_queue(context, *options); }};
}

}  // namespace busbar::cli
