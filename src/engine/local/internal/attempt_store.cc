#include "engine/local/internal/attempt_store.h"

#include <fcntl.h>

#include <array>

#include "base/text.h"
#include "os/files.h"

namespace busbar::engine {
namespace {

using Kind = AttemptEvent::Kind;

constexpr std::array<const char*, 12> kNames{"started",       "image_ready", "gang_created",  "release_wanted",
                                             "gang_released", "stop_wanted", "task_ended",    "gone",
                                             "extend_wanted", "extended",    "shrink_wanted", "shrunk"};

std::optional<Kind> kind_of(std::string_view name) {
  for (std::size_t i = 0; i < kNames.size(); ++i) {
    if (name == kNames[i]) {
      return static_cast<Kind>(i);
    }
  }
  return std::nullopt;
}

}  // namespace

std::optional<model::AttemptId> parse_attempt_id(std::string_view text) {
  const auto parts = split(text, '.');
  if (parts.size() != 2) {
    return std::nullopt;
  }
  const auto job = parse_int(parts[0]);
  const auto number = parse_int(parts[1]);
  if (!job || !number || *job < 0 || *number < 0 || *number > UINT32_MAX) {
    return std::nullopt;
  }
  const model::AttemptId id{.job = {static_cast<std::uint64_t>(*job)}, .number = static_cast<std::uint32_t>(*number)};
  return id.to_string() == text ? std::optional(id) : std::nullopt;
}

std::string to_line(const AttemptEvent& event) {
  Json json = Json::object({{"time", event.time_ms}, {"event", kNames.at(static_cast<std::size_t>(event.kind))}});
  if (event.kind == Kind::kStopWanted || event.kind == Kind::kShrinkWanted) {
    json.set("deadline", event.deadline_ms);
  }
  if (event.kind >= Kind::kExtendWanted) {
    json.set("tasks", event.tasks);
  }
  if (event.kind == Kind::kTaskEnded) {
    json.set("rank", event.ended.task.rank);
    json.set("class", model::exit_class_name(event.ended.exit_class));
    json.set("code", event.ended.exit_code);
    json.set("detail", event.ended.detail);
  }
  return json.dump() + "\n";
}

std::vector<AttemptEvent> parse_events(model::AttemptId id, std::string_view text) {
  std::vector<AttemptEvent> events;
  while (true) {
    const std::size_t end = text.find('\n');
    if (end == std::string_view::npos) {
      return events;
    }
    const auto json = parse_json(text.substr(0, end));
    text.remove_prefix(end + 1);
    if (!json) {
      continue;
    }
    const auto kind = kind_of((*json)["event"].as_string());
    if (!kind) {
      continue;
    }
    AttemptEvent event{.kind = *kind,
                       .time_ms = (*json)["time"].as_int(),
                       .deadline_ms = (*json)["deadline"].as_int(),
                       .tasks = static_cast<std::uint32_t>((*json)["tasks"].as_int())};
    if (*kind == Kind::kTaskEnded) {
      event.ended = {
          .task = {id, static_cast<std::uint32_t>((*json)["rank"].as_int())},
          .exit_class =
              model::exit_class_from_name((*json)["class"].as_string()).value_or(model::ExitClass::kInfrastructure),
          .exit_code = static_cast<std::int32_t>((*json)["code"].as_int()),
          .detail = (*json)["detail"].as_string()};
    }
    events.push_back(std::move(event));
  }
}

Result<void> append_event(const std::string& path, const AttemptEvent& event) {
  TRY_ASSIGN(const os::UniqueFd fd, os::open_file(path, O_WRONLY | O_APPEND | O_CREAT, 0600));
  return os::write_all(fd.get(), to_line(event), path);
}

}  // namespace busbar::engine
