#include <fmt/format.h>

#include <utility>

#include "control/internal/query.h"
#include "control/rest.h"
#include "control/terminal_bridge.h"

namespace busbar::control {
namespace {

bool is_set(const net::HttpRequest& request, std::string_view name) {
  const auto value = request.query_value(name);
  return value && (value->empty() || *value == "true" || *value == "1");
}

Result<LogStreamRequest> log_request(const net::HttpRequest& http) {
  LogStreamRequest request;
  TRY_ASSIGN(const std::optional<std::int64_t> task, query_int(http, "task"));
  TRY_ASSIGN(const std::optional<std::int64_t> attempt, query_int(http, "attempt"));
  TRY_ASSIGN(const std::optional<std::int64_t> tail, query_int(http, "tail"));
  TRY_ASSIGN(const std::optional<std::int64_t> since_ms, query_int(http, "since_ms"));
  if (task) request.only_rank = static_cast<std::uint32_t>(*task);
  if (attempt) request.only_attempt = static_cast<std::uint32_t>(*attempt);
  if (tail) request.tail_lines = static_cast<std::size_t>(*tail);
  request.since_ms = since_ms.value_or(0);
  return request;
}

/// The task of the path and query, if it runs now.
Result<model::TaskId> running_task(const api::JobStatus& status, const net::HttpRequest& http) {
  TRY_ASSIGN(const std::optional<std::int64_t> rank, query_int(http, "task"));
  if (status.state != model::JobState::kRunning) {
    return make_error(ErrorCode::kFailedPrecondition,
                      fmt::format("job {} is {}, not running", status.id.value, model::job_state_name(status.state)));
  }
  const std::vector<api::TaskStatus>& tasks = status.attempts.back().tasks;
  const auto wanted = static_cast<std::uint32_t>(rank.value_or(0));
  if (wanted >= tasks.size()) {
    return make_error(ErrorCode::kNotFound,
                      fmt::format("job {} has tasks 0 to {}, not {}", status.id.value, tasks.size() - 1, wanted));
  }
  if (tasks[wanted].state != "running") {
    return make_error(ErrorCode::kFailedPrecondition,
                      fmt::format("task {} of job {} has {}", wanted, status.id.value, tasks[wanted].state));
  }
  return model::TaskId{.attempt = {status.id, status.attempt}, .rank = wanted};
}

}  // namespace

void Rest::job_logs(const CallPtr& call) {
  auto request = log_request(call->request);
  if (!request) return call->refuse(request.error());
  const bool is_following = is_set(call->request, "follow");
  ask_job(call, [this, call, request = *std::move(request), is_following](const Ledger& ledger, model::JobId id) {
    const auto status = ledger.job_status(id);
    if (!status) return call->refuse(status.error());
    if (are_files_deleted(*status)) {
      return call->refuse(
          {.code = ErrorCode::kNotFound,
           .message = fmt::format("the logs of job {} have been deleted: this server keeps those of {}; `busbar "
                                  "describe {}` and `busbar events {}` still tell its story",
                                  id.value, d_.retention.to_string(), id.value, id.value)});
    }
    LogStreamRequest own = request;
    if (!is_following)
      own.end = Json::object({{"id", id.value}, {"state", std::string(model::job_state_name(status->state))}});
    d_.watchers.stream_logs(*status, std::move(own),
                            net::SseWriter::start(*call->exchange, LogStreamer::stream_options()));
  });
}

void Rest::watch_job(const CallPtr& call) {
  ask_job(call, [this, call](const Ledger& ledger, model::JobId id) {
    const auto status = ledger.job_status(id);
    if (!status) return call->refuse(status.error());
    d_.watchers.watch_job(*status, net::SseWriter::start(*call->exchange));
  });
}

void Rest::list_events(const CallPtr& call) {
  constexpr std::int64_t kMaxEvents = 10'000;
  const auto after = query_int(call->request, "after");
  const auto limit = query_int(call->request, "limit");
  if (!after || !limit) return call->refuse(!after ? after.error() : limit.error());
  const auto count = static_cast<std::size_t>(std::min(limit->value_or(1'000), kMaxEvents));
  const auto first = static_cast<std::uint64_t>(after->value_or(0));
  const bool is_following = is_set(call->request, "follow");
  d_.controller.post([this, call, first, count, is_following](Ledger&) -> Controller::Reply {
    return [this, call, first, count, is_following](const Ledger& ledger) {
      std::optional<model::JobId> job;
      if (const auto text = call->request.query_value("job"); text && !text->empty()) {
        const auto id = ledger.resolve_job(*text);
        if (!id) return call->refuse(id.error());
        job = *id;
      }
      const auto rows = d_.store.events(job.value_or(model::JobId{}), first, count);
      if (!rows) return call->refuse(rows.error());
      std::vector<api::EventStatus> events;
      for (const store::EventRow& row : *rows) events.push_back(to_event_status(row));
      if (is_following) return d_.watchers.watch_events(job, events, net::SseWriter::start(*call->exchange));
      Json list = Json::array();
      for (const api::EventStatus& event : events) list.push(api::to_json(event));
      call->answer(200, Json::object({{"events", std::move(list)}}));
    };
  });
}

void Rest::exec_job(const CallPtr& call) {
  engine::ExecRequest request{.workdir = call->request.query_value("workdir").value_or(""),
                              .has_terminal = is_set(call->request, "tty")};
  for (const auto& [name, value] : call->request.query) {
    if (name == "argv") request.argv.push_back(value);
  }
  if (request.argv.empty()) request.argv = {"/bin/sh"};
  const auto rows = query_int(call->request, "rows");
  const auto columns = query_int(call->request, "columns");
  if (rows && *rows) request.rows = static_cast<std::uint16_t>(**rows);
  if (columns && *columns) request.columns = static_cast<std::uint16_t>(**columns);
  ask_job(call, [this, call, request = std::move(request)](const Ledger& ledger, model::JobId id) {
    const auto status = ledger.job_status(id);
    const auto task = status ? running_task(*status, call->request) : tl::unexpected(status.error());
    if (!task) return call->refuse(task.error());
    engine::ExecRequest own = request;
    own.task = *task;
    call->exchange->accept_websocket(make_terminal_bridge([this, own](engine::TerminalSession::Callbacks callbacks) {
                                       return d_.engine.exec(own, std::move(callbacks));
                                     }),
                                     terminal_socket_options());
  });
}

void Rest::attach_job(const CallPtr& call) {
  ask_job(call, [this, call](const Ledger& ledger, model::JobId id) {
    const auto status = ledger.job_status(id);
    const auto task = status ? running_task(*status, call->request) : tl::unexpected(status.error());
    if (!task) return call->refuse(task.error());
    call->exchange->accept_websocket(
        make_terminal_bridge([this, id = *task](engine::TerminalSession::Callbacks callbacks) {
          return d_.engine.attach(id, std::move(callbacks));
        }),
        terminal_socket_options());
  });
}

}  // namespace busbar::control
