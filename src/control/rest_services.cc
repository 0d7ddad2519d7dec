#include <fmt/format.h>

#include <utility>

#include "control/rest.h"
#include "model/spec_text.h"

// Services for users, routes and demand for gateways.
namespace busbar::control {
namespace {

std::vector<api::Diagnostic> warnings_of(const launch::ParsedJob& parsed) {
  std::vector<api::Diagnostic> warnings;
  for (const launch::Diagnostic& one : parsed.diagnostics) {
    warnings.push_back({.line = one.position.line,
                        .column = one.position.column,
                        .field = one.field,
                        .message = one.message,
                        .hint = one.hint,
                        .is_warning = one.is_warning});
  }
  return warnings;
}

api::ServiceStatus with_url(api::ServiceStatus status, const std::string& gateway_url) {
  status.url = fmt::format("{}/services/{}/", gateway_url, status.name);
  return status;
}

}  // namespace

void Rest::apply_service(const CallPtr& call, const api::SubmitRequest& request, const launch::ParsedJob& parsed) {
  if (refuse_if_degraded(call)) return;
  command(call, 201,
          [this, call, spec = parsed.spec, may_wait = request.may_wait_infeasible,
           warnings = warnings_of(parsed)](Ledger& ledger) -> Result<Json> {
            TRY_ASSIGN(api::ServiceStatus status, ledger.apply_service(spec, call->user, may_wait));
            return api::to_json(
                api::SubmitAnswer{.service = with_url(std::move(status), d_.gateway_url), .warnings = warnings});
          });
}

void Rest::list_services(const CallPtr& call) {
  d_.controller.post([this, call](Ledger&) -> Controller::Reply {
    return [this, call](const Ledger& ledger) {
      api::ServiceList list = ledger.list_services();
      for (api::ServiceStatus& status : list.services) status = with_url(std::move(status), d_.gateway_url);
      call->answer(200, api::to_json(list));
    };
  });
}

void Rest::get_service(const CallPtr& call) {
  d_.controller.post([this, call](Ledger&) -> Controller::Reply {
    return [this, call](const Ledger& ledger) {
      auto status = ledger.service_status(call->request.path_parameter("service"));
      if (!status) return call->refuse(status.error());
      call->answer(200, api::to_json(with_url(*std::move(status), d_.gateway_url)));
    };
  });
}

void Rest::change_service(const CallPtr& call,
                          std::function<Result<api::ServiceStatus>(Ledger&, const std::string&)> change) {
  if (refuse_if_degraded(call)) return;
  command(call, 200, [this, call, change = std::move(change)](Ledger& ledger) -> Result<Json> {
    TRY_ASSIGN(api::ServiceStatus status, change(ledger, call->request.path_parameter("service")));
    return api::to_json(with_url(std::move(status), d_.gateway_url));
  });
}

void Rest::delete_service(const CallPtr& call) {
  change_service(call, [](Ledger& ledger, const std::string& name) { return ledger.remove_service(name); });
}

void Rest::roll_back_service(const CallPtr& call) {
  change_service(call, [](Ledger& ledger, const std::string& name) { return ledger.roll_back_service(name); });
}

void Rest::scale_service(const CallPtr& call) {
  const auto bounds = model::parse_replicas(call->request.query_value("replicas").value_or(""));
  if (!bounds) return call->refuse(bounds.error());
  change_service(call, [bounds = *bounds](Ledger& ledger, const std::string& name) {
    return ledger.scale_service(name, bounds.first, bounds.second);
  });
}

void Rest::get_routes(const CallPtr& call) {
  d_.controller.post([call](Ledger&) -> Controller::Reply {
    return [call](const Ledger& ledger) { call->answer(200, route::to_json(ledger.services().table())); };
  });
}

void Rest::watch_routes(const CallPtr& call) {
  d_.watchers.watch_routes(net::SseWriter::start(*call->exchange));
}

void Rest::take_demand(const CallPtr& call) {
  const auto json = parse_json(call->request.body);
  if (!json) return call->refuse(json.error());
  auto demand = route::demand_from_json(*json);
  if (!demand) return call->refuse(demand.error());
  d_.controller.post([this, demand = *std::move(demand)](Ledger& ledger) -> Controller::Reply {
    ledger.on_demand(demand);
    return [this](const Ledger& after) {
      // A single gateway knows all by itself.
      const route::DemandBook& book = after.services().demand();
      d_.watchers.on_loads(book.gateway_count() < 2 ? route::Loads{} : book.loads());
    };
  });
  // The gateway need not wait for what follows from it: the route table tells.
  call->exchange->respond({.status = 204});
}

}  // namespace busbar::control
