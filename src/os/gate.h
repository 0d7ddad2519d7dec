#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/error.h"

namespace busbar::os {

/// Counts work in progress on behalf of its owner, and ends when all of it has: an object closes its gate first in its
/// destructor, so nothing runs on a half-destroyed owner. Thread-safe. The gate must outlive its tokens.
class Gate {
 public:
  /// One piece of work. Leaves when destroyed.
  class Token {
   public:
    Token(Token&& other) noexcept : gate_(std::exchange(other.gate_, nullptr)) {}
    Token& operator=(Token&& other) noexcept;
    ~Token() { leave(); }
    void leave();

   private:
    friend class Gate;
    explicit Token(Gate* gate) : gate_(gate) {}
    Gate* gate_;
  };

  Gate() = default;
  Gate(const Gate&) = delete;
  Gate& operator=(const Gate&) = delete;
  ~Gate() { close(); }

  /// nullopt once the gate is closed: the caller gives up its work.
  std::optional<Token> enter();
  /// Lets nobody in any more and waits until everybody has left. May be called more than once, but not by work that
  /// holds a token.
  void close();
  bool is_closed() const;
  std::size_t count() const;

 private:
  mutable std::mutex mutex_;
  std::condition_variable is_empty_;
  std::size_t count_ = 0;
  bool is_closed_ = false;
};

struct WorkQueueOptions {
  std::string name = "work";       ///< Of the threads, up to 15 characters; seen in ps -L and in debuggers.
  std::size_t threads = 1;         ///< One thread runs the work in the order of submission.
  std::size_t max_pending = 1024;  ///< Waiting pieces; one more is refused.
};

/// A few threads that run submitted functions. A function must not throw. Thread-safe; `stop` not by the work itself.
class WorkQueue {
 public:
  explicit WorkQueue(WorkQueueOptions options);
  WorkQueue(const WorkQueue&) = delete;
  WorkQueue& operator=(const WorkQueue&) = delete;
  ~WorkQueue() { stop(); }

  /// kResourceExhausted when `max_pending` pieces wait, kCancelled once stopped.
  Result<void> submit(std::function<void()> work);
  /// Refuses new work, runs what has been accepted, joins the threads. Idempotent.
  void stop();
  std::size_t pending() const;

 private:
  void run();

  const WorkQueueOptions options_;
  mutable std::mutex mutex_;
  std::condition_variable has_work_;
  std::deque<std::function<void()>> pending_;
  bool is_stopping_ = false;
  std::mutex join_mutex_;  ///< Held while joining, so that two callers of stop() both return after the join.
  std::vector<std::thread> threads_;
};

/// A thread with a name (cut to 15 characters), for a loop that its owner stops and joins.
std::thread start_thread(const std::string& name, std::function<void()> body);

}  // namespace busbar::os
