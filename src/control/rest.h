#pragma once

#include <functional>
#include <memory>
#include <string>

#include "api/routes.h"
#include "api/types.h"
#include "control/auth.h"
#include "control/controller.h"
#include "control/launch_builder.h"
#include "control/log_streamer.h"
#include "control/metrics.h"
#include "control/retention.h"
#include "control/secret_box.h"
#include "control/watchers.h"
#include "launch/job_file.h"
#include "net/router.h"
#include "net/server.h"
#include "os/gate.h"

namespace busbar::control {

/// The HTTP API over the controller: parses requests, posts commands, writes answers. All state lives elsewhere.
/// Handlers run on the I/O threads and never block; what touches the ledger is posted to the control thread.
class Rest final : public net::HttpHandler {
 public:
  struct Dependencies {
    Controller& controller;
    Watchers& watchers;
    engine::Engine& engine;
    store::Store& store;
    const PlanLaunchBuilder& launches;
    const chip::Catalogue& catalogue;
    const TokenAuth* auth;  ///< nullptr: open to everybody who can connect (`auth = none`).
    const SecretBox& secrets;
    LogStreamer& logs;
    Metrics& metrics;
    const Clock& clock;
    std::function<net::HttpServerStats()> net_stats;  ///< Of the server that calls `handle`.
    RetentionLimits retention = {};                   ///< For answers about files that are no longer there.
    std::string gateway_url = {};                     ///< Where clients of services are sent.
    std::string local_user = {};                      ///< Who requests count as where auth is off.
    api::ServerStatus server = {};
    os::WorkQueue& background;     ///< For what reads much: journal export, backup.
    std::string scratch_dir = {};  ///< For backups on their way out.
  };

  explicit Rest(Dependencies dependencies);
  void handle(net::HttpRequest request, std::shared_ptr<net::HttpExchange> exchange) override;

 private:
  struct Call {
    net::HttpRequest request = {};
    std::shared_ptr<net::HttpExchange> exchange = {};
    std::string user = {};
    std::string request_id = {};
    void answer(int status, const Json& body) const;
    void refuse(const Error& error) const;
  };
  using CallPtr = std::shared_ptr<Call>;

  void dispatch(api::Operation operation, const CallPtr& call);
  /// Posts `command`; its Result becomes the answer after the commit: `status` with the JSON, or the error.
  void command(const CallPtr& call, int status, std::function<Result<Json>(Ledger&)> run);
  /// Posts a question about the job named in the path.
  void ask_job(const CallPtr& call, std::function<void(const Ledger&, model::JobId)> answer);
  bool refuse_if_degraded(const CallPtr& call);
  /// The job is over and none of the files that it must have had are there.
  bool are_files_deleted(const api::JobStatus& status) const;
  void run_in_background(const CallPtr& call, std::function<void()> work);

  // rest.cc: the server itself
  void health(const CallPtr& call);
  void ready(const CallPtr& call);
  void metrics(const CallPtr& call);
  void set_service_metrics(const Services& services);
  void set_transport_metrics();
  void server(const CallPtr& call);
  // rest_jobs.cc
  enum class Accept { kAll, kServices };
  void submit(const CallPtr& call, Accept accept);
  void dry_run(const CallPtr& call, std::vector<model::JobSpec> members, std::vector<api::Diagnostic> warnings);
  void list_jobs(const CallPtr& call);
  void get_job(const CallPtr& call);
  void stop_job(const CallPtr& call);
  void why_job(const CallPtr& call);
  void when_job(const CallPtr& call);
  void signal_job(const CallPtr& call);
  // rest_streams.cc
  void job_logs(const CallPtr& call);
  void watch_job(const CallPtr& call);
  void list_events(const CallPtr& call);
  void exec_job(const CallPtr& call);
  void attach_job(const CallPtr& call);
  // rest_queues.cc
  void list_queues(const CallPtr& call);
  void put_queue(const CallPtr& call);
  void diff_queues(const CallPtr& call);
  void usage(const CallPtr& call);
  // rest_services.cc
  void apply_service(const CallPtr& call, const api::SubmitRequest& request, const launch::ParsedJob& parsed);
  /// Carries `change` out on the service named in the path.
  void change_service(const CallPtr& call,
                      std::function<Result<api::ServiceStatus>(Ledger&, const std::string&)> change);
  void list_services(const CallPtr& call);
  void get_service(const CallPtr& call);
  void delete_service(const CallPtr& call);
  void scale_service(const CallPtr& call);
  void roll_back_service(const CallPtr& call);
  void get_routes(const CallPtr& call);
  void watch_routes(const CallPtr& call);
  void take_demand(const CallPtr& call);
  // rest_callers.cc
  void list_keys(const CallPtr& call);
  void create_key(const CallPtr& call);
  void revoke_key(const CallPtr& call);
  void list_tenants(const CallPtr& call);
  void put_tenant(const CallPtr& call);
  void delete_tenant(const CallPtr& call);
  // rest_cluster.cc
  void list_nodes(const CallPtr& call);
  void set_node_state(const CallPtr& call, model::NodeState state);
  void list_cards(const CallPtr& call);
  void list_reservations(const CallPtr& call);
  void reserve(const CallPtr& call);
  void cancel_reservation(const CallPtr& call);
  void list_secrets(const CallPtr& call);
  void put_secret(const CallPtr& call);
  void delete_secret(const CallPtr& call);
  void export_journal(const CallPtr& call);
  void backup(const CallPtr& call);

  Dependencies d_;
  net::Router router_;
  std::atomic<std::uint64_t> next_request_ = 1;
};

}  // namespace busbar::control
