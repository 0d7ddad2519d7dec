#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/json.h"
#include "engine/engine.h"

namespace busbar::engine {

/// What the name of an attempt's directory ends in while it is being deleted: it is no attempt's any more.
inline constexpr std::string_view kForgottenSuffix = ".forgotten";

/// Where things of one attempt lie. Pure names.
///
/// ```
/// STATE/attempts/17.1/events.jsonl         what happened, one line each: adopt() lives from it
/// STATE/attempts/17.1/gang/                the rsh sockets of its tasks
/// STATE/attempts/17.1/0/config.json        the bundle: conmon puts attach, ctl and winsz beside it
/// STATE/attempts/17.1/0/{rootfs,upper,work}
/// STATE/attempts/17.1/0/task.log[.N]       output, newest without a number
/// STATE/attempts/17.1/0/busbar/            /run/busbar of the container
/// STATE/attempts/17.1.forgotten/           on its way to be deleted
/// RUN/exits/TAG-17.1.0                     conmon's exit files
/// RUN/tasks/TAG-17.1.0/secrets             memory file system
/// RUN/masks/                               memory file system
/// ```
class AttemptPaths {
 public:
  /// `memory_dir`: where secrets go, in memory.
  AttemptPaths(std::string state_dir, std::string run_dir, std::string memory_dir, std::string tag)
      : state_dir_(std::move(state_dir)),
        run_dir_(std::move(run_dir)),
        memory_dir_(std::move(memory_dir)),
        tag_(std::move(tag)) {}

  std::string attempts_dir() const { return state_dir_ + "/attempts"; }
  std::string attempt(model::AttemptId id) const { return attempts_dir() + "/" + id.to_string(); }
  std::string forgotten(model::AttemptId id) const { return attempt(id) + std::string(kForgottenSuffix); }
  std::string events(model::AttemptId id) const { return attempt(id) + "/events.jsonl"; }
  std::string gang(model::AttemptId id) const { return attempt(id) + "/gang"; }
  std::string task(model::TaskId id) const { return attempt(id.attempt) + "/" + std::to_string(id.rank); }
  std::string log(model::TaskId id) const { return task(id) + "/task.log"; }
  std::string task_files(model::TaskId id) const { return task(id) + "/busbar"; }
  std::string report(model::TaskId id) const { return task_files(id) + "/report.jsonl"; }
  /// Not on the disk that tasks can fill: an exit code must find room.
  std::string exits_dir() const { return run_dir_ + "/exits"; }
  /// Where our init leaves a mark when the program has ended by itself; see exit_class.h.
  std::string exit_mark(model::TaskId id) const { return task_files(id) + "/.exit"; }
  std::string exit_file(model::TaskId id) const { return exits_dir() + "/" + container(id); }
  std::string task_run_dir(model::TaskId id) const { return memory_dir_ + "/tasks/" + container(id); }
  std::string secrets(model::TaskId id) const { return task_run_dir(id) + "/secrets"; }
  std::string tasks_run_dir() const { return memory_dir_ + "/tasks"; }
  std::string runtime_root() const { return run_dir_ + "/runtime"; }
  std::string masks_dir() const { return run_dir_ + "/masks"; }  ///< In memory.
  std::string ports_dir() const { return state_dir_ + "/ports"; }
  std::string scratch_dir() const { return run_dir_ + "/scratch"; }
  /// The container's name for the runtime and conmon.
  std::string container(model::TaskId id) const { return tag_ + "-" + id.to_string(); }
  std::string cgroup_top() const { return "/busbar-" + tag_; }
  std::string cgroup(model::AttemptId id) const { return cgroup_top() + "/" + id.to_string(); }
  std::string cgroup(model::TaskId id) const { return cgroup(id.attempt) + "/" + std::to_string(id.rank); }

 private:
  std::string state_dir_;
  std::string run_dir_;
  std::string memory_dir_;
  std::string tag_;
};

/// "17.1"; nullopt for anything else.
std::optional<model::AttemptId> parse_attempt_id(std::string_view text);

/// Lines of events.jsonl: facts as they were delivered, and intents (so that a stop or a release that the server did
/// not live to finish is finished by the next one).
struct AttemptEvent {
  enum class Kind {
    kStarted,
    kImageReady,
    kGangCreated,
    kReleaseWanted,
    kGangReleased,
    kStopWanted,
    kTaskEnded,
    kGone,
    kExtendWanted,
    kExtended,
    kShrinkWanted,
    kShrunk
  };
  Kind kind = Kind::kStarted;
  TimeMs time_ms = 0;
  std::int64_t deadline_ms = 0;  ///< kStopWanted, kShrinkWanted: when to kill.
  /// kExtendWanted: the first of the new ones; kExtended: how many run now; kShrinkWanted, kShrunk: how many go on.
  std::uint32_t tasks = 0;
  TaskEnded ended = {};  ///< kTaskEnded.
};

std::string to_line(const AttemptEvent& event);
/// Reads the whole file's text; a torn last line is left out.
std::vector<AttemptEvent> parse_events(model::AttemptId id, std::string_view text);

/// Appends one line with one write; not synced (a crash of the machine ends the containers as well).
Result<void> append_event(const std::string& path, const AttemptEvent& event);

}  // namespace busbar::engine
