#include "control/watchers.h"

#include <algorithm>
#include <utility>

namespace busbar::control {
namespace {

bool send_job(net::SseWriter& writer, const api::JobStatus& status) {
  const bool is_sent = writer.send({.event = "job", .data = api::to_json(status).dump()});
  if (is_sent && model::is_terminal(status.state)) writer.end();
  return is_sent && !model::is_terminal(status.state);
}

bool send_event(net::SseWriter& writer, const api::EventStatus& event) {
  return writer.send({.id = std::to_string(event.id), .event = "event", .data = api::to_json(event).dump()});
}

bool send_routes(net::SseWriter& writer, std::uint64_t version, const std::string& table) {
  return writer.send({.id = std::to_string(version), .event = "routes", .data = table});
}

Json end_of(const api::JobStatus& status) {
  Json end = Json::object({{"id", status.id.value},
                           {"state", std::string(model::job_state_name(status.state))},
                           {"reason", status.reason}});
  if (status.exit_code) end.set("exit_code", std::int64_t{*status.exit_code});
  return end;
}

}  // namespace

api::EventStatus to_event_status(const store::EventRow& row) {
  return {.id = row.id, .time_ms = row.time_ms, .job = row.job, .kind = row.kind, .text = row.text};
}

void Watchers::watch_job(const api::JobStatus& now, net::SseWriter writer) {
  if (!send_job(writer, now)) return;
  const std::lock_guard lock(mutex_);
  jobs_.emplace(now.id, std::move(writer));
}

void Watchers::watch_events(std::optional<model::JobId> job, const std::vector<api::EventStatus>& past,
                            net::SseWriter writer) {
  for (const api::EventStatus& event : past) {
    if (!send_event(writer, event)) return;
  }
  const std::lock_guard lock(mutex_);
  events_.push_back({.job = job, .writer = std::move(writer)});
}

std::vector<LogTask> Watchers::log_tasks(model::JobId job, const api::AttemptStatus& attempt) const {
  std::vector<LogTask> tasks;
  for (const auto* list : {&attempt.tasks, &attempt.left}) {
    for (const api::TaskStatus& task : *list) {
      const model::TaskId id{.attempt = {job, attempt.number}, .rank = task.rank};
      tasks.push_back({.rank = task.rank, .attempt = attempt.number, .files = [this, id] { return engine_.logs(id); }});
    }
  }
  return tasks;
}

namespace {

/// Ranks that were given at some time.
std::size_t tasks_so_far(const api::AttemptStatus& attempt) {
  return attempt.tasks.size() + attempt.left.size();
}

}  // namespace

void Watchers::stream_logs(const api::JobStatus& now, LogStreamRequest request, net::SseWriter writer) {
  request.job = now.id;
  for (const api::AttemptStatus& attempt : now.attempts) {
    for (LogTask& task : log_tasks(now.id, attempt)) request.tasks.push_back(std::move(task));
  }
  if (model::is_terminal(now.state)) request.end = end_of(now);
  if (!request.end) {
    const std::lock_guard lock(mutex_);
    followed_[now.id] = {.attempt = now.attempt, .tasks = now.attempts.empty() ? 0 : tasks_so_far(now.attempts.back())};
  }
  logs_.stream(std::move(request), std::move(writer));
}

void Watchers::on_job(const api::JobStatus& status) {
  std::vector<LogTask> added;
  bool is_followed = false;
  {
    const std::lock_guard lock(mutex_);
    const auto [begin, end] = jobs_.equal_range(status.id);
    for (auto it = begin; it != end;) it = send_job(it->second, status) ? std::next(it) : jobs_.erase(it);
    if (const auto found = followed_.find(status.id); found != followed_.end()) {
      is_followed = true;
      added = tasks_to_follow(status, found->second);
      if (model::is_terminal(status.state)) followed_.erase(found);
    }
  }
  if (!added.empty()) logs_.add_tasks(status.id, std::move(added));
  if (is_followed && model::is_terminal(status.state)) logs_.job_over(status.id, end_of(status));
}

// Those of a new attempt, or that a live gang got. A rank that is given again goes on writing to the same log.
std::vector<LogTask> Watchers::tasks_to_follow(const api::JobStatus& status, Followed& followed) const {
  if (status.attempts.empty()) return {};
  if (status.attempt > followed.attempt) followed = {.attempt = status.attempt};
  std::vector<LogTask> tasks = log_tasks(status.id, status.attempts.back());
  std::erase_if(tasks, [&](const LogTask& task) { return task.rank < followed.tasks; });
  followed.tasks = std::max(followed.tasks, tasks_so_far(status.attempts.back()));
  return tasks;
}

void Watchers::on_event(const store::EventRow& row) {
  const api::EventStatus event = to_event_status(row);
  const std::lock_guard lock(mutex_);
  std::erase_if(events_, [&](EventWatcher& watcher) {
    if (watcher.job && *watcher.job != event.job) return false;
    return !send_event(watcher.writer, event);
  });
}

void Watchers::watch_routes(net::SseWriter writer) {
  const std::lock_guard lock(mutex_);
  if (!routes_.empty() && !send_routes(writer, routes_version_, routes_)) return;
  route_watchers_.push_back(std::move(writer));
}

void Watchers::on_services(const ServiceView& view) {
  std::string text = route::to_json(view.table).dump();
  const std::lock_guard lock(mutex_);
  if (text == routes_) return;  // only health checks have changed
  routes_ = std::move(text);
  routes_version_ = view.table.version;
  std::erase_if(route_watchers_,
                [this](net::SseWriter& writer) { return !send_routes(writer, routes_version_, routes_); });
}

void Watchers::on_loads(const route::Loads& loads) {
  const std::lock_guard lock(mutex_);
  if (loads == loads_) return;
  loads_ = loads;
  const std::string text = route::to_json(loads).dump();
  std::erase_if(route_watchers_,
                [&text](net::SseWriter& writer) { return !writer.send({.event = "loads", .data = text}); });
}

}  // namespace busbar::control
