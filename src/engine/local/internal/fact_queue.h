#pragma once

#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

#include "engine/engine.h"

namespace busbar::engine {

/// Delivers facts to the server one at a time and in order, from a thread of its own, so that a slow server holds up
/// nothing but itself. Thread-safe.
class FactQueue {
 public:
  explicit FactQueue(FactSink sink);
  FactQueue(const FactQueue&) = delete;
  FactQueue& operator=(const FactQueue&) = delete;
  ~FactQueue() { stop(); }

  void push(Fact fact);
  /// Undelivered facts are dropped: adopt() of the next engine delivers them again. Not from the sink itself.
  void stop();

 private:
  void run();

  const FactSink sink_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Fact> facts_;
  bool is_stopping_ = false;
  std::thread thread_;
};

}  // namespace busbar::engine
