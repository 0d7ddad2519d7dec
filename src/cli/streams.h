#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <thread>
#include <utility>
#include <variant>

#include "api/types.h"
#include "cli/connection.h"
#include "os/event_fd.h"

/// The event streams of one job, each read by a thread of its own, which go on by themselves when the server goes away
/// for a while (it restarts; containers run on).
namespace busbar::cli {

struct LogsEnded {};
/// Output was rotated away before it could be read.
struct LogsGap {
  std::uint32_t task = 0;
};
/// The server is away and we try again (once for each time), or is back.
struct ServerLost {
  Error error = {};
};
struct ServerBack {};
/// A stream gave up. Nothing more comes from it.
struct StreamFailed {
  Error error = {};
};
using StreamMessage =
    std::variant<api::JobStatus, api::LogLine, LogsEnded, LogsGap, ServerLost, ServerBack, StreamFailed>;
/// Called from the stream's thread.
using StreamSink = std::function<void(StreamMessage)>;

/// Remembers which lines have been delivered, so that a stream opened again repeats none. Lines of one task and attempt
/// come in the order of time; several may have the same time. Not thread-safe.
class LogPosition {
 public:
  /// False: this line was delivered before the stream broke.
  bool take(const api::LogLine& line);
  /// The stream is opened again, from `since_ms` on.
  void reopen();
  TimeMs since_ms() const;

 private:
  struct Place {
    TimeMs time_ms = 0;
    std::uint64_t taken = 0;     ///< Lines delivered with exactly this time.
    std::uint64_t repeated = 0;  ///< Of them, how many the reopened stream has given again.
    bool is_caught_up = true;
  };
  std::map<std::pair<std::uint32_t, std::uint32_t>, Place> places_;
};

/// How long a stream tries to reach a server that went away.
inline constexpr std::int64_t kGiveUpAfterMs = 120'000;

/// One stream and its thread. Destroying it cancels the call and joins the thread.
class JobStream {
 public:
  /// `job` messages until the job is over.
  static Result<std::unique_ptr<JobStream>> watch(std::unique_ptr<ApiClient> client, model::JobId job, StreamSink sink);
  /// Lines of all tasks and attempts, then LogsEnded. `query` filters, as in GET /v1/jobs/{job}/logs.
  static Result<std::unique_ptr<JobStream>> logs(std::unique_ptr<ApiClient> client, std::string job, Query query,
                                                 StreamSink sink);
  ~JobStream();
  JobStream(const JobStream&) = delete;
  JobStream& operator=(const JobStream&) = delete;

 private:
  JobStream(std::unique_ptr<ApiClient> client, StreamSink sink, os::EventFd stop)
      : client_(std::move(client)), sink_(std::move(sink)), stop_(std::move(stop)) {}
  static Result<std::unique_ptr<JobStream>> make(std::unique_ptr<ApiClient> client, StreamSink sink);
  /// Calls `once` until it says that it is done (true), gives an error that trying again does not help, or we stop.
  void keep_trying(const std::function<Result<bool>()>& once);
  void heard();
  Result<bool> watch_once(model::JobId job);
  Result<bool> logs_once(const std::string& job, const Query& query);

  std::unique_ptr<ApiClient> client_;
  StreamSink sink_;
  os::EventFd stop_;
  bool is_lost_ = false;
  std::int64_t waited_ms_ = 0;
  LogPosition position_;
  bool was_opened_ = false;
  std::thread thread_;
};

}  // namespace busbar::cli
