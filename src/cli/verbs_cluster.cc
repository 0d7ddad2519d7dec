#include <fmt/format.h>

#include <memory>
#include <utility>

#include "base/text.h"
#include "base/units.h"
#include "cli/context.h"
#include "cli/describe.h"
#include "cli/verb_tools.h"

namespace busbar::cli {
namespace {

/// GET a list and print it by `table`, or as the server's own JSON.
template <class List, class ToText>
Result<int> print_list(Context& context, const char* path, ToText to_text) {
  TRY_ASSIGN(ApiClient * client, context.client());
  TRY_ASSIGN(const Json answer, client->get(path));
  if (context.wants_json()) {
    context.print_json(answer);
    return 0;
  }
  TRY_ASSIGN(const auto list, read_answer<List>(answer));
  context.out().write(to_text(list));
  return 0;
}

Result<int> change_nodes(Context& context, const std::vector<std::string>& nodes, const std::string& verb) {
  TRY_ASSIGN(ApiClient * client, context.client());
  Json answers = Json::array();
  for (const std::string& node : nodes) {
    TRY_ASSIGN(const Json answer, client->post(fmt::format("/v1/nodes/{}/{}", net::percent_encode(node), verb)));
    answers.push(answer);
    if (!context.wants_json()) {
      TRY_ASSIGN(const auto status, read_answer<api::NodeStatus>(answer));
      context.note(fmt::format("node {}: {}, {} task{} running", status.name, status.state, status.running_tasks,
                               status.running_tasks == 1 ? "" : "s"));
    }
  }
  if (context.wants_json()) {
    context.print_json(Json::object({{"nodes", std::move(answers)}}));
  }
  return 0;
}

Command node_change_command(std::string verb, std::string summary, std::string details) {
  auto nodes = std::make_shared<std::vector<std::string>>();
  return {
      .name = verb,
      .summary = std::move(summary),
      .usage = fmt::format("busbar {} NODE...", verb),
      .details = std::move(details),
      .positional = {.name = "NODE", .least = 1, .most = 10'000, .target = nodes.get(), .complete = Complete::kNodes},
      .examples = {{fmt::format("busbar {} node-3", verb), "names are those of busbar nodes"}},
      .run = [nodes, verb](Context& context) { return change_nodes(context, *nodes, verb); }};
}

struct QueueOptions {
  std::vector<std::string> names = {};
  std::string limit = {};
  std::string priority = {};
};

/// What is not given stays as it is.
Result<int> set_queue(Context& context, const QueueOptions& options) {
  TRY_ASSIGN(ApiClient * client, context.client());
  const std::string& name = options.names[0];
  TRY_ASSIGN(const Json answer, client->get("/v1/queues"));
  TRY_ASSIGN(const auto list, read_answer<api::QueueList>(answer));
  api::QueueRequest request;
  for (const api::QueueStatus& queue : list.queues) {
    if (queue.name == name) {
      request = {.limit_milli_cards = queue.limit_milli_cards, .priority = queue.priority};
    }
  }
  if (options.limit == "none") {
    request.limit_milli_cards = -1;
  } else if (!options.limit.empty()) {
    TRY_ASSIGN(request.limit_milli_cards, parse_milli(options.limit));
  }
  if (!options.priority.empty()) {
    const auto priority = parse_int(options.priority);
    if (!priority || !std::in_range<std::int32_t>(*priority)) {
      return make_error(ErrorCode::kInvalidArgument, "--priority \"" + options.priority + "\" is no number");
    }
    request.priority = static_cast<std::int32_t>(*priority);
  }
  TRY_ASSIGN(const Json changed, client->put("/v1/queues/" + net::percent_encode(name), api::to_json(request)));
  if (context.wants_json()) {
    context.print_json(changed);
    return 0;
  }
  TRY_ASSIGN(const auto queue, read_answer<api::QueueStatus>(changed));
  context.out().write(queues_table({queue}, look_of(context)));
  return 0;
}

}  // namespace

Command nodes_command() {
  return {.name = "nodes",
          .summary = "list nodes",
          .usage = "busbar nodes",
          .examples = {{"busbar nodes --json", "with every card of each node"}},
          .run = [](Context& context) {
            return print_list<api::NodeList>(context, "/v1/nodes", [&context](const api::NodeList& list) {
              return nodes_table(list.nodes, look_of(context));
            });
          }};
}

Command drain_command() {
  return node_change_command("drain", "give a node no new work",
                             "What runs there goes on; busbar resume takes the node back.");
}

Command resume_command() {
  return node_change_command("resume", "take a drained node back", "");
}

Command cards_command() {
  return {.name = "cards",
          .summary = "list cards and what uses them",
          .usage = "busbar cards",
          .examples = {{"busbar cards", "chip, use, jobs and health of each card"}},
          .run = [](Context& context) {
            return print_list<api::CardList>(context, "/v1/cards", [&context](const api::CardList& list) {
              return cards_table(list.cards, look_of(context));
            });
          }};
}

Command queues_command() {
  return {.name = "queues",
          .summary = "list queues",
          .usage = "busbar queues",
          .examples = {{"busbar queues", "limits, cards in use, jobs"}},
          .run = [](Context& context) {
            return print_list<api::QueueList>(context, "/v1/queues", [&context](const api::QueueList& list) {
              return queues_table(list.queues, look_of(context));
            });
          }};
}

Command queue_set_command() {
  auto options = std::make_shared<QueueOptions>();
  return {
      .name = "queue set",
      .summary = "make or change a queue",
      .usage = "busbar queue set [flags] QUEUE",
      .details = "What is not given stays as it is.",
      .flags = {text_flag("--limit", "CARDS", "cards that its jobs may use together, or none", options->limit),
                text_flag("--priority", "N", "added to the priority of its jobs", options->priority)},
      .positional = {.name = "QUEUE", .least = 1, .most = 1, .target = &options->names, .complete = Complete::kQueues},
      .examples = {{"busbar queue set vision --limit 64 --priority 10", "64 cards, ahead of the others"}},
      .run = [options](Context& context) { return set_queue(context, *options); }};
}

}  // namespace busbar::cli
