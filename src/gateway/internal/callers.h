#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "route/bucket.h"
#include "route/caller.h"
#include "route/keyed_hash.h"
#include "route/table.h"

/// Who may call, ready for lookups, and what each has used.
namespace busbar::gateway::internal {

/// What may still be used, shared by all workers: the states of route::Bucket.
struct UseState {
  std::atomic<std::int64_t> requests = 0;
  std::atomic<std::int64_t> tokens = 0;
};

/// The buckets of one key, tenant or service.
struct UseLimits {
  UseLimits() = default;
  UseLimits(const model::RateLimits& rates, std::uint32_t sharers)
      : requests(rates.requests, sharers), tokens(rates.tokens, sharers) {}
  route::Bucket requests = {};
  route::Bucket tokens = {};
  bool is_bounded() const { return requests.is_bounded() || tokens.is_bounded(); }
};

/// What all workers know of a tenant. Lives as long as a table or a request names it.
struct TenantState {
  TenantState(std::string tenant, std::uint32_t number) : name(std::move(tenant)), slot(number) {}
  const std::string name;
  const std::uint32_t slot;  ///< Counts up; for tables indexed by tenants.
  UseState use = {};
  std::atomic<std::uint64_t> requests = 0;
  std::atomic<std::uint64_t> limited = 0;           ///< Refused with 429.
  std::atomic<std::uint64_t> estimated_tokens = 0;  ///< Taken at admission.
  std::atomic<std::uint64_t> settled_tokens = 0;    ///< As answers said.
  std::atomic<std::uint64_t> unsettled = 0;         ///< Answers that did not say: their estimate stands.
};

struct TenantEntry {
  route::Tenant value = {};
  UseLimits limits = {};
  std::shared_ptr<TenantState> state = {};
};

struct KeyEntry {
  route::Key value = {};
  UseLimits limits = {};
  std::shared_ptr<UseState> state = {};
  std::shared_ptr<const TenantEntry> tenant = {};
};

/// The callers of one route table. Immutable.
class Callers {
 public:
  /// Takes over what keys and tenants that `previous` (may be nullptr) knows have used; is `previous` itself where
  /// nothing has changed.
  static std::shared_ptr<const Callers> make(std::vector<route::Key> keys, std::vector<route::Tenant> tenants,
                                             std::uint32_t gateways, std::shared_ptr<const Callers> previous);

  /// The key whose hash this is; nullptr: nobody's.
  const std::shared_ptr<const KeyEntry>* find(std::string_view sha256_hex) const;
  /// Those who call without a key.
  const std::shared_ptr<const TenantEntry>& anonymous() const { return anonymous_; }
  const std::vector<std::shared_ptr<const TenantEntry>>& tenants() const { return tenants_; }
  /// Never the same for two Callers.
  std::uint64_t serial() const { return serial_; }

 private:
  struct TextHash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
  };
  std::shared_ptr<const TenantEntry> make_tenant(route::Tenant value, const Callers* previous);

  std::uint64_t serial_ = 0;
  std::uint32_t gateways_ = 1;
  std::uint32_t next_slot_ = 1;
  std::vector<route::Key> keys_ = {};
  std::vector<route::Tenant> said_ = {};
  std::shared_ptr<const TenantEntry> anonymous_ = {};
  std::vector<std::shared_ptr<const TenantEntry>> tenants_ = {};  ///< By name.
  std::unordered_map<std::string, std::shared_ptr<const KeyEntry>, TextHash, std::equal_to<>> by_hash_ = {};
};

/// Keys that one worker has seen of late, so that a request does not cost a SHA-256. What is kept of a key is a hash
/// under a secret of this worker: neither the key nor anything that a table of hashes could be compared with. Not
/// thread-safe.
class KeyCache {
 public:
  explicit KeyCache(const route::HashKey& secret) : secret_(secret) {}

  /// nullptr: no key of `callers`.
  std::shared_ptr<const KeyEntry> find(std::string_view key, const Callers& callers);

 private:
  struct Entry {
    route::Hash128 hash = {};
    std::uint64_t serial = 0;
    std::shared_ptr<const KeyEntry> key = {};
  };
  static constexpr std::size_t kEntries = 512;

  const route::HashKey secret_;
  std::array<Entry, kEntries> entries_ = {};
};

}  // namespace busbar::gateway::internal
