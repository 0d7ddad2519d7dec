#include <fmt/format.h>
#include <poll.h>

#include <memory>
#include <utility>

#include "cli/context.h"
#include "cli/job_source.h"
#include "cli/serve.h"
#include "cli/submit.h"
#include "cli/verb_tools.h"
#include "net/http.h"

namespace busbar::cli {
namespace {

constexpr int kTopEveryMs = 1'000;

std::string service_target(const std::string& name, std::string_view rest = {}, const Query& query = {}) {
  return api_target("/v1/services/" + net::percent_encode(name) + std::string(rest), query);
}

struct ServeOptions {
  std::vector<std::string> files = {};
  std::vector<std::string> settings = {};
  bool is_detached = false;
  bool may_wait = false;
};

Result<int> serve_file(Context& context, const ServeOptions& options) {
  TRY_ASSIGN(JobSource source, file_source(options.files[0]));
  source.overrides = options.settings;
  TRY_ASSIGN(const api::SubmitAnswer answer,
             submit_source(context, source, {.may_wait_infeasible = options.may_wait, .target = "/v1/services"}));
  const api::ServiceStatus& service = *answer.service;
  if (!options.is_detached) return follow_service(context, service);
  context.wants_json() ? context.print_json(api::to_json(service)) : context.out().line(service_line(service));
  return 0;
}

struct ListOptions {
  std::vector<std::string> names = {};
};

Result<int> list_once(Context& context, bool redraws) {
  TRY_ASSIGN(ApiClient * client, context.client());
  TRY_ASSIGN(const Json answer, client->get("/v1/services"));
  if (context.wants_json()) {
    redraws ? context.print_json_line(answer) : context.print_json(answer);
    return 0;
  }
  TRY_ASSIGN(const auto list, read_answer<api::ServiceList>(answer));
  const std::string text = services_table(list.services, look_of(context));
  context.out().write(redraws && context.out().is_terminal() ? "\x1b[H\x1b[2J" + text : text);
  if (list.services.empty() && context.err().is_terminal()) context.note("no services; busbar serve FILE makes one");
  return 0;
}

Result<int> list_services(Context& context, const ListOptions& options) {
  if (options.names.empty()) return list_once(context, false);
  TRY_ASSIGN(ApiClient * client, context.client());
  TRY_ASSIGN(const Json answer, client->get(service_target(options.names[0])));
  if (context.wants_json()) {
    context.print_json(answer);
    return 0;
  }
  TRY_ASSIGN(const auto service, read_answer<api::ServiceStatus>(answer));
  context.out().write(describe_service(service, look_of(context)));
  return 0;
}

Result<int> print_changed(Context& context, const Json& answer) {
  TRY_ASSIGN(const auto service, read_answer<api::ServiceStatus>(answer));
  context.wants_json() ? context.print_json(answer) : context.out().line(service_line(service));
  return 0;
}

Result<int> top(Context& context) {
  while (true) {
    TRY(list_once(context, true));
    (void)::poll(nullptr, 0, kTopEveryMs);
  }
}

Positional service_name(std::vector<std::string>& target) {
  return {.name = "NAME", .least = 1, .most = 1, .target = &target};
}

}  // namespace

Command serve_command() {
  auto options = std::make_shared<ServeOptions>();
  return {
      .name = "serve",
      .summary = "make or change a service, and wait until it is ready",
      .usage = "busbar serve [flags] FILE",
      .details =
          "FILE is a job file with type: service (docs/services.md). The same file again changes nothing; a changed "
          "one is a new revision, whose replicas take over one after the other without a lost request. If they do "
          "not get ready the old ones go on serving.",
      .flags = {list_flag("--set", "FIELD=VALUE", "change a field: service.replicas=0..8; may be repeated",
                          options->settings),
                switch_flag("-d,--detach", "return at once", options->is_detached),
                switch_flag("--may-wait", "accept a service that the cluster as it is could never run",
                            options->may_wait)},
      .positional = {.name = "FILE", .least = 1, .most = 1, .target = &options->files, .complete = Complete::kFiles},
      .examples = {{"busbar serve examples/services/echo.yaml", "until its replicas are ready"},
                   {"busbar serve model.yaml --set service.replicas=2..8", "without editing the file"}},
      .run = [options](Context& context) { return serve_file(context, *options); }};
}

Command services_command() {
  auto options = std::make_shared<ListOptions>();
  return {
      .name = "services",
      .summary = "list services, or show one with its replicas",
      .usage = "busbar services [NAME]",
      .details =
          "READY is replicas that are given requests, of those that the requests need now, and how many it may have. "
          "busbar logs, describe, why and exec take a replica's name, or the service's for its newest replica.",
      .positional = {.name = "NAME", .least = 0, .most = 1, .target = &options->names},
      .examples = {{"busbar services", "all of them"}, {"busbar services chat", "and its replicas"}},
      .run = [options](Context& context) { return list_services(context, *options); }};
}

Command services_top_command() {
  return {.name = "services top",
          .summary = "the list of services, again each second",
          .usage = "busbar services top",
          .examples = {{"busbar services top", "until Ctrl-C"}},
          .run = top};
}

Command services_scale_command() {
  auto words = std::make_shared<std::vector<std::string>>();
  return {.name = "services scale",
          .summary = "change how many replicas a service may have",
          .usage = "busbar services scale NAME REPLICAS",
          .details = "REPLICAS is 2, or 0..8 for as many as the requests need.",
          .positional = {.name = "NAME REPLICAS", .least = 2, .most = 2, .target = words.get()},
          .examples = {{"busbar services scale chat 0..8", "none without requests, at most eight"}},
          .run = [words](Context& context) -> Result<int> {
            TRY_ASSIGN(ApiClient * client, context.client());
            TRY_ASSIGN(const Json answer,
                       client->post(service_target((*words)[0], "/scale", {{"replicas", (*words)[1]}})));
            return print_changed(context, answer);
          }};
}

Command services_rollback_command() {
  auto names = std::make_shared<std::vector<std::string>>();
  return {.name = "services rollback",
          .summary = "go back to the revision that served before",
          .usage = "busbar services rollback NAME",
          .details = "Also in the middle of an update. Requests go on being answered.",
          .positional = service_name(*names),
          .examples = {{"busbar services rollback chat", "and again to come back"}},
          .run = [names](Context& context) -> Result<int> {
            TRY_ASSIGN(ApiClient * client, context.client());
            TRY_ASSIGN(const Json answer, client->post(service_target((*names)[0], "/rollback")));
            return print_changed(context, answer);
          }};
}

Command services_delete_command() {
  auto names = std::make_shared<std::vector<std::string>>();
  return {.name = "services delete",
          .summary = "end a service",
          .usage = "busbar services delete NAME",
          .details = "Its replicas finish the requests that they have, then they are stopped.",
          .positional = service_name(*names),
          .examples = {{"busbar services delete chat", ""}},
          .run = [names](Context& context) -> Result<int> {
            TRY_ASSIGN(ApiClient * client, context.client());
            TRY_ASSIGN(const Json answer, client->remove(service_target((*names)[0])));
            TRY_ASSIGN(const auto service, read_answer<api::ServiceStatus>(answer));
            context.wants_json() ? context.print_json(answer)
                                 : context.out().line(fmt::format("service {} is being deleted", service.name));
            return 0;
          }};
}

}  // namespace busbar::cli
