#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "control/metrics.h"
#include "engine/engine.h"
#include "store/store.h"

namespace busbar::control {

/// How long logs and files of jobs that are over stay. Each limit works alone; 0 is none.
struct RetentionLimits {
  std::int64_t jobs = 0;    ///< Of so many jobs, those that ended last.
  std::int64_t age_ms = 0;  ///< Since the job's end.
  std::int64_t bytes = 0;   ///< Of all together. The job that ended last stays, however big.
  /// "10000 ended jobs, 30d00h, 20GiB"; what a user is told whose logs are gone.
  std::string to_string() const;
};

/// A job that is over, with what its attempts have left.
struct EndedFiles {
  model::JobId job = {};
  TimeMs ended_ms = 0;
  std::int64_t bytes = 0;
};

struct ExpiredFiles {
  model::JobId job = {};
  std::string reason = {};  ///< Names the setting.
};

/// Whose files go now, those that ended first in front. Pure.
std::vector<ExpiredFiles> expired_files(std::vector<EndedFiles> ended, const RetentionLimits& limits, TimeMs now_ms);

/// Deletes the files of ended jobs by the limits, on a thread of its own: at the start, soon after a job has ended
/// (`wake`), and every minute. The jobs' records stay.
///
/// It keeps no notes: what the engine still has and what the store says of the jobs is all that it looks at. So a crash
/// at any moment only means that the next life deletes the rest. Deleting does not wait for the store, because a full
/// disk is when it is needed most. Thread-safe.
class Retention {
 public:
  struct Dependencies {
    engine::Engine& engine;  ///< Has adopted.
    store::Store& store;
    const Clock& clock;
    Metrics& metrics;
    /// A job's files are gone, for the users' events. Called on the retention thread.
    std::function<void(model::JobId, std::string text)> on_deleted;
  };

  /// Borrows what `dependencies` refers to.
  Retention(Dependencies dependencies, RetentionLimits limits);
  ~Retention() { stop(); }
  Retention(const Retention&) = delete;
  Retention& operator=(const Retention&) = delete;

  void wake();
  /// Joins the thread. Idempotent.
  void stop();

 private:
  struct Kept {
    std::vector<model::AttemptId> attempts = {};
    EndedFiles files = {};
  };

  void run();
  void look();
  /// 0: not over.
  TimeMs ended_ms(model::JobId job);
  std::map<model::JobId, Kept> find_kept();
  void remove(const Kept& kept, const std::string& reason);

  Dependencies dependencies_;
  const RetentionLimits limits_;
  // Of the thread. What is over does not change.
  std::map<model::AttemptId, std::int64_t> bytes_of_;
  std::map<model::JobId, TimeMs> ended_of_;

  std::mutex mutex_;
  std::condition_variable changed_;
  bool is_woken_ = false;
  bool is_stopping_ = false;
  std::thread thread_;  // last: it uses everything above
};

}  // namespace busbar::control
