#include "control/callers.h"
#include "control/rest.h"
#include "os/system_clock.h"

// Keys and tenants of callers of services.
namespace busbar::control {
namespace {

template <class Request>
Result<Request> read_body(const std::string& body) {
  TRY_ASSIGN(const Json json, parse_json(body.empty() ? "{}" : body));
  return api::from_json_strict<Request>(json);
}

}  // namespace

void Rest::list_keys(const CallPtr& call) {
  d_.controller.post([call](Ledger&) -> Controller::Reply {
    return [call](const Ledger& ledger) { call->answer(200, api::to_json(ledger.callers().keys())); };
  });
}

void Rest::create_key(const CallPtr& call) {
  if (refuse_if_degraded(call)) return;
  const auto request = read_body<api::KeyRequest>(call->request.body);
  if (!request) return call->refuse(request.error());
  os::SystemRandom random;
  command(call, 201, [call, request = *request, key = make_key_text(random)](Ledger& ledger) -> Result<Json> {
    TRY_ASSIGN(api::KeyStatus status, ledger.create_key(request, key, call->user));
    status.key = key.text;
    return api::to_json(status);
  });
}

void Rest::revoke_key(const CallPtr& call) {
  if (refuse_if_degraded(call)) return;
  command(call, 200, [call](Ledger& ledger) -> Result<Json> {
    TRY_ASSIGN(const api::KeyStatus status, ledger.revoke_key(call->request.path_parameter("key"), call->user));
    return api::to_json(status);
  });
}

void Rest::list_tenants(const CallPtr& call) {
  d_.controller.post([call](Ledger&) -> Controller::Reply {
    return [call](const Ledger& ledger) { call->answer(200, api::to_json(ledger.callers().tenants())); };
  });
}

void Rest::put_tenant(const CallPtr& call) {
  if (refuse_if_degraded(call)) return;
  const auto request = read_body<api::TenantRequest>(call->request.body);
  if (!request) return call->refuse(request.error());
  command(call, 200, [call, request = *request](Ledger& ledger) -> Result<Json> {
    TRY_ASSIGN(const api::TenantStatus status,
               ledger.put_tenant(call->request.path_parameter("tenant"), request, call->user));
    return api::to_json(status);
  });
}

void Rest::delete_tenant(const CallPtr& call) {
  if (refuse_if_degraded(call)) return;
  command(call, 200, [call](Ledger& ledger) -> Result<Json> {
    TRY_ASSIGN(const api::TenantStatus status,
               ledger.remove_tenant(call->request.path_parameter("tenant"), call->user));
    return api::to_json(status);
  });
}

}  // namespace busbar::control
