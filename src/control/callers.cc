#include "control/callers.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "base/text.h"
#include "model/cluster.h"
#include "os/crypto/crypto.h"

namespace busbar::control {
namespace {

constexpr std::size_t kKeyBytes = 32;
constexpr std::size_t kIdDigits = 12;
constexpr std::string_view kKeyKind = "key";
constexpr std::string_view kTenantKind = "tenant";
constexpr std::int64_t kMaxWeight = 1'000'000;

Result<model::Rate> rate_of(const std::string& text) {
  return text.empty() ? Result<model::Rate>(model::Rate{}) : model::parse_rate(text);
}

std::string text_of(const model::Rate& rate) {
  return rate.is_bounded() ? model::format_rate(rate) : std::string();
}

Result<model::RateLimits> rates_of(const std::string& requests, const std::string& tokens) {
  model::RateLimits rates;
  TRY_ASSIGN(rates.requests, rate_of(requests));
  TRY_ASSIGN(rates.tokens, rate_of(tokens));
  return rates;
}

Result<void> check_name(std::string_view what, const std::string& name) {
  if (model::is_valid_name(name)) return {};
  return make_error(ErrorCode::kInvalidArgument,
                    fmt::format("{} \"{}\" is no name; use letters, digits, '-', '_' and '.'", what, name));
}

}  // namespace

NewKey make_key_text(Random& random) {
  std::string text = "bbk_" + os::random_token(random, kKeyBytes);
  std::string hash = os::sha256(text);
  return {.text = std::move(text), .sha256 = std::move(hash)};
}

Result<void> Callers::recover(const std::vector<store::CallerRow>& rows) {
  for (const store::CallerRow& row : rows) {
    const auto json = parse_json(row.record_json);
    const std::string what = fmt::format("row of {} \"{}\"", row.kind, row.name);
    if (!json) return with_context(what, json.error());
    if (row.kind == kKeyKind) {
      auto key = route::key_from_json(*json);
      if (!key) return with_context(what, key.error());
      keys_.emplace(row.name, KeyRecord{.key = *std::move(key),
                                        .name = (*json)["name"].as_string(),
                                        .created_ms = (*json)["created_ms"].as_int()});
    } else if (row.kind == kTenantKind) {
      auto tenant = route::tenant_from_json(*json);
      if (!tenant) return with_context(what, tenant.error());
      tenants_.emplace(row.name, *std::move(tenant));
    }
  }
  return {};
}

Result<api::KeyStatus> Callers::create(const api::KeyRequest& request, const NewKey& key, const std::string& user,
                                       TimeMs now_ms) {
  const std::string tenant = request.tenant.empty() ? user : request.tenant;
  TRY(check_name("key", request.name));
  TRY(check_name("tenant", tenant));
  for (const std::string& service : request.services) TRY(check_name("service", service));
  TRY_ASSIGN(const model::RateLimits rates, rates_of(request.requests, request.tokens));
  for (const auto& [id, known] : keys_) {
    if (known.name != request.name || known.key.tenant != tenant) continue;
    return make_error(ErrorCode::kAlreadyExists,
                      fmt::format("tenant \"{}\" has a key \"{}\" already (id {}); revoke it, or choose another name",
                                  tenant, request.name, id));
  }
  const std::string id = key.sha256.substr(0, kIdDigits);
  KeyRecord record{.key = {.id = id,
                           .sha256 = key.sha256,
                           .user = user,
                           .tenant = tenant,
                           .services = request.services,
                           .rates = rates},
                   .name = request.name,
                   .created_ms = now_ms};
  Json json = route::to_json(record.key);
  json.set("name", record.name);
  json.set("created_ms", record.created_ms);
  changes_.rows.push_back({.kind = std::string(kKeyKind), .name = id, .record_json = json.dump()});
  return status_of(keys_.insert_or_assign(id, std::move(record)).first->second);
}

Result<api::KeyStatus> Callers::revoke(const std::string& id_or_name) {
  auto found = keys_.find(id_or_name);
  if (found == keys_.end()) {
    std::vector<std::string> names;
    for (auto it = keys_.begin(); it != keys_.end(); ++it) {
      names.push_back(it->second.name);
      if (it->second.name != id_or_name) continue;
      if (found != keys_.end()) {
        return make_error(ErrorCode::kFailedPrecondition,
                          fmt::format("more than one key is called \"{}\"; revoke it by its id", id_or_name));
      }
      found = it;
    }
    if (found == keys_.end()) {
      const auto near = nearest_name(id_or_name, names);
      return make_error(ErrorCode::kNotFound,
                        fmt::format("no key \"{}\"; {}", id_or_name,
                                    near ? fmt::format("did you mean \"{}\"?", *near) : "`busbar keys` lists them"));
    }
  }
  api::KeyStatus status = status_of(found->second);
  changes_.removed.emplace_back(kKeyKind, found->first);
  keys_.erase(found);
  return status;
}

Result<api::TenantStatus> Callers::put_tenant(const std::string& name, const api::TenantRequest& request) {
  TRY(check_name("tenant", name));
  if (request.weight < 1 || request.weight > kMaxWeight) {
    return make_error(ErrorCode::kInvalidArgument,
                      fmt::format("weight {} is not a number from 1 to {}", request.weight, kMaxWeight));
  }
  TRY_ASSIGN(const model::RateLimits rates, rates_of(request.requests, request.tokens));
  const route::Tenant tenant{.name = name, .weight = static_cast<std::uint32_t>(request.weight), .rates = rates};
  changes_.rows.push_back(
      {.kind = std::string(kTenantKind), .name = name, .record_json = route::to_json(tenant).dump()});
  tenants_.insert_or_assign(name, tenant);
  return status_of(tenant);
}

Result<api::TenantStatus> Callers::remove_tenant(const std::string& name) {
  if (tenants_.erase(name) == 0) {
    return make_error(ErrorCode::kNotFound, fmt::format("nothing is set for tenant \"{}\"", name));
  }
  changes_.removed.emplace_back(kTenantKind, name);
  return status_of(route::Tenant{.name = name});
}

api::KeyStatus Callers::status_of(const KeyRecord& record) {
  return {.id = record.key.id,
          .name = record.name,
          .user = record.key.user,
          .tenant = record.key.tenant,
          .services = record.key.services,
          .requests = text_of(record.key.rates.requests),
          .tokens = text_of(record.key.rates.tokens),
          .created_ms = record.created_ms};
}

api::TenantStatus Callers::status_of(const route::Tenant& tenant) const {
  const auto count = std::count_if(keys_.begin(), keys_.end(),
                                   [&tenant](const auto& each) { return each.second.key.tenant == tenant.name; });
  return {.name = tenant.name,
          .weight = tenant.weight,
          .requests = text_of(tenant.rates.requests),
          .tokens = text_of(tenant.rates.tokens),
          .keys = static_cast<std::uint32_t>(count)};
}

api::KeyList Callers::keys() const {
  api::KeyList list;
  for (const auto& [id, record] : keys_) list.keys.push_back(status_of(record));
  std::sort(list.keys.begin(), list.keys.end(), [](const api::KeyStatus& left, const api::KeyStatus& right) {
    return std::tie(left.tenant, left.name) < std::tie(right.tenant, right.name);
  });
  return list;
}

api::TenantList Callers::tenants() const {
  std::set<std::string> names;
  for (const auto& [name, tenant] : tenants_) names.insert(name);
  for (const auto& [id, record] : keys_) names.insert(record.key.tenant);
  api::TenantList list;
  for (const std::string& name : names) {
    const auto known = tenants_.find(name);
    list.tenants.push_back(status_of(known != tenants_.end() ? known->second : route::Tenant{.name = name}));
  }
  return list;
}

std::vector<route::Key> Callers::routed_keys() const {
  std::vector<route::Key> keys;
  for (const auto& [id, record] : keys_) keys.push_back(record.key);
  return keys;
}

std::vector<route::Tenant> Callers::routed_tenants() const {
  std::vector<route::Tenant> tenants;
  for (const auto& [name, tenant] : tenants_) tenants.push_back(tenant);
  return tenants;
}

}  // namespace busbar::control
