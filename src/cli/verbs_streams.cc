#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <utility>
#include <variant>

#include "cli/context.h"
#include "cli/describe.h"
#include "cli/follow.h"
#include "cli/mailbox.h"
#include "cli/streams.h"
#include "cli/verb_tools.h"
#include "os/event_fd.h"

namespace busbar::cli {
namespace {

struct LogsOptions {
  std::vector<std::string> jobs = {};
  bool follows = false;
  bool has_timestamps = false;
  std::optional<std::int64_t> task = {};
  std::optional<std::int64_t> attempt = {};
  std::optional<std::int64_t> tail = {};
  std::optional<std::int64_t> since_ms = {};
};

Query logs_query(const LogsOptions& options, TimeMs now_ms) {
  Query query;
  const auto add = [&query](const char* name, const std::optional<std::int64_t>& value) {
    if (value) {
      query.emplace_back(name, std::to_string(*value));
    }
  };
  if (options.follows) {
    query.emplace_back("follow", "true");
  }
  add("task", options.task);
  add("attempt", options.attempt);
  add("tail", options.tail);
  if (options.since_ms) {
    query.emplace_back("since_ms", std::to_string(now_ms - *options.since_ms));
  }
  return query;
}

/// Before a line: time and rank, where they are asked for or where several tasks talk at once.
std::string line_label(const api::LogLine& line, const LogsOptions& options, bool labels_tasks) {
  std::string label;
  if (options.has_timestamps) {
    label += format_time(line.time_ms) + " ";
  }
  if (labels_tasks) {
    label += fmt::format("{}: ", line.task);
  }
  return label;
}

/// Prints what a log stream gives.
class LogPrinter {
 public:
  LogPrinter(Context& context, const LogsOptions& options, bool labels_tasks)
      : context_(context), options_(options), labels_tasks_(labels_tasks) {}

  void line(const api::LogLine& line) {
    if (context_.wants_json()) {
      context_.print_json_line(api::to_json(line));
    } else {
      write_log_line(context_, line, line_label(line, options_, labels_tasks_));
    }
  }
  void gap(std::int64_t task) {
    context_.note(fmt::format("busbar: some output of task {} was rotated away before it was read", task));
  }

