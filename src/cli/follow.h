#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "api/types.h"
#include "base/error.h"
#include "cli/context.h"

/// Following a job from submit to its end: one loop that owns the terminal, streams in their own threads.
namespace busbar::cli {

struct FollowPlan {
  model::JobId job = {};
  bool shows_logs = false;
  bool shows_progress = false;
  /// Lines begin with the task's rank: "1: ...".
  bool labels_tasks = false;
  enum class OnInterrupt {
    kStopJob,  ///< The first Ctrl-C stops the job, the second one leaves it.
    kLeave,
  };
  OnInterrupt on_interrupt = OnInterrupt::kLeave;
  /// Return once the job is in this state (or over).
  std::optional<model::JobState> until = {};
};

struct FollowEnd {
  api::JobStatus job = {};
  bool was_left = false;         ///< The user went away; the job goes on or is being stopped.
  bool was_interrupted = false;  ///< Ctrl-C stopped it.
};

/// Blocks SIGINT and SIGTERM of the calling thread while it runs.
Result<FollowEnd> follow_job(Context& context, const FollowPlan& plan);

/// The exit code that stands for a job's end (docs/exit-codes.md): its own where its program ended it.
int mirrored_exit_code(const api::JobStatus& job);
/// The same, after `follow_job`: 130 if Ctrl-C ended it or the watching.
int mirrored_exit_code(const FollowEnd& end);

/// Writes one line of output to standard output or error.
void write_log_line(Context& context, const api::LogLine& line, const std::string& label);

}  // namespace busbar::cli
