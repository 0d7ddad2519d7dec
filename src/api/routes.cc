#include "api/routes.h"

namespace busbar::api {
namespace {

constexpr std::string_view kJson = "application/json";
constexpr std::string_view kText = "text/plain";
constexpr std::string_view kBytes = "application/octet-stream";
constexpr std::string_view kEventStream = "text/event-stream";

Parameter path_job() {
  return {
      .name = "job", .is_in_path = true, .type = "string", .text = "An id, or a name: the newest job of that name."};
}
Parameter path_node() {
  return {.name = "node", .is_in_path = true, .type = "string", .text = "The node's name."};
}
Parameter path_secret() {
  return {.name = "secret", .is_in_path = true, .type = "string", .text = "The secret's name."};
}
Parameter query(std::string_view name, std::string_view type, std::string_view text) {
  return {.name = name, .is_in_path = false, .type = type, .text = text};
}
Parameter query_task() {
  return query("task", "integer", "The task's rank; 0 if absent.");
}

std::vector<Route> server_routes() {
  return {
      {.operation = Operation::kHealth,
       .method = "GET",
       .path = "/healthz",
       .summary = "200 as long as the process answers",
       .parameters = {},
       .request_schema = {},
       .answer_schema = {},
       .answer_media_type = kText,
       .needs_token = false},
      {.operation = Operation::kReady,
       .method = "GET",
       .path = "/readyz",
       .summary = "200 when state is recovered and the engine is attached, else 503",
       .parameters = {},
       .request_schema = {},
       .answer_schema = {},
       .answer_media_type = kText,
       .needs_token = false},
      {.operation = Operation::kMetrics,
       .method = "GET",
       .path = "/metrics",
       .summary = "Metrics in Prometheus' text format",
       .parameters = {},
       .request_schema = {},
       .answer_schema = {},
       .answer_media_type = kText},
      {.operation = Operation::kOpenApi,
       .method = "GET",
       .path = "/openapi.json",
       .summary = "This document",
       .parameters = {},
       .request_schema = {},
       .answer_schema = {},
       .answer_media_type = kJson,
       .needs_token = false},
      {.operation = Operation::kJobSchema,
       .method = "GET",
       .path = "/v1/schema/job.json",
       .summary = "JSON Schema of the job file, for editors",
       .parameters = {},
       .request_schema = {},
       .answer_schema = {},
       .answer_media_type = "application/schema+json",
       .needs_token = false},
      {.operation = Operation::kServer,
       .method = "GET",
       .path = "/v1/server",
       .summary = "Version, runtime and capabilities of the server",
       .parameters = {},
       .request_schema = {},
       .answer_schema = "ServerStatus"},
  };
}

std::vector<Route> job_routes() {
  return {
      {.operation = Operation::kSubmit,
       .method = "POST",
       .path = "/v1/jobs",
       .summary = "Submit a job, or show what would run",
       .parameters = {},
       .request_schema = "SubmitRequest",
       .answer_schema = "SubmitAnswer"},
      {.operation = Operation::kListJobs,
       .method = "GET",
       .path = "/v1/jobs",
       .summary = "Jobs, newest first; without `all` and `state` only those not over",
       .parameters = {query("state", "string", "States, separated by commas."), query("user", "string", ""),
                      query("queue", "string", ""), query("name", "string", ""),
                      query("array", "integer", "Members of this array only."),
                      query("limit", "integer", "At most so many; 1 to 10000, 100 if absent."),
                      query("before", "integer", "Only ids below: the next page."),
                      query("all", "boolean", "Also jobs that are over.")},
       .request_schema = {},
       .answer_schema = "JobList"},
      {.operation = Operation::kGetJob,
       .method = "GET",
       .path = "/v1/jobs/{job}",
       .summary = "Everything about one job",
       .parameters = {path_job()},
       .request_schema = {},
       .answer_schema = "JobStatus"},
      {.operation = Operation::kStopJob,
       .method = "POST",
       .path = "/v1/jobs/{job}/stop",
       .summary = "Stop a job; 412 for one that is over",
       .parameters = {path_job(),
                      query("grace_ms", "integer", "Between SIGTERM and SIGKILL; the job's own if absent.")},
       .request_schema = {},
       .answer_schema = "JobStatus"},
      {.operation = Operation::kWhyJob,
       .method = "GET",
       .path = "/v1/jobs/{job}/why",
       .summary = "Why a job does not run, and what would start it now",
       .parameters = {path_job()},
       .request_schema = {},
       .answer_schema = "WhyAnswer"},
      {.operation = Operation::kJobLogs,
       .method = "GET",
       .path = "/v1/jobs/{job}/logs",
       .summary = "A job's output, line by line",
       .parameters = {path_job(), query("task", "integer", "Only this rank; all if absent."),
                      query("attempt", "integer", "Only this attempt; all if absent."),
                      query("follow", "boolean", "Go on until the job is over."),
                      query("tail", "integer", "Only the last lines of each task."),
                      query("since_ms", "integer", "Only lines from this time on.")},
       .request_schema = {},
       .answer_schema = {},
       .answer_media_type = kEventStream},
      {.operation = Operation::kWatchJob,
       .method = "GET",
       .path = "/v1/jobs/{job}/watch",
       .summary = "The job's status at each change, until it is over",
       .parameters = {path_job()},
       .request_schema = {},
       .answer_schema = {},
       .answer_media_type = kEventStream},
      {.operation = Operation::kExecJob,
       .method = "GET",
       .path = "/v1/jobs/{job}/exec",
       .summary = "Run a command inside a running task (WebSocket)",
       .parameters = {path_job(), query_task(), query("argv", "string", "One for each word of the command, in order."),
                      query("tty", "boolean", "Give the command a terminal."),
                      query("rows", "integer", "Of the terminal."), query("columns", "integer", "Of the terminal."),
                      query("workdir", "string", "The task's own if absent.")},
       .request_schema = {},
       .answer_schema = {},
       .answer_media_type = {}},
      {.operation = Operation::kAttachJob,
       .method = "GET",
       .path = "/v1/jobs/{job}/attach",
       .summary = "The terminal of a running task (WebSocket)",
       .parameters = {path_job(), query_task()},
       .request_schema = {},
       .answer_schema = {},
       .answer_media_type = {}},
      {.operation = Operation::kSignalJob,
       .method = "POST",
       .path = "/v1/jobs/{job}/signal",
       .summary = "Send a signal to a job's tasks",
       .parameters = {path_job(), query("signal", "string", "SIGUSR1, USR1 or 10."),
                      query("task", "integer", "Only this rank; all if absent.")},
       .request_schema = {},
       .answer_schema = "JobStatus"},
  };
}

std::vector<Route> cluster_routes() {
  return {
      {.operation = Operation::kListNodes,
       .method = "GET",
       .path = "/v1/nodes",
       .summary = "Nodes with their cards",
       .parameters = {},
       .request_schema = {},
       .answer_schema = "NodeList"},
      {.operation = Operation::kDrainNode,
       .method = "POST",
       .path = "/v1/nodes/{node}/drain",
       .summary = "No new work for a node; what runs goes on",
       .parameters = {path_node()},
       .request_schema = {},
       .answer_schema = "NodeStatus"},
      {.operation = Operation::kResumeNode,
       .method = "POST",
       .path = "/v1/nodes/{node}/resume",
       .summary = "Take a drained node back",
       .parameters = {path_node()},
       .request_schema = {},
       .answer_schema = "NodeStatus"},
      {.operation = Operation::kListCards,
       .method = "GET",
       .path = "/v1/cards",
       .summary = "Cards and what uses them",
       .parameters = {},
       .request_schema = {},
       .answer_schema = "CardList"},
      {.operation = Operation::kListQueues,
       .method = "GET",
       .path = "/v1/queues",
       .summary = "Queues with limits and use",
       .parameters = {},
       .request_schema = {},
       .answer_schema = "QueueList"},
      {.operation = Operation::kPutQueue,
       .method = "PUT",
       .path = "/v1/queues/{queue}",
       .summary = "Make or change a queue",
       .parameters = {{.name = "queue", .is_in_path = true, .type = "string", .text = "The queue's name."}},
       .request_schema = "QueueRequest",
       .answer_schema = "QueueStatus"},
      {.operation = Operation::kDiffQueues,
       .method = "POST",
       .path = "/v1/queues/diff",
       .summary = "What other queues would change now; changes nothing",
       .parameters = {},
       .request_schema = "QueueDiffRequest",
       .answer_schema = "QueueDiff"},
      {.operation = Operation::kUsage,
       .method = "GET",
       .path = "/v1/usage",
       .summary = "Card time by queue, user or job: allocated, busy, lost",
       .parameters = {query("by", "string", "queue, user or job; queue if absent."),
                      query("since_ms", "integer", "Only jobs that ended since, or are not over.")},
       .request_schema = {},
       .answer_schema = "UsageList"},
      {.operation = Operation::kListEvents,
       .method = "GET",
       .path = "/v1/events",
       .summary = "What happened, oldest first; with `follow` an event stream",
       .parameters = {query("job", "string", "About this job only: id or name."),
                      query("after", "integer", "Only events with a greater id."),
                      query("limit", "integer", "At most so many; 1 to 10000, 1000 if absent."),
                      query("follow", "boolean", "Go on with new events, as text/event-stream.")},
       .request_schema = {},
       .answer_schema = "EventList"},
  };
}

std::vector<Route> state_routes() {
  return {
      {.operation = Operation::kListSecrets,
       .method = "GET",
       .path = "/v1/secrets",
       .summary = "Names of secrets; never their values",
       .parameters = {},
       .request_schema = {},
       .answer_schema = "SecretList"},
      {.operation = Operation::kPutSecret,
       .method = "PUT",
       .path = "/v1/secrets/{secret}",
       .summary = "Store a secret; the body is its value",
       .parameters = {path_secret()},
       .request_schema = {},
       .answer_schema = {},
       .answer_media_type = kJson},
      {.operation = Operation::kDeleteSecret,
       .method = "DELETE",
       .path = "/v1/secrets/{secret}",
       .summary = "Forget a secret",
       .parameters = {path_secret()},
       .request_schema = {},
       .answer_schema = {},
       .answer_media_type = kJson},
      {.operation = Operation::kExportJournal,
       .method = "GET",
       .path = "/v1/journal",
       .summary = "The scheduler's journal, for replay",
       .parameters = {},
       .request_schema = {},
       .answer_schema = {},
       .answer_media_type = kBytes},
      {.operation = Operation::kBackup,
       .method = "GET",
       .path = "/v1/backup",
       .summary = "A consistent copy of the server's database",
       .parameters = {},
       .request_schema = {},
       .answer_schema = {},
       .answer_media_type = kBytes},
  };
}

std::vector<Route> all_routes() {
  std::vector<Route> all = server_routes();
  for (std::vector<Route> part : {job_routes(), cluster_routes(), state_routes()}) {
    all.insert(all.end(), part.begin(), part.end());
  }
  return all;
}

}  // namespace

std::span<const Route> routes() {
  static const std::vector<Route> kRoutes = all_routes();
  return kRoutes;
}

}  // namespace busbar::api
