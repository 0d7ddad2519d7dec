#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"

namespace busbar::api {

/// Every operation of the API, in one table: the server registers its handlers by `Operation`, OpenAPI is generated
/// from it, and a test holds both together.
enum class Operation {
  kHealth,
  kReady,
  kMetrics,
  kOpenApi,
  kJobSchema,
  kServer,
  kSubmit,
  kListJobs,
  kGetJob,
  kStopJob,
  kWhyJob,
  kWhenJob,
  kJobLogs,
  kWatchJob,
  kExecJob,
  kAttachJob,
  kSignalJob,
  kListNodes,
  kDrainNode,
  kResumeNode,
  kListCards,
  kListQueues,
  kPutQueue,
  kDiffQueues,
  kUsage,
  kListReservations,
  kReserve,
  kCancelReservation,
  kListEvents,
  kListServices,
  kGetService,
  kApplyService,
  kDeleteService,
  kScaleService,
  kRollBackService,
  kGetRoutes,
  kWatchRoutes,
  kDemand,
  kListKeys,
  kCreateKey,
  kRevokeKey,
  kListTenants,
  kPutTenant,
  kDeleteTenant,
  kListSecrets,
  kPutSecret,
  kDeleteSecret,
  kExportJournal,
  kBackup,
};

struct Parameter {
  std::string_view name;
  bool is_in_path = false;
  std::string_view type;  ///< "string", "integer", "boolean"
  std::string_view text;
};

struct Route {
  Operation operation;
  std::string_view method;
  std::string_view path;  ///< "/v1/jobs/{job}/logs"
  std::string_view summary;
  std::vector<Parameter> parameters;
  std::string_view request_schema;  ///< Component name; empty: no body.
  std::string_view answer_schema;   ///< Component name; empty: see `answer_media_type`.
  std::string_view answer_media_type = "application/json";
  bool needs_token = true;
};

/// kHealth GET /healthz · kReady GET /readyz · kMetrics GET /metrics (text/plain) · kOpenApi GET /openapi.json ·
/// kJobSchema GET /v1/schema/job.json · kServer GET /v1/server · kSubmit POST /v1/jobs · kListJobs GET /v1/jobs
/// (state, user, queue, name, array, limit, before, all) · kGetJob GET /v1/jobs/{job} · kStopJob POST
/// /v1/jobs/{job}/stop (grace_ms) · kWhyJob GET /v1/jobs/{job}/why (changes) · kWhenJob GET
/// /v1/jobs/{job}/when · kJobLogs GET /v1/jobs/{job}/logs (SSE: `line`,
/// `gap`, `end`; task, attempt, follow, tail, since_ms) · kWatchJob GET /v1/jobs/{job}/watch (SSE: `job`, ends when
/// over) · kExecJob GET /v1/jobs/{job}/exec (WebSocket; task, argv repeated, tty, rows, columns, workdir) · kAttachJob
/// GET /v1/jobs/{job}/attach (WebSocket; task) · kSignalJob POST /v1/jobs/{job}/signal (signal, task) · kListNodes GET
/// /v1/nodes · kDrainNode POST /v1/nodes/{node}/drain · kResumeNode POST /v1/nodes/{node}/resume · kListCards GET
/// /v1/cards · kListQueues GET /v1/queues · kPutQueue PUT /v1/queues/{queue} · kDiffQueues POST
/// /v1/queues/diff · kUsage GET /v1/usage (by, since_ms) · kListReservations GET
/// /v1/reservations · kReserve POST /v1/reservations · kCancelReservation DELETE /v1/reservations/{reservation} ·
/// kListEvents GET /v1/events (job, after, limit; follow: SSE `event`) · kListServices GET /v1/services · kGetService
/// GET /v1/services/{service} · kApplyService POST /v1/services · kDeleteService DELETE /v1/services/{service} ·
/// kScaleService POST /v1/services/{service}/scale (replicas) · kRollBackService POST
/// /v1/services/{service}/rollback · kGetRoutes GET /v1/routes · kWatchRoutes GET /v1/routes/watch (SSE: `routes`) ·
/// kDemand POST /v1/demand (204) · kListKeys GET /v1/keys · kCreateKey POST /v1/keys · kRevokeKey DELETE
/// /v1/keys/{key} · kListTenants GET /v1/tenants · kPutTenant PUT /v1/tenants/{tenant} · kDeleteTenant DELETE
/// /v1/tenants/{tenant} · kListSecrets GET /v1/secrets · kPutSecret PUT
/// /v1/secrets/{secret} (body: the value, application/octet-stream) · kDeleteSecret DELETE /v1/secrets/{secret} ·
/// kExportJournal GET /v1/journal (application/octet-stream) · kBackup GET /v1/backup (application/octet-stream).
/// `{job}` is an id or a name (the newest job of that name).
std::span<const Route> routes();

/// OpenAPI 3.1 of all routes and component schemas.
Json openapi(std::string_view version);

}  // namespace busbar::api
