#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <queue>
#include <set>
#include <string_view>
#include <utility>
#include <vector>

#include "control/internal/log_tail.h"
#include "control/internal/log_watch.h"
#include "control/log_streamer.h"

namespace busbar::control {

/// One client's log: merges its tails by time and sends as much as the client takes. Used on the streamer's thread.
class LogStream {
 public:
  enum class Outcome {
    kMore,     ///< Used up its turn; wants another.
    kIdle,     ///< Sent all there is.
    kBlocked,  ///< The client is slow; go on when its socket has drained.
    kDone,     ///< Ended, or the client is gone.
  };
  struct Turn {
    Outcome outcome = Outcome::kIdle;
    std::uint64_t lines = 0;
    std::uint64_t gaps = 0;
  };

  LogStream(std::uint64_t id, LogStreamRequest request, net::SseWriter writer);

  /// Sends until there is nothing more, the client is slow, or the turn is over.
  Turn run();
  void add_tasks(std::vector<LogTask> tasks, LogWatch& watch);
  /// What is in the files now is the rest; then `end`.
  void finish(Json end);
  void on_change(std::size_t tail, LogChange change, std::string_view name);
  /// Looks again at the tails without a watch.
  void poll(LogWatch& watch);
  std::size_t polled() const { return polled_.size(); }

  bool is_following(model::JobId job) const { return request_.job == job && !request_.end; }
  net::StreamWriter& socket() { return writer_.stream(); }

 private:
  struct Ready {
    LogTail::Line line;
    std::size_t tail = 0;
    /// Earliest first; of the same millisecond the lower rank, so that a task's lines stay together.
    friend bool operator<(const Ready& a, const Ready& b) {
      return std::pair(b.line.time_ms, b.tail) < std::pair(a.line.time_ms, a.tail);
    }
  };

  void open_tail(LogTask task, LogWatch* watch);
  void watch_tail(std::size_t tail, LogWatch& watch);
  std::uint64_t collect();
  bool send(const Ready& ready);
  bool send_gap(const LogTail& tail);
  void finish_tails();

  const std::uint64_t id_;
  LogStreamRequest request_;
  net::SseWriter writer_;
  std::deque<LogTail> tails_;        // never moved
  std::set<std::size_t> unread_;     ///< Tails that may have a line.
  std::set<std::size_t> has_ready_;  ///< Tails with a line in `ready_`; they get their next turn once it is sent.
  std::set<std::size_t> polled_;
  std::priority_queue<Ready> ready_;  ///< At most one line a tail.
  bool is_finishing_ = false;
};

}  // namespace busbar::control
