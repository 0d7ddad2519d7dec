#include "control/server.h"

#include <fmt/format.h>

#include <atomic>
#include <optional>
#include <utility>

#include "control/auth.h"
#include "control/controller.h"
#include "control/health_checker.h"
#include "control/launch_builder.h"
#include "control/log_streamer.h"
#include "control/metrics.h"
#include "control/rest.h"
#include "control/retention.h"
#include "control/secret_box.h"
#include "control/watchers.h"
#include "os/gate.h"
#include "os/log.h"

namespace busbar::control {
namespace {

api::ServerStatus describe(const Server::Dependencies& dependencies) {
  api::ServerStatus status{
      .version = dependencies.version, .build_id = dependencies.build_id, .started_ms = dependencies.clock.now_ms()};
  for (const engine::Capability& capability : dependencies.engine->capabilities()) {
    status.capabilities.push_back(
        {.name = capability.name, .is_available = capability.is_available, .detail = capability.detail});
    if (capability.name == "runtime") status.runtime = capability.detail;
  }
  return status;
}

/// Hears of changes for all who want to know.
class Listeners final : public ChangeListener {
 public:
  Listeners(Watchers& watchers, HealthChecker& health) : watchers_(watchers), health_(health) {}
  /// Comes later than the controller that calls us; told once.
  void set_retention(Retention& retention) { retention_ = &retention; }

  void on_job(const api::JobStatus& status) override {
    watchers_.on_job(status);
    Retention* const retention = retention_;
    if (retention != nullptr && model::is_terminal(status.state)) retention->wake();
  }
  void on_event(const store::EventRow& event) override { watchers_.on_event(event); }
  void on_services(const ServiceView& view) override {
    watchers_.on_services(view);
    health_.watch(view.targets);
  }

 private:
  Watchers& watchers_;
  HealthChecker& health_;
  std::atomic<Retention*> retention_ = nullptr;
};

/// Members are destroyed from the last to the first: whoever is called dies after its callers.
class RunningServer final : public Server {
 public:
  RunningServer(const ServerConfig& config, Dependencies dependencies)
      : config_(config), dependencies_(std::move(dependencies)) {}
  ~RunningServer() override { stop(); }

  Result<void> open();
  std::string url() const override { return fmt::format("http://{}:{}", config_.listen_address, http_->port()); }
  void stop() override;

 private:
  Result<void> open_health();
  void open_retention();
  RetentionLimits retention_limits() const;
  net::HttpServerStats net_stats() const {
    const net::HttpServer* const http = serving_;
    return http == nullptr ? net::HttpServerStats{} : http->stats();
  }
  Result<void> open_http();
  net::HttpServerOptions http_options() const;

