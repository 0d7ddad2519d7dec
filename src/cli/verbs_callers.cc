#include <fmt/format.h>

#include <memory>
#include <utility>

#include "base/text.h"
#include "cli/context.h"
#include "cli/output.h"
#include "cli/table.h"
#include "cli/verb_tools.h"
#include "model/rate.h"
#include "net/http.h"

// Keys and tenants of those who call services.
namespace busbar::cli {
namespace {

std::string key_target(const std::string& name) {
  return "/v1/keys/" + net::percent_encode(name);
}

std::string tenant_target(const std::string& name) {
  return "/v1/tenants/" + net::percent_encode(name);
}

std::string or_dash(const std::string& text) {
  return text.empty() ? "-" : text;
}

std::string keys_table(const std::vector<api::KeyStatus>& keys, const Look& look) {
  Table table({{.title = "ID"},
               {.title = "NAME"},
               {.title = "TENANT"},
               {.title = "USER"},
               {.title = "SERVICES"},
               {.title = "REQUESTS"},
               {.title = "TOKENS"},
               {.title = "CREATED"}});
  for (const api::KeyStatus& key : keys) {
    table.add({key.id, key.name, key.tenant, key.user, key.services.empty() ? "all" : join(key.services, ","),
               or_dash(key.requests), or_dash(key.tokens), time_ago(key.created_ms, look.now_ms)});
  }
  return table.render({.width = look.width, .has_colour = look.has_colour});
}

std::string tenants_table(const std::vector<api::TenantStatus>& tenants, const Look& look) {
  Table table(
      {{.title = "TENANT"}, {.title = "WEIGHT"}, {.title = "REQUESTS"}, {.title = "TOKENS"}, {.title = "KEYS"}});
  for (const api::TenantStatus& tenant : tenants) {
    table.add({tenant.name, std::to_string(tenant.weight), or_dash(tenant.requests), or_dash(tenant.tokens),
               std::to_string(tenant.keys)});
  }
  return table.render({.width = look.width, .has_colour = look.has_colour});
}

struct KeyOptions {
  std::vector<std::string> names = {};
  std::string tenant = {};
  std::vector<std::string> services = {};
  std::string requests = {};
  std::string tokens = {};
};

Result<int> create_key(Context& context, const KeyOptions& options) {
  TRY_ASSIGN(ApiClient * client, context.client());
  const api::KeyRequest request{.name = options.names[0],
                                .tenant = options.tenant,
                                .services = options.services,
                                .requests = options.requests,
                                .tokens = options.tokens};
  TRY_ASSIGN(const Json answer, client->post("/v1/keys", api::to_json(request)));
  if (context.wants_json()) {
    context.print_json(answer);
    return 0;
  }
  TRY_ASSIGN(const auto key, read_answer<api::KeyStatus>(answer));
  // The key alone on standard output: KEY=$(busbar keys create ...).
  context.out().line(key.key.value_or(""));
  context.note(fmt::format("key {} ({}) of tenant {}; its text is shown this once", key.name, key.id, key.tenant));
  return 0;
}

Result<int> revoke_keys(Context& context, const std::vector<std::string>& names) {
  TRY_ASSIGN(ApiClient * client, context.client());
  Json revoked = Json::array();
  for (const std::string& name : names) {
    TRY_ASSIGN(const Json answer, client->remove(key_target(name)));
    revoked.push(answer);
    context.note(fmt::format("key {} ({}) is let in no more", answer["name"].as_string(), answer["id"].as_string()));
  }
  if (context.wants_json()) context.print_json(Json::object({{"revoked", std::move(revoked)}}));
  return 0;
}

struct TenantOptions {
  std::vector<std::string> names = {};
  std::optional<std::int64_t> weight = {};
  std::string requests = {};
  std::string tokens = {};
};

/// What is not given stays as it is; "none" takes a bound away.
Result<int> set_tenant(Context& context, const TenantOptions& options) {
  TRY_ASSIGN(ApiClient * client, context.client());
  TRY_ASSIGN(const Json answer, client->get("/v1/tenants"));
  TRY_ASSIGN(const auto list, read_answer<api::TenantList>(answer));
  api::TenantRequest request;
  for (const api::TenantStatus& tenant : list.tenants) {
    if (tenant.name != options.names[0]) continue;
    request = {.weight = tenant.weight, .requests = tenant.requests, .tokens = tenant.tokens};
  }
  request.weight = options.weight.value_or(request.weight);
  if (!options.requests.empty()) request.requests = options.requests;
  if (!options.tokens.empty()) request.tokens = options.tokens;
  TRY_ASSIGN(const Json changed, client->put(tenant_target(options.names[0]), api::to_json(request)));
  if (context.wants_json()) {
    context.print_json(changed);
    return 0;
  }
  TRY_ASSIGN(const auto tenant, read_answer<api::TenantStatus>(changed));
  context.out().write(tenants_table({tenant}, look_of(context)));
  return 0;
}

}  // namespace

Command keys_command() {
  return {.name = "keys",
          .summary = "list the keys of callers of services",
          .usage = "busbar keys",
          .details = "Never their texts: those are kept nowhere.",
          .examples = {{"busbar keys", "whose they are, what they may call and use"}},
          .run = [](Context& context) {
            return print_list<api::KeyList>(context, "/v1/keys", [&context](const api::KeyList& list) {
              return keys_table(list.keys, look_of(context));
            });
          }};
}

Command keys_create_command() {
  auto options = std::make_shared<KeyOptions>();
  return {
      .name = "keys create",
      .summary = "make a key for a caller of services",
      .usage = "busbar keys create [flags] NAME",
      .details =
          "Prints the key, once. Callers send it as \"Authorization: Bearer KEY\" or \"x-api-key: KEY\" to services "
          "with "
          "auth: key.",
      .flags = {text_flag("--tenant", "NAME", "whose limits and share it counts to (default: you)", options->tenant),
                list_flag("--service", "NAME", "that it may call; may be repeated (default: all)", options->services),
                text_flag("--requests", "RATE", "like 10/s", options->requests),
                text_flag("--tokens", "RATE", "of language models, like 50000/m", options->tokens)},
      .positional = {.name = "NAME", .least = 1, .most = 1, .target = &options->names},
      .examples = {{"KEY=$(busbar keys create laptop)", "for yourself"},
                   {"busbar keys create app --tenant research --service chat --tokens 50000/m", "for a program"}},
      .run = [options](Context& context) { return create_key(context, *options); }};
}

Command keys_revoke_command() {
  auto names = std::make_shared<std::vector<std::string>>();
  return {.name = "keys revoke",
          .summary = "let keys in no more",
          .usage = "busbar keys revoke KEY...",
          .details = "By id, or by a name that only one key has. Gateways hear of it at once; what runs goes on.",
          .positional = {.name = "KEY", .least = 1, .most = 1'000, .target = names.get()},
          .examples = {{"busbar keys revoke laptop", ""}},
          .run = [names](Context& context) { return revoke_keys(context, *names); }};
}

Command tenants_command() {
  return {.name = "tenants",
          .summary = "list tenants of services with their shares and limits",
          .usage = "busbar tenants",
          .examples = {{"busbar tenants", "those that are described and those that keys name"}},
          .run = [](Context& context) {
            return print_list<api::TenantList>(context, "/v1/tenants", [&context](const api::TenantList& list) {
              return tenants_table(list.tenants, look_of(context));
            });
          }};
}

Command tenants_set_command() {
  auto options = std::make_shared<TenantOptions>();
  return {
      .name = "tenants set",
      .summary = "set a tenant's share of services and its limits",
      .usage = "busbar tenants set [flags] NAME",
      .details =
          "Where a service has not enough for all, tenants that wait are served by weight. Limits hold for all keys "
          "of the tenant together. What is not given stays as it is.",
      .flags = {number_flag("--weight", "N", "1 to 1000000", options->weight),
                text_flag("--requests", "RATE", "like 100/s; none: no bound", options->requests),
                text_flag("--tokens", "RATE", "of language models, like 1000000/m; none: no bound", options->tokens)},
      .positional = {.name = "NAME", .least = 1, .most = 1, .target = &options->names},
      .examples = {{"busbar tenants set research --weight 4 --tokens 1000000/m", ""}},
      .run = [options](Context& context) { return set_tenant(context, *options); }};
}

Command tenants_reset_command() {
  auto names = std::make_shared<std::vector<std::string>>();
  return {.name = "tenants reset",
          .summary = "back to weight 1 and no limits",
          .usage = "busbar tenants reset NAME",
          .details = "Its keys stay.",
          .positional = {.name = "NAME", .least = 1, .most = 1, .target = names.get()},
          .examples = {{"busbar tenants reset research", ""}},
          .run = [names](Context& context) -> Result<int> {
            TRY_ASSIGN(ApiClient * client, context.client());
            TRY_ASSIGN(const Json answer, client->remove(tenant_target((*names)[0])));
            if (context.wants_json()) context.print_json(answer);
            return 0;
          }};
}

}  // namespace busbar::cli
