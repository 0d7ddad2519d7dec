#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <mutex>

#include "os/gate.h"

namespace busbar::engine {

/// Runs functions one after another on a shared WorkQueue: what one attempt does is in order, different attempts run
/// side by side. Thread-safe. Work that has begun is finished with all that was posted by then when the queue stops;
/// functions posted later are dropped.
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
    (void)queue_.submit([self = shared_from_this()] { self->run_all(); });
  }

  void run_all() {
    while (true) {
      std::function<void()> work;
      {
        const std::lock_guard lock(mutex_);
        if (waiting_.empty()) {
          is_scheduled_ = false;
          return;
        }
        work = std::move(waiting_.front());
        waiting_.pop_front();
      }
      work();
    }
  }

  os::WorkQueue& queue_;
  std::mutex mutex_;
  std::deque<std::function<void()>> waiting_;
  bool is_scheduled_ = false;
};

}  // namespace busbar::engine