  const ServerConfig config_;
  Dependencies dependencies_;
  Metrics metrics_;
  std::optional<TokenAuth> auth_;
  std::optional<SecretBox> secret_box_;
  std::unique_ptr<LogStreamer> logs_;
  std::unique_ptr<Watchers> watchers_;
  std::unique_ptr<PlanLaunchBuilder> launches_;
  std::unique_ptr<HealthChecker> health_;
  std::unique_ptr<Listeners> listeners_;
  std::unique_ptr<Controller> controller_;
  std::unique_ptr<Retention> retention_;
  std::unique_ptr<os::WorkQueue> background_;
  std::unique_ptr<Rest> rest_;
  std::unique_ptr<net::HttpServer> http_;
  std::atomic<Controller*> posting_ = nullptr;  ///< `controller_`, for the health checker's thread.
  std::atomic<const net::HttpServer*> serving_ =
      nullptr;  ///< `http_`, for the first requests: they come before it is set.
};

Result<void> RunningServer::open() {
  if (config_.auth == "token") {
    TRY_ASSIGN(auth_, TokenAuth::open(config_.state_dir, dependencies_.random));
  }
  TRY_ASSIGN(secret_box_, SecretBox::open(config_.state_dir));
  TRY_ASSIGN(logs_, LogStreamer::start());
  engine::Engine& engine = *dependencies_.engine;
  watchers_ = std::make_unique<Watchers>(engine, *logs_);
  launches_ = std::make_unique<PlanLaunchBuilder>(engine, *secret_box_);
  TRY(open_health());
  listeners_ = std::make_unique<Listeners>(*watchers_, *health_);
  TRY_ASSIGN(controller_,
             Controller::start({.store = *dependencies_.store,
                                .engine = engine,
                                .launches = *launches_,
                                .listener = *listeners_,
                                .clock = dependencies_.clock,
                                .metrics = metrics_},
                               {.snapshot_every_steps = static_cast<std::uint64_t>(config_.snapshot_every_steps),
                                .queues = config_.queues,
                                .policy = policy_of(config_),
                                .catalogue = &dependencies_.catalogue,
                                .services = {.scale_down_after_ms = config_.service_scale_down_after_ms}}));
  posting_ = controller_.get();
  open_retention();
  return open_http();
}

/// The checker is older than the controller that tells it what to check, so it has nothing to say before.
Result<void> RunningServer::open_health() {
  TRY_ASSIGN(health_, HealthChecker::start([this](const std::string& id, bool is_ready, const std::string& detail) {
               Controller* const controller = posting_;
               if (controller == nullptr) return;
               controller->post([id, is_ready, detail](Ledger& ledger) -> Controller::Reply {
                 ledger.on_health(id, is_ready, detail);
                 return {};
               });
             }));
  return {};
}

void RunningServer::open_retention() {
  const auto note = [this](model::JobId job, const std::string& text) {
    controller_->post([job, text](Ledger& ledger) -> Controller::Reply {
      ledger.note_files_deleted(job, text);
      return {};
    });
  };
  retention_ = std::make_unique<Retention>(Retention::Dependencies{.engine = *dependencies_.engine,
                                                                   .store = *dependencies_.store,
                                                                   .clock = dependencies_.clock,
                                                                   .metrics = metrics_,
                                                                   .on_deleted = note},
                                           retention_limits());
  listeners_->set_retention(*retention_);
}

RetentionLimits RunningServer::retention_limits() const {
  return {.jobs = config_.keep_ended_jobs, .age_ms = config_.keep_ended_age_ms, .bytes = config_.keep_ended_bytes};
}

net::HttpServerOptions RunningServer::http_options() const {
  return {.bind_address = config_.listen_address,
          .port = static_cast<std::uint16_t>(config_.port),
          .threads = static_cast<int>(config_.api_threads),
          .max_body_bytes = static_cast<std::size_t>(config_.max_body_bytes),
          .allowed_hosts = config_.allowed_hosts};
}

Result<void> RunningServer::open_http() {
  background_ = std::make_unique<os::WorkQueue>(os::WorkQueueOptions{.name = "background", .max_pending = 64});
  rest_ = std::make_unique<Rest>(Rest::Dependencies{.controller = *controller_,
                                                    .watchers = *watchers_,
                                                    .engine = *dependencies_.engine,
                                                    .store = *dependencies_.store,
                                                    .launches = *launches_,
                                                    .catalogue = dependencies_.catalogue,
                                                    .auth = auth_ ? &*auth_ : nullptr,
                                                    .secrets = *secret_box_,
                                                    .logs = *logs_,
                                                    .metrics = metrics_,
                                                    .clock = dependencies_.clock,
                                                    .net_stats = [this] { return net_stats(); },
                                                    .retention = retention_limits(),
                                                    .gateway_url = config_.gateway_url,
                                                    .local_user = process_user_name(),
                                                    .server = describe(dependencies_),
                                                    .background = *background_,
                                                    .scratch_dir = config_.state_dir});
  TRY_ASSIGN(http_, net::HttpServer::start(http_options(), *rest_));
  serving_ = http_.get();
  LOG(kInfo, "listening", {{"url", url()}});
  return {};
}

void RunningServer::stop() {
  if (http_) http_->stop(config_.shutdown_grace_ms);
  if (background_) background_->stop();
  if (retention_) retention_->stop();
  if (health_) health_->stop();
  if (controller_) controller_->stop();
  if (logs_) logs_->stop();
  dependencies_.engine->shutdown();
}

}  // namespace

Result<std::unique_ptr<Server>> Server::start(const ServerConfig& config, Dependencies dependencies) {
  auto server = std::make_unique<RunningServer>(config, std::move(dependencies));
  TRY(server->open());
  return server;
}

}  // namespace busbar::control
