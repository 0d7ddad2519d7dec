#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <mutex>

#include "os/gate.h"

namespace busbar::engine {

/// Runs functions one after another on a shared WorkQueue: what one attempt does is in order, different attempts run
/// side by side. Thread-safe. Functions posted after the queue has stopped are dropped.
class Strand : public std::enable_shared_from_this<Strand> {
 public:
  /// Borrows the queue.
  explicit Strand(os::WorkQueue& queue) : queue_(queue) {}

  void post(std::function<void()> work) {
    {
      const std::lock_guard lock(mutex_);
      waiting_.push_back(std::move(work));
      if (is_scheduled_) {
        return;
      }
      is_scheduled_ = true;
    }
    schedule();
  }

 private:
  void schedule() {
    (void)queue_.submit([self = shared_from_this()] { self->run_one(); });
  }

  /// One at a time, so that an attempt with much to do does not keep a worker from the others.
  void run_one() {
    std::function<void()> work;
    {
      const std::lock_guard lock(mutex_);
      work = std::move(waiting_.front());
      waiting_.pop_front();
    }
    work();
    work = nullptr;
    {
      const std::lock_guard lock(mutex_);
      is_scheduled_ = !waiting_.empty();
      if (!is_scheduled_) {
        return;
      }
    }
    schedule();
  }

  os::WorkQueue& queue_;
  std::mutex mutex_;
  std::deque<std::function<void()>> waiting_;
  bool is_scheduled_ = false;
};

}  // namespace busbar::engine
