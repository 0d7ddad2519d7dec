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

}  // namespace busbar::cli
