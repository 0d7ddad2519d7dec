#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "base/error.h"
#include "base/json.h"
#include "base/units.h"
#include "engine/engine.h"
#include "model/ids.h"
#include "net/sse.h"

namespace busbar::control {

/// One task's output. `files` is asked again whenever the directory changes: Engine::logs. The last path is the live
/// one. No path yet is fine: it is looked for again.
struct LogTask {
  std::uint32_t rank = 0;
  std::uint32_t attempt = 0;
  std::function<Result<engine::LogFiles>()> files = {};
};

struct LogStreamRequest {
  model::JobId job = {};
  std::vector<LogTask> tasks = {};
  std::optional<std::uint32_t> only_rank = {};  ///< Others are left out, also of what `add_tasks` brings.
  std::optional<std::uint32_t> only_attempt = {};
  std::optional<std::size_t> tail_lines = {};  ///< Begin so many lines before the end of each task's output.
  TimeMs since_ms = 0;                         ///< Leave out older lines.
  /// Set: send what is there, then `end` with this, whether or not the job goes on. Unset: follow until `job_over`.
  std::optional<Json> end = {};
};

struct LogStreamerStats {
  std::size_t streams_open = 0;
  std::uint64_t lines_sent = 0;
  std::uint64_t gaps = 0;          ///< Files rotated away before they were read.
  std::size_t watches_failed = 0;  ///< Directories that are polled because inotify gave no watch.
};

/// Sends tasks' output to clients by SSE, as it is written: `line` events (api::LogLine), sorted by time as far as they
/// are there; `gap` ({"task","attempt"}) where rotation was faster than the reader; last `end`.
///
/// One thread for all streams, woken by inotify, so silent logs cost nothing. It never waits for a client: a stream
/// whose client is slow rests until its socket has drained, without dropping lines. A client that is gone is forgotten.
/// Parts of long lines are joined up to 64 KiB; what is longer comes as several lines. Thread-safe.
class LogStreamer {
 public:
  static Result<std::unique_ptr<LogStreamer>> start();
  virtual ~LogStreamer() = default;

  /// For SseWriter::start, so that the streamer's marks fit the socket's limit.
  static net::StreamOptions stream_options();

  /// Takes the stream over. The caller reads the job's state, calls this, and reports later changes (`add_tasks`,
  /// `job_over`) from one thread, so that none falls in between.
  virtual void stream(LogStreamRequest request, net::SseWriter writer) = 0;
  /// A new attempt: its tasks join every open stream that follows the job.
  virtual void add_tasks(model::JobId job, std::vector<LogTask> tasks) = 0;
  /// Streams that follow the job send what is left in the files, then `end` with this.
  virtual void job_over(model::JobId job, Json end) = 0;

  virtual LogStreamerStats stats() const = 0;
  /// Ends all streams without `end` events and joins the thread. Idempotent.
  virtual void stop() = 0;
};

}  // namespace busbar::control