 private:
  Context& context_;
  const LogsOptions& options_;
  bool labels_tasks_;
};

/// What is there now.
Result<void> print_past_logs(ApiClient& client, const std::string& target, LogPrinter& printer) {
  Result<void> broken;
  TRY(client.events(target, [&](std::string_view name, const Json& data) {
    if (name == "gap") {
      printer.gap(data["task"].as_int());
    } else if (name == "line") {
      const auto line = read_answer<api::LogLine>(data);
      if (!line) {
        broken = tl::unexpected(line.error());
        return false;
      }
      printer.line(*line);
    }
    return name != "end";
  }));
  return broken;
}

/// Until the job is over, also across a restart of the server.
Result<void> follow_logs(Context& context, model::JobId job, const Query& query, LogPrinter& printer) {
  Mailbox<StreamMessage> mailbox;
  TRY_ASSIGN(auto client, context.new_client());
  TRY_ASSIGN(const auto stream,
             JobStream::logs(std::move(client), job.to_string(), query,
                             [&mailbox](StreamMessage message) { mailbox.put(std::move(message)); }));
  while (true) {
    (void)os::wait_readable(mailbox.fd(), std::chrono::hours(1));
    for (const StreamMessage& message : mailbox.take()) {
      if (const auto* line = std::get_if<api::LogLine>(&message)) {
        printer.line(*line);
      } else if (const auto* gap = std::get_if<LogsGap>(&message)) {
        printer.gap(gap->task);
      } else if (const auto* lost = std::get_if<ServerLost>(&message)) {
        context.note("busbar: " + lost->error.to_string() + "; waiting for it to come back");
      } else if (const auto* failed = std::get_if<StreamFailed>(&message)) {
        return tl::unexpected(failed->error);
      } else if (std::holds_alternative<LogsEnded>(message)) {
        return {};
      }
    }
  }
}

Result<int> print_logs(Context& context, const LogsOptions& options) {
  TRY_ASSIGN(ApiClient * client, context.client());
  TRY_ASSIGN(const Json answer, client->get(job_target(options.jobs[0], "")));
  TRY_ASSIGN(const auto job, read_answer<api::JobStatus>(answer));
  LogPrinter printer(context, options, job.nodes > 1 && !options.task);
  const Query query = logs_query(options, context.now_ms());
  if (options.follows) {
    TRY(follow_logs(context, job.id, query, printer));
  } else {
    TRY(print_past_logs(*client, job_target(job.id.to_string(), "/logs", query), printer));
  }
  return 0;
}

struct EventsOptions {
  std::vector<std::string> jobs = {};
  bool follows = false;
  std::optional<std::int64_t> limit = {};
};

/// The newest `limit` events; the server gives them from the oldest on, in pages.
Result<Json::Array> fetch_events(ApiClient& client, const Query& filter, std::size_t limit) {
  constexpr std::size_t kPage = 1'000;
  Json::Array newest;
  std::int64_t after = 0;
  while (true) {
    Query query = filter;
    query.emplace_back("limit", std::to_string(kPage));
    query.emplace_back("after", std::to_string(after));
    TRY_ASSIGN(const Json page, client.get(api_target("/v1/events", query)));
    const Json::Array& events = page["events"].items();
    newest.insert(newest.end(), events.begin(), events.end());
    if (newest.size() > limit) {
      newest.erase(newest.begin(), newest.end() - static_cast<std::ptrdiff_t>(limit));
    }
    if (events.size() < kPage) {
      return newest;
    }
    after = events.back()["id"].as_int();
  }
}

Result<void> print_event(Context& context, const Json& json) {
  if (context.wants_json()) {
    context.print_json_line(json);
    return {};
  }
  TRY_ASSIGN(const auto event, read_answer<api::EventStatus>(json));
  context.out().line(event_line(event, look_of(context)));
  return {};
}

Result<int> print_events(Context& context, const EventsOptions& options) {
  constexpr std::int64_t kDefaultLimit = 100;
  TRY_ASSIGN(ApiClient * client, context.client());
  Query filter;
  if (!options.jobs.empty()) {
    filter.emplace_back("job", options.jobs[0]);
  }
  TRY_ASSIGN(const Json::Array events,
             fetch_events(*client, filter, static_cast<std::size_t>(options.limit.value_or(kDefaultLimit))));
  if (context.wants_json() && !options.follows) {
    context.print_json(Json::object({{"events", events}}));
    return 0;
  }
  for (const Json& event : events) {
    TRY(print_event(context, event));
  }
  if (!options.follows) {
    return 0;
  }
  const std::int64_t last = events.empty() ? 0 : events.back()["id"].as_int();
  filter.emplace_back("after", std::to_string(last));
  filter.emplace_back("follow", "true");
  Result<void> broken;
  TRY(client->events(api_target("/v1/events", filter), [&](std::string_view name, const Json& data) {
    if (name == "event") {
      broken = print_event(context, data);
    }
    return broken.has_value();
  }));
  TRY(broken);
  return 0;
}

}  // namespace

Command logs_command() {
  auto options = std::make_shared<LogsOptions>();
  return {.name = "logs",
          .summary = "print a job's output",
          .usage = "busbar logs [flags] JOB",
          .details =
              "Standard output goes to standard output, standard error to standard error. Lines of a job of "
              "several tasks begin with the task's rank.",
          .flags = {switch_flag("-f,--follow", "go on until the job is over", options->follows),
                    number_flag("--task", "RANK", "only this task (default: all)", options->task),
                    number_flag("--attempt", "N", "only this attempt (default: all)", options->attempt),
                    number_flag("--tail", "N", "only the last N lines of each task", options->tail),
                    duration_flag("--since", "TIME", "only lines newer than this: 90s, 15m, 2h", options->since_ms),
                    switch_flag("--timestamps", "begin each line with its time", options->has_timestamps)},
          .positional = {.name = "JOB", .least = 1, .most = 1, .target = &options->jobs, .complete = Complete::kJobs},
          .examples = {{"busbar logs -f digits", "follow the newest job of that name"},
                       {"busbar logs --task 0 --tail 20 17", "the end of one task's output"}},
          .run = [options](Context& context) { return print_logs(context, *options); }};
}

Command events_command() {
  auto options = std::make_shared<EventsOptions>();
  return {.name = "events",
          .summary = "what happened",
          .usage = "busbar events [flags] [JOB]",
          .flags = {switch_flag("-f,--follow", "go on with new events", options->follows),
                    number_flag("-n,--limit", "N", "only the newest N (default 100)", options->limit)},
          .positional = {.name = "JOB", .least = 0, .most = 1, .target = &options->jobs, .complete = Complete::kJobs},
          .examples = {{"busbar events -f", "watch the whole pool"}, {"busbar events 17", "one job's life"}},
          .run = [options](Context& context) { return print_events(context, *options); }};
}

}  // namespace busbar::cli
