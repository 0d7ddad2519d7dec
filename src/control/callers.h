#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "api/types.h"
#include "base/clock.h"
#include "base/error.h"
#include "route/caller.h"
#include "store/store.h"

namespace busbar::control {

/// What is to be written of callers.
struct CallerChanges {
  std::vector<store::CallerRow> rows = {};
  std::vector<std::pair<std::string, std::string>> removed = {};
  bool is_empty() const { return rows.empty() && removed.empty(); }
};

/// A key as it is told to whoever made it, once.
struct NewKey {
  std::string text = {};
  std::string sha256 = {};
};
/// "bbk_" and 256 random bits: the prefix lets scanners of leaked secrets recognise one.
NewKey make_key_text(Random& random);

/// Keys and tenants of callers of services: commands in, rows and what gateways are told out. No threads, no clock.
/// Owned by the Ledger.
class Callers {
 public:
  Result<void> recover(const std::vector<store::CallerRow>& rows);

  // Commands. An error leaves everything as it was.
  /// kAlreadyExists: the tenant has a key of this name.
  Result<api::KeyStatus> create(const api::KeyRequest& request, const NewKey& key, const std::string& user,
                                TimeMs now_ms);
  /// By id, or by a name that only one key has.
  Result<api::KeyStatus> revoke(const std::string& id_or_name);
  Result<api::TenantStatus> put_tenant(const std::string& name, const api::TenantRequest& request);
  Result<api::TenantStatus> remove_tenant(const std::string& name);

  CallerChanges take_changes() { return std::exchange(changes_, {}); }

  // Reading.
  api::KeyList keys() const;
  api::TenantList tenants() const;
  std::vector<route::Key> routed_keys() const;
  std::vector<route::Tenant> routed_tenants() const;

 private:
  struct KeyRecord {
    route::Key key = {};
    std::string name = {};
    TimeMs created_ms = 0;
  };
  static api::KeyStatus status_of(const KeyRecord& record);
  api::TenantStatus status_of(const route::Tenant& tenant) const;

  std::map<std::string, KeyRecord> keys_ = {};  ///< By id.
  std::map<std::string, route::Tenant> tenants_ = {};
  CallerChanges changes_ = {};
};

}  // namespace busbar::control
