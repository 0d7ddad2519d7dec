#include <fmt/format.h>

#include <memory>
#include <utility>

#include "base/text.h"
#include "base/units.h"
#include "cli/context.h"
#include "cli/describe.h"
#include "cli/time_point.h"
#include "cli/verb_tools.h"

namespace busbar::cli {
namespace {

struct ReserveOptions {
  std::string name = {};
  std::vector<std::string> nodes = {};
  std::string from = "now";
  std::optional<std::int64_t> duration_ms = {};
  std::vector<std::string> users = {};
  std::vector<std::string> queues = {};
};

/// --nodes n1,n2 --nodes n3
std::vector<std::string> flattened(const std::vector<std::string>& lists) {
  std::vector<std::string> items;
  for (const std::string& list : lists) {
    for (const std::string_view item : split(list, ',')) {
      if (!trim(item).empty()) {
        items.emplace_back(trim(item));
      }
    }
  }
  return items;
}

Result<int> reserve(Context& context, const ReserveOptions& options) {
  api::ReservationRequest request = {
      .nodes = flattened(options.nodes), .users = flattened(options.users), .queues = flattened(options.queues)};
  if (request.nodes.empty() || !options.duration_ms) {
    return make_error(ErrorCode::kInvalidArgument,
                      "which nodes, and for how long? busbar reserve --nodes n1,n2 --from 8h --for 4h needs both");
  }
  request.duration_ms = *options.duration_ms;
  TRY_ASSIGN(request.from_ms, parse_time_point(options.from, context.now_ms()));
  request.name = options.name.empty() ? fmt::format("r{}", context.now_ms() / 1000) : options.name;
  TRY_ASSIGN(ApiClient * client, context.client());
  TRY_ASSIGN(const Json answer, client->post("/v1/reservations", api::to_json(request)));
  if (context.wants_json()) {
    context.print_json(answer);
    return 0;
  }
  TRY_ASSIGN(const auto made, read_answer<api::ReservationStatus>(answer));
  context.out().write(reservations_table({made}, look_of(context)));
  if (!made.jobs_in_the_way.empty()) {
    context.note("jobs in the way are left alone; busbar stop ends them");
  }
  return 0;
}

Result<int> cancel(Context& context, const std::vector<std::string>& names) {
  TRY_ASSIGN(ApiClient * client, context.client());
  Json cancelled = Json::array();
  for (const std::string& name : names) {
    TRY_ASSIGN(const Json answer, client->remove("/v1/reservations/" + net::percent_encode(name)));
    cancelled.push(answer);
    if (!context.wants_json()) {
      context.note(fmt::format("reservation {} is cancelled", name));
    }
  }
  if (context.wants_json()) {
    context.print_json(Json::object({{"reservations", std::move(cancelled)}}));
  }
  return 0;
}

}  // namespace

Command reserve_command() {
  auto options = std::make_shared<ReserveOptions>();
  return {
      .name = "reserve",
      .summary = "keep nodes for some jobs, or for none, during a window",
      .usage = "busbar reserve --nodes NODES --from TIME --for DURATION [flags]",
      .details =
          "No other job starts there unless its time limit ends it before the window. What runs is left alone. "
          "Without --users and --queues nobody's jobs start there: maintenance.",
      .flags = {with_completion(list_flag("--nodes", "NODES", "nodes, separated by commas", options->nodes),
                                Complete::kNodes),
                text_flag("--from", "TIME", "now, 2h (from now) or 2031-05-17T08:00; now if absent", options->from),
                duration_flag("--for", "DURATION", "how long", options->duration_ms),
                list_flag("--users", "USERS", "whose jobs may use them", options->users),
                with_completion(list_flag("--queues", "QUEUES", "jobs of these queues may too", options->queues),
                                Complete::kQueues),
                text_flag("--name", "NAME", "for busbar reserve cancel; one that exists is replaced", options->name)},
      .examples = {{"busbar reserve --name firmware --nodes n1,n2 --from 8h --for 2h", "maintenance tonight"},
                   {"busbar reserve --nodes n3 --from now --for 1d --users ada", "a node for one user"}},
      .run = [options](Context& context) { return reserve(context, *options); }};
}

Command reserve_cancel_command() {
  auto names = std::make_shared<std::vector<std::string>>();
  return {.name = "reserve cancel",
          .summary = "give reserved nodes back",
          .usage = "busbar reserve cancel NAME...",
          .positional = {.name = "NAME", .least = 1, .most = 1'000, .target = names.get()},
          .examples = {{"busbar reserve cancel firmware", "names are those of busbar reservations"}},
          .run = [names](Context& context) { return cancel(context, *names); }};
}

Command reservations_command() {
  return {.name = "reservations",
          .summary = "list reservations",
          .usage = "busbar reservations",
          .examples = {{"busbar reservations", "windows, nodes, whom they are for, jobs in the way"}},
          .run = [](Context& context) -> Result<int> {
            TRY_ASSIGN(ApiClient * client, context.client());
            TRY_ASSIGN(const Json answer, client->get("/v1/reservations"));
            if (context.wants_json()) {
              context.print_json(answer);
              return 0;
            }
            TRY_ASSIGN(const auto list, read_answer<api::ReservationList>(answer));
            context.out().write(reservations_table(list.reservations, look_of(context)));
            return 0;
          }};
}

}  // namespace busbar::cli
