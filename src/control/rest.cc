#include "control/rest.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "control/internal/measured_exchange.h"
#include "launch/job_file.h"
#include "os/log.h"

namespace busbar::control {
namespace {

bool needs_token(api::Operation operation) {
  for (const api::Route& route : api::routes()) {
    if (route.operation == operation) return route.needs_token;
  }
  return true;
}

}  // namespace

Rest::Rest(Dependencies dependencies) : d_(std::move(dependencies)) {
  for (const api::Route& route : api::routes()) {
    router_.add(route.method, route.path, static_cast<int>(route.operation));
  }
}

void Rest::Call::answer(int status, const Json& body) const {
  net::HttpResponse response = net::json_response(status, body);
  net::set_header(response.headers, "X-Request-Id", request_id);
  exchange->respond(std::move(response));
}

void Rest::Call::refuse(const Error& error) const {
  answer(http_status(error.code), api::to_json(api::ErrorBody{.error = error}));
}

void Rest::handle(net::HttpRequest request, std::shared_ptr<net::HttpExchange> exchange) {
  const net::RouteMatch match = router_.match(request.method, request.raw_path());
  const bool is_found = match.outcome == net::RouteMatch::Outcome::kFound;
  exchange =
      measured(std::move(exchange), is_found ? route_class(static_cast<api::Operation>(match.route)) : kUnroutedClass,
               d_.metrics, d_.clock);
  if (!is_found) {
    exchange->respond(net::unrouted_response(match, request));
    return;
  }
  request.path_parameters = match.parameters;
  auto call = std::make_shared<Call>();
  call->request_id = request.header("X-Request-Id");
  if (call->request_id.empty() || call->request_id.size() > 128) {
    call->request_id = fmt::format("r{}", next_request_.fetch_add(1));
  }
  call->request = std::move(request);
  call->exchange = std::move(exchange);
  const auto operation = static_cast<api::Operation>(match.route);
  if (d_.auth == nullptr) {
    call->user = d_.local_user;
  } else if (needs_token(operation)) {
    auto user = d_.auth->authenticate(call->request);
    if (!user) {
      d_.metrics.add("busbar_api_unauthenticated_total", 1);
      return call->refuse(user.error());
    }
    call->user = *std::move(user);
  }
  dispatch(operation, call);
}

void Rest::dispatch(api::Operation operation, const CallPtr& call) {
  using api::Operation;
  switch (operation) {
    case Operation::kHealth:
      return health(call);
    case Operation::kReady:
      return ready(call);
    case Operation::kMetrics:
      return metrics(call);
    case Operation::kOpenApi:
      return call->answer(200, api::openapi(d_.server.version));
    case Operation::kJobSchema:
      return call->exchange->respond(net::text_response(200, "application/schema+json", launch::job_file_schema()));
    case Operation::kServer:
      return server(call);
    case Operation::kSubmit:
      return submit(call, Accept::kAll);
    case Operation::kListJobs:
      return list_jobs(call);
    case Operation::kGetJob:
      return get_job(call);
    case Operation::kStopJob:
      return stop_job(call);
    case Operation::kWhyJob:
      return why_job(call);
    case Operation::kWhenJob:
      return when_job(call);
    case Operation::kSignalJob:
      return signal_job(call);
    case Operation::kJobLogs:
      return job_logs(call);
    case Operation::kWatchJob:
      return watch_job(call);
    case Operation::kExecJob:
      return exec_job(call);
    case Operation::kAttachJob:
      return attach_job(call);
    case Operation::kListNodes:
      return list_nodes(call);
    case Operation::kDrainNode:
      return set_node_state(call, model::NodeState::kDrained);
    case Operation::kResumeNode:
      return set_node_state(call, model::NodeState::kReady);
    case Operation::kListCards:
      return list_cards(call);
    case Operation::kListQueues:
      return list_queues(call);
    case Operation::kPutQueue:
      return put_queue(call);
    case Operation::kDiffQueues:
      return diff_queues(call);
    case Operation::kUsage:
      return usage(call);
    case Operation::kListReservations:
      return list_reservations(call);
    case Operation::kReserve:
      return reserve(call);
    case Operation::kCancelReservation:
      return cancel_reservation(call);
    case Operation::kListEvents:
      return list_events(call);
    case Operation::kListServices:
      return list_services(call);
    case Operation::kGetService:
      return get_service(call);
    case Operation::kApplyService:
      return submit(call, Accept::kServices);
    case Operation::kDeleteService:
      return delete_service(call);
    case Operation::kScaleService:
      return scale_service(call);
    case Operation::kRollBackService:
      return roll_back_service(call);
    case Operation::kGetRoutes:
      return get_routes(call);
    case Operation::kWatchRoutes:
      return watch_routes(call);
    case Operation::kDemand:
      return take_demand(call);
    case Operation::kListKeys:
      return list_keys(call);
    case Operation::kCreateKey:
      return create_key(call);
    case Operation::kRevokeKey:
      return revoke_key(call);
    case Operation::kListTenants:
      return list_tenants(call);
    case Operation::kPutTenant:
      return put_tenant(call);
    case Operation::kDeleteTenant:
      return delete_tenant(call);
    case Operation::kListSecrets:
      return list_secrets(call);
    case Operation::kPutSecret:
      return put_secret(call);
    case Operation::kDeleteSecret:
      return delete_secret(call);
    case Operation::kExportJournal:
      return export_journal(call);
    case Operation::kBackup:
      return backup(call);
  }
}

void Rest::command(const CallPtr& call, int status, std::function<Result<Json>(Ledger&)> run) {
  d_.controller.post([this, call, status, run = std::move(run)](Ledger& ledger) -> Controller::Reply {
    auto result = std::make_shared<Result<Json>>(run(ledger));
    return [this, call, status, result](const Ledger&) {
      if (*result && refuse_if_degraded(call)) return;
      if (*result) {
        call->answer(status, **result);
      } else {
        call->refuse(result->error());
      }
    };
  });
}

void Rest::ask_job(const CallPtr& call, std::function<void(const Ledger&, model::JobId)> answer) {
  d_.controller.post([call, answer = std::move(answer)](Ledger&) -> Controller::Reply {
    return [call, answer](const Ledger& ledger) {
      const auto id = ledger.resolve_job(call->request.path_parameter("job"));
      if (!id) return call->refuse(id.error());
      answer(ledger, *id);
    };
  });
}

bool Rest::refuse_if_degraded(const CallPtr& call) {
  if (!d_.controller.is_degraded()) return false;
  call->refuse({.code = ErrorCode::kUnavailable,
                .message =
                    "the server cannot write its state; nothing new starts until that works again. Free some disk, "
                    "then ask again (with the same client key, so that nothing is submitted twice)",
                .cause = d_.controller.degraded_reason(),
                .is_retryable = true});
  return true;
}

void Rest::health(const CallPtr& call) {
  call->answer(200, Json::object({{"status", "ok"}}));
}

void Rest::ready(const CallPtr& call) {
  if (refuse_if_degraded(call)) return;
  // Through the control thread: an answer shows that it turns.
  command(call, 200, [](Ledger&) -> Result<Json> { return Json::object({{"status", "ready"}}); });
}

void Rest::metrics(const CallPtr& call) {
  d_.controller.post([this, call](Ledger&) -> Controller::Reply {
    return [this, call](const Ledger& ledger) {
      std::map<std::string, std::int64_t> by_state;
      for (const model::JobState state :
           {model::JobState::kQueued, model::JobState::kBlocked, model::JobState::kStarting, model::JobState::kRunning,
            model::JobState::kStopping}) {
        by_state[std::string(model::job_state_name(state))] = 0;
      }
      for (const auto& [id, record] : ledger.live_jobs()) ++by_state[std::string(model::job_state_name(record.state))];
      for (const auto& [state, count] : by_state) {
        d_.metrics.set("busbar_control_jobs", static_cast<double>(count), {{"state", state}});
      }
      std::int64_t total = 0;
      std::int64_t used = 0;
      for (const api::NodeStatus& node : ledger.node_statuses()) {
        for (const api::CardStatus& card : node.cards) {
          total += 1000;
          used += card.used_milli;
        }
      }
      d_.metrics.set("busbar_sched_cards", static_cast<double>(total) / 1000);
      d_.metrics.set("busbar_sched_cards_used", static_cast<double>(used) / 1000);
      set_service_metrics(ledger.services());
      d_.metrics.set("busbar_control_journal_sequence", static_cast<double>(ledger.sequence()));
      d_.metrics.set("busbar_control_degraded", d_.controller.is_degraded() ? 1 : 0);
      set_transport_metrics();
      call->exchange->respond(net::text_response(200, "text/plain; version=0.0.4; charset=utf-8", d_.metrics.render()));
    };
  });
}

void Rest::set_service_metrics(const Services& services) {
  constexpr std::array kPhases = {ReplicaPhase::kStarting, ReplicaPhase::kReady,    ReplicaPhase::kUnready,
                                  ReplicaPhase::kDraining, ReplicaPhase::kStopping, ReplicaPhase::kPaused};
  std::map<ReplicaPhase, int> counts;
  for (const auto& [name, record] : services.all()) {
    for (const Replica& replica : record.replicas) ++counts[replica.phase];
  }
  for (const ReplicaPhase phase : kPhases) {
    d_.metrics.set("busbar_control_replicas", counts[phase], {{"phase", std::string(replica_phase_name(phase))}});
  }
  d_.metrics.set("busbar_control_services", static_cast<double>(services.all().size()));
}

void Rest::set_transport_metrics() {
  const net::HttpServerStats net = d_.net_stats();
  d_.metrics.set("busbar_net_connections", static_cast<double>(net.connections_open));
  d_.metrics.set_counter("busbar_net_connections_total", net.connections_accepted);
  d_.metrics.set_counter("busbar_net_connections_refused_total", net.connections_refused);
  d_.metrics.set_counter("busbar_net_accept_errors_total", net.accept_errors);
  d_.metrics.set_counter("busbar_net_requests_refused_total", net.requests_refused);
  const LogStreamerStats logs = d_.logs.stats();
  d_.metrics.set("busbar_logs_streams", static_cast<double>(logs.streams_open));
  d_.metrics.set("busbar_logs_polled_directories", static_cast<double>(logs.watches_failed));
  d_.metrics.set_counter("busbar_logs_lines_total", logs.lines_sent);
  d_.metrics.set_counter("busbar_logs_gaps_total", logs.gaps);
}

void Rest::server(const CallPtr& call) {
  d_.controller.post([this, call](Ledger&) -> Controller::Reply {
    return [this, call](const Ledger& ledger) {
      api::ServerStatus status = d_.server;
      status.journal_sequence = ledger.sequence();
      status.state_hash = fmt::format("{:016x}", ledger.core().state_hash());
      call->answer(200, api::to_json(status));
    };
  });
}

}  // namespace busbar::control
