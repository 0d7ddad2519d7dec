#include <fmt/format.h>

#include <algorithm>

#include "route/caller.h"
#include "route/internal/json_reader.h"

namespace busbar::route {
namespace {

using internal::JsonReader;

constexpr std::uint32_t kMaxWeight = 1'000'000;

bool is_sha256(std::string_view text) {
  return text.size() == 64 && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

}  // namespace

void add_rates(Json& json, const model::RateLimits& rates) {
  if (rates.requests.is_bounded()) json.set("requests", model::format_rate(rates.requests));
  if (rates.tokens.is_bounded()) json.set("tokens", model::format_rate(rates.tokens));
}

Json to_json(const Key& key) {
  Json json = Json::object({{"id", key.id}, {"sha256", key.sha256}, {"user", key.user}, {"tenant", key.tenant}});
  if (!key.services.empty()) json.set("services", internal::texts_to_json(key.services));
  add_rates(json, key.rates);
  return json;
}

Json to_json(const Tenant& tenant) {
  Json json = Json::object({{"name", tenant.name}, {"weight", tenant.weight}});
  add_rates(json, tenant.rates);
  return json;
}

Result<Key> key_from_json(const Json& json) {
  JsonReader reader(json, fmt::format("key {}", json["id"].dump()));
  Key key{.id = reader.text("id"),
          .sha256 = reader.text("sha256"),
          .user = reader.text("user"),
          .tenant = reader.text("tenant"),
          .services = reader.texts("services"),
          .rates = {.requests = reader.rate("requests"), .tokens = reader.rate("tokens")}};
  if (key.id.empty() || key.tenant.empty()) reader.fail("needs id and tenant");
  if (!is_sha256(key.sha256)) reader.fail("sha256 is not 64 lower-case hex digits");
  TRY(reader.finish());
  return key;
}

Result<Tenant> tenant_from_json(const Json& json) {
  JsonReader reader(json, fmt::format("tenant {}", json["name"].dump()));
  Tenant tenant{.name = reader.text("name"),
                .weight = static_cast<std::uint32_t>(reader.integer("weight", 1, kMaxWeight)),
                .rates = {.requests = reader.rate("requests"), .tokens = reader.rate("tokens")}};
  if (tenant.name.empty()) reader.fail("needs a name");
  if (tenant.weight == 0) reader.fail("weight is 0");
  TRY(reader.finish());
  return tenant;
}

}  // namespace busbar::route
