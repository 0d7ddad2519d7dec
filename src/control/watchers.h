#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <vector>

#include "control/controller.h"
#include "control/log_streamer.h"
#include "net/sse.h"

namespace busbar::control {

/// Sends committed changes to whoever watches. Thread-safe; told by the control thread. A watcher whose client is gone
/// or too slow is dropped at the next change.
class Watchers final : public ChangeListener {
 public:
  /// Borrows both.
  Watchers(engine::Engine& engine, LogStreamer& logs) : engine_(engine), logs_(logs) {}

  /// `job` events: first `now`, then each change; the stream ends after the one that says that the job is over.
  void watch_job(const api::JobStatus& now, net::SseWriter writer);
  /// `event` events; of one job, or of all.
  void watch_events(std::optional<model::JobId> job, const std::vector<api::EventStatus>& past, net::SseWriter writer);
  /// Sends the output of all attempts that pass the request's filters, and of later ones if it follows. The request's
  /// tasks and end are filled in here.
  void stream_logs(const api::JobStatus& now, LogStreamRequest request, net::SseWriter writer);

  /// `routes` events: the whole table, now and at each change. `loads` events: see `on_loads`.
  void watch_routes(net::SseWriter writer);

  void on_job(const api::JobStatus& status) override;
  void on_event(const store::EventRow& event) override;
  void on_services(const ServiceView& view) override;
  /// What gateways have under way, to all of them; nothing where it is as it was.
  void on_loads(const route::Loads& loads);

 private:
  struct EventWatcher {
    std::optional<model::JobId> job = {};
    net::SseWriter writer;
  };
  /// What the log streams know of: the last attempt, and the most tasks that it has had.
  struct Followed {
    std::uint32_t attempt = 0;
    std::size_t tasks = 0;
  };
  std::vector<LogTask> log_tasks(model::JobId job, const api::AttemptStatus& attempt) const;
  std::vector<LogTask> tasks_to_follow(const api::JobStatus& status, Followed& followed) const;

  engine::Engine& engine_;
  LogStreamer& logs_;
  std::mutex mutex_;
  std::multimap<model::JobId, net::SseWriter> jobs_;
  std::vector<EventWatcher> events_;
  std::uint64_t routes_version_ = 0;
  std::string routes_;  ///< The table as it is sent; empty before the first.
  std::vector<net::SseWriter> route_watchers_;
  route::Loads loads_;
  std::map<model::JobId, Followed> followed_;
};

api::EventStatus to_event_status(const store::EventRow& row);

}  // namespace busbar::control
