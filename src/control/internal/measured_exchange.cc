#include "control/internal/measured_exchange.h"

#include <fmt/format.h>

#include <atomic>
#include <cstdint>
#include <string>
#include <utility>

namespace busbar::control {
namespace {

class MeasuredExchange final : public net::HttpExchange {
 public:
  MeasuredExchange(std::shared_ptr<net::HttpExchange> inner, std::string_view route, Metrics& metrics,
                   const Clock& clock)
      : inner_(std::move(inner)), route_(route), metrics_(metrics), clock_(clock), begin_ns_(clock.monotonic_ns()) {}
  /// Without an answer it is a 500, see HttpExchange.
  ~MeasuredExchange() override { count(500); }

  void respond(net::HttpResponse response) override {
    count(response.status);
    inner_->respond(std::move(response));
  }
  std::shared_ptr<net::StreamWriter> start_stream(int status, net::HttpHeaders headers,
                                                  net::StreamOptions options) override {
    count(status);
    return inner_->start_stream(status, std::move(headers), std::move(options));
  }
  void accept_websocket(std::unique_ptr<net::WebSocketHandler> handler, net::WebSocketOptions options) override {
    count(101);
    inner_->accept_websocket(std::move(handler), options);
  }

 private:
  void count(int status) {
    if (is_counted_.exchange(true)) return;
    metrics_.add("busbar_api_requests_total", 1,
                 {{"route", std::string(route_)}, {"status", fmt::format("{}xx", status / 100)}});
    metrics_.observe("busbar_api_answer_seconds", static_cast<double>(clock_.monotonic_ns() - begin_ns_) / 1e9,
                     {{"route", std::string(route_)}});
  }

  const std::shared_ptr<net::HttpExchange> inner_;
  const std::string_view route_;
  Metrics& metrics_;
  const Clock& clock_;
  const std::int64_t begin_ns_;
  std::atomic<bool> is_counted_ = false;
};

}  // namespace

std::string_view route_class(api::Operation operation) {
  using api::Operation;
  switch (operation) {
    case Operation::kHealth:
    case Operation::kReady:
    case Operation::kMetrics:
    case Operation::kServer:
      return "health";
    case Operation::kOpenApi:
    case Operation::kJobSchema:
      return "schema";
    case Operation::kSubmit:
      return "submit";
    case Operation::kListJobs:
    case Operation::kGetJob:
    case Operation::kWhyJob:
    case Operation::kWhenJob:
      return "jobs_read";
    case Operation::kStopJob:
    case Operation::kSignalJob:
      return "jobs_change";
    case Operation::kJobLogs:
    case Operation::kWatchJob:
    case Operation::kListEvents:
      return "streams";
    case Operation::kExecJob:
    case Operation::kAttachJob:
      return "terminals";
    case Operation::kListNodes:
    case Operation::kDrainNode:
    case Operation::kResumeNode:
    case Operation::kListCards:
    case Operation::kListReservations:
    case Operation::kReserve:
    case Operation::kCancelReservation:
      return "nodes";
    case Operation::kListQueues:
    case Operation::kPutQueue:
    case Operation::kDiffQueues:
    case Operation::kUsage:
      return "queues";
    case Operation::kListServices:
    case Operation::kGetService:
    case Operation::kApplyService:
    case Operation::kDeleteService:
    case Operation::kScaleService:
    case Operation::kRollBackService:
      return "services";
    case Operation::kGetRoutes:
    case Operation::kWatchRoutes:
    case Operation::kDemand:
      return "gateways";
    case Operation::kListKeys:
    case Operation::kCreateKey:
    case Operation::kRevokeKey:
    case Operation::kListTenants:
    case Operation::kPutTenant:
    case Operation::kDeleteTenant:
      return "callers";
    case Operation::kListSecrets:
    case Operation::kPutSecret:
    case Operation::kDeleteSecret:
      return "secrets";
    case Operation::kExportJournal:
    case Operation::kBackup:
      return "state";
  }
  return kUnroutedClass;
}

std::shared_ptr<net::HttpExchange> measured(std::shared_ptr<net::HttpExchange> exchange, std::string_view route_class,
                                            Metrics& metrics, const Clock& clock) {
  return std::make_shared<MeasuredExchange>(std::move(exchange), route_class, metrics, clock);
}

}  // namespace busbar::control
