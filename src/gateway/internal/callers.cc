#include "gateway/internal/callers.h"

#include <algorithm>
#include <utility>

#include "os/crypto/crypto.h"

namespace busbar::gateway::internal {
namespace {

/// Longer texts are no keys, and hashing them would be work for nothing.
constexpr std::size_t kMaxKeyBytes = 256;

const TenantEntry* find_tenant(const Callers* callers, std::string_view name) {
  if (callers == nullptr) return nullptr;
  const auto& tenants = callers->tenants();
  const auto found = std::lower_bound(tenants.begin(), tenants.end(), name,
                                      [](const auto& each, std::string_view key) { return each->value.name < key; });
  return found != tenants.end() && (*found)->value.name == name ? found->get() : nullptr;
}

}  // namespace

std::shared_ptr<const TenantEntry> Callers::make_tenant(route::Tenant value, const Callers* previous) {
  auto entry = std::make_shared<TenantEntry>();
  entry->limits = {value.rates, gateways_};
  const TenantEntry* known = find_tenant(previous, value.name);
  entry->state = known != nullptr ? known->state : std::make_shared<TenantState>(value.name, next_slot_++);
  entry->value = std::move(value);
  return entry;
}

std::shared_ptr<const Callers> Callers::make(std::vector<route::Key> keys, std::vector<route::Tenant> tenants,
                                             std::uint32_t gateways, std::shared_ptr<const Callers> previous) {
  if (previous != nullptr && previous->gateways_ == gateways && previous->keys_ == keys && previous->said_ == tenants) {
    return previous;
  }
  auto callers = std::make_shared<Callers>();
  callers->serial_ = previous == nullptr ? 1 : previous->serial_ + 1;
  callers->gateways_ = gateways;
  if (previous != nullptr) callers->next_slot_ = previous->next_slot_;
  callers->said_ = tenants;
  callers->keys_ = keys;
  // Tenants that nothing is said of are those of the keys that name them.
  std::map<std::string, route::Tenant> named;
  for (const route::Key& key : keys) named.emplace(key.tenant, route::Tenant{.name = key.tenant});
  for (route::Tenant& tenant : tenants) named.insert_or_assign(tenant.name, std::move(tenant));
  for (auto& [name, tenant] : named)
    callers->tenants_.push_back(callers->make_tenant(std::move(tenant), previous.get()));
  std::map<std::string_view, std::shared_ptr<UseState>> used;
  if (previous != nullptr) {
    callers->anonymous_ = previous->anonymous_;
    for (const auto& [hash, entry] : previous->by_hash_) used.emplace(entry->value.id, entry->state);
  } else {
    auto anonymous = std::make_shared<TenantEntry>();
    anonymous->state = std::make_shared<TenantState>("", 0);
    callers->anonymous_ = std::move(anonymous);
  }
  for (route::Key& key : keys) {
    auto entry = std::make_shared<KeyEntry>();
    const auto known = used.find(key.id);
    entry->state = known != used.end() ? known->second : std::make_shared<UseState>();
    entry->limits = {key.rates, gateways};
    const auto tenant = std::lower_bound(callers->tenants_.begin(), callers->tenants_.end(), key.tenant,
                                         [](const auto& each, const auto& name) { return each->value.name < name; });
    entry->tenant = *tenant;
    entry->value = std::move(key);
    callers->by_hash_.insert_or_assign(entry->value.sha256, std::move(entry));
  }
  return callers;
}

const std::shared_ptr<const KeyEntry>* Callers::find(std::string_view sha256_hex) const {
  const auto found = by_hash_.find(sha256_hex);
  if (found == by_hash_.end() || !os::constant_time_equal(found->first, sha256_hex)) return nullptr;
  return &found->second;
}

std::shared_ptr<const KeyEntry> KeyCache::find(std::string_view key, const Callers& callers) {
  if (key.empty() || key.size() > kMaxKeyBytes) return nullptr;
  const route::Hash128 hash = route::keyed_hash(secret_, key);
  Entry& entry = entries_[hash.low % kEntries];
  // Both halves at once: no branch tells how much of it was right.
  const bool is_same = ((entry.hash.low ^ hash.low) | (entry.hash.high ^ hash.high)) == 0;
  if (is_same && entry.serial == callers.serial()) return entry.key;
  const std::shared_ptr<const KeyEntry>* found = callers.find(os::sha256(key));
  if (found == nullptr) return nullptr;
  entry = {.hash = hash, .serial = callers.serial(), .key = *found};
  return *found;
}

}  // namespace busbar::gateway::internal
