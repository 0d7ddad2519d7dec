#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "api/internal/tables.h"
#include "api/routes.h"
#include "base/text.h"

namespace busbar::api {
namespace {

using internal::reference;

Json component_schemas() {
  Json schemas = Json::object();
  const auto add = [&schemas](const internal::ObjectTable& table) {
    schemas.set(std::string(table.name), internal::object_schema(table));
  };
#define BUSBAR_ADD_SCHEMA(Type) add(internal::table_of<Type>());
  BUSBAR_API_TYPES(BUSBAR_ADD_SCHEMA)
#undef BUSBAR_ADD_SCHEMA
  add(internal::table_of<ServerStatus::Capability>());
  add(internal::table_of<internal::ErrorFields>());
  add(internal::table_of<internal::ErrorAnswer>());
  return schemas;
}

/// The events of an event stream: name and component. OpenAPI 3.1 has no words for them, so they stand in `x-events`.
struct StreamEvent {
  Operation operation;
  std::string_view event;
  std::string_view component;  ///< Empty: an empty object.
};
constexpr std::array kStreamEvents{
    StreamEvent{Operation::kJobLogs, "line", "LogLine"},
    StreamEvent{Operation::kJobLogs, "gap", ""},
    StreamEvent{Operation::kJobLogs, "end", ""},
    StreamEvent{Operation::kWatchJob, "job", "JobStatus"},
    StreamEvent{Operation::kListEvents, "event", "EventStatus"},
    StreamEvent{Operation::kWatchRoutes, "routes", ""},
};

Json stream_events(Operation operation) {
  Json events = Json::object();
  for (const StreamEvent& row : kStreamEvents) {
    if (row.operation == operation) {
      events.set(std::string(row.event),
                 row.component.empty() ? Json::object({{"type", "object"}}) : reference(row.component));
    }
  }
  return events;
}

/// The frames of the terminal WebSockets, in `x-frames`.
Json terminal_frames() {
  struct Row {
    TerminalFrame frame;
    const char* sender;
    const char* text;
  };
  constexpr std::array kRows{
      Row{TerminalFrame::kStdin, "client", "bytes for standard input"},
      Row{TerminalFrame::kStdinEnd, "client", "end of standard input; empty"},
      Row{TerminalFrame::kResize, "client", "rows and columns as text: 24 80"},
      Row{TerminalFrame::kSignal, "client", "signal number as text"},
      Row{TerminalFrame::kStdout, "server", "bytes of standard output, or of the terminal"},
      Row{TerminalFrame::kStderr, "server", "bytes of standard error"},
      Row{TerminalFrame::kExit, "server", "exit code as text; last frame"},
      Row{TerminalFrame::kError, "server", "an ErrorBody; last frame"},
  };
  Json frames = Json::array();
  for (const Row& row : kRows) {
    frames.push(Json::object({{"kind", static_cast<int>(row.frame)}, {"sender", row.sender}, {"payload", row.text}}));
  }
  return frames;
}

bool is_websocket(Operation operation) {
  return operation == Operation::kExecJob || operation == Operation::kAttachJob;
}

Json content(std::string_view media_type, Json schema) {
  return Json::object({{std::string(media_type), Json::object({{"schema", std::move(schema)}})}});
}

Json success_response(const Route& route) {
  Json response = Json::object({{"description", "Success."}});
  const Json events = stream_events(route.operation);
  if (is_websocket(route.operation)) {
    response.set("description", "A WebSocket of binary messages: one byte of kind, then the payload (see x-frames).");
    response.set("x-frames", terminal_frames());
    return response;
  }
  Json media = Json::object();
  if (!route.answer_schema.empty()) {
    media = content(route.answer_media_type, reference(route.answer_schema));
  } else if (route.answer_media_type == "application/octet-stream") {
    media = content(route.answer_media_type, Json::object());
  } else if (!route.answer_media_type.empty()) {
    const bool is_json = route.answer_media_type.ends_with("json");
    media = content(route.answer_media_type, Json::object({{"type", is_json ? "object" : "string"}}));
  }
  if (!events.members().empty()) {
    media.set("text/event-stream",
              Json::object({{"schema", Json::object({{"type", "string"}})}, {"x-events", events}}));
  }
  if (!media.members().empty()) {
    response.set("content", std::move(media));
  }
  return response;
}

std::string_view success_status(const Route& route) {
  if (is_websocket(route.operation)) {
    return "101";
  }
  if (route.operation == Operation::kSubmit || route.operation == Operation::kApplyService) {
    return "2XX";  // 201; 200 for a dry run.
  }
  if (route.operation == Operation::kDemand) {
    return "204";
  }
  if (route.operation == Operation::kCreateKey) {
    return "201";
  }
  return route.operation == Operation::kStopJob ? "202" : "200";
}

Json parameter(const Parameter& value) {
  Json schema = Json::object({{"type", value.type}});
  if (value.name == "argv") {
    schema = Json::object({{"type", "array"}, {"items", std::move(schema)}});
  }
  Json json = Json::object({{"name", value.name},
                            {"in", value.is_in_path ? "path" : "query"},
                            {"required", value.is_in_path},
                            {"schema", std::move(schema)}});
  if (!value.text.empty()) {
    json.set("description", value.text);
  }
  return json;
}

/// "/v1/jobs/{job}/stop" by POST -> "post_v1_jobs_job_stop": stable, and unique because method and path are.
std::string operation_id(const Route& route) {
  std::string id = to_lower(route.method);
  for (const char c : route.path) {
    if (c == '/' || c == '.') {
      id += '_';
    } else if (c != '{' && c != '}') {
      id += c;
    }
  }
  return id;
}

std::optional<Json> request_body(const Route& route) {
  if (route.operation == Operation::kPutSecret) {
    return Json::object({{"required", true}, {"content", content("application/octet-stream", Json::object())}});
  }
  if (route.operation == Operation::kDemand) {
    const Json any = Json::object({{"type", "object"}});
    return Json::object({{"required", true}, {"content", content("application/json", any)}});
  }
  if (route.request_schema.empty()) {
    return std::nullopt;
  }
  return Json::object({{"required", true}, {"content", content("application/json", reference(route.request_schema))}});
}

Json operation(const Route& route) {
  Json json = Json::object({{"operationId", operation_id(route)}, {"summary", route.summary}});
  if (!route.parameters.empty()) {
    Json parameters = Json::array();
    for (const Parameter& value : route.parameters) {
      parameters.push(parameter(value));
    }
    json.set("parameters", std::move(parameters));
  }
  if (auto body = request_body(route)) {
    json.set("requestBody", *std::move(body));
  }
  json.set(
      "responses",
      Json::object({{std::string(success_status(route)), success_response(route)},
                    {"default", Json::object({{"description", "An error."},
                                              {"content", content("application/json", reference("ErrorBody"))}})}}));
  if (!route.needs_token) {
    json.set("security", Json::array());
  }
  return json;
}

Json paths() {
  Json json = Json::object();
  for (const Route& route : routes()) {
    const std::string path(route.path);
    Json item = json[path];
    item.set(to_lower(route.method), operation(route));
    json.set(path, std::move(item));
  }
  return json;
}

}  // namespace

Json openapi(std::string_view version) {
  const Json bearer =
      Json::object({{"type", "http"}, {"scheme", "bearer"}, {"description", "The text of the server's token file."}});
  Json components =
      Json::object({{"schemas", component_schemas()}, {"securitySchemes", Json::object({{"token", bearer}})}});
  return Json::object(
      {{"openapi", "3.1.0"},
       {"info", Json::object({{"title", "busbar"},
                              {"version", version},
                              {"description", "One pool of accelerators: jobs, nodes, cards, queues."},
                              {"license", Json::object({{"name", "Apache-2.0"}, {"identifier", "Apache-2.0"}})}})},
       {"security", Json::array({Json::object({{"token", Json::array()}})})},
       {"paths", paths()},
       {"components", std::move(components)}});
}

}  // namespace busbar::api
