#include "engine/local/internal/fact_queue.h"

#include <utility>

#include "os/gate.h"

namespace busbar::engine {

FactQueue::FactQueue(FactSink sink) : sink_(std::move(sink)) {
  thread_ = os::start_thread("engine-facts", [this] { run(); });
}

void FactQueue::push(Fact fact) {
  {
    const std::lock_guard lock(mutex_);
    facts_.push_back(std::move(fact));
  }
  changed_.notify_one();
}

void FactQueue::stop() {
  {
    const std::lock_guard lock(mutex_);
    is_stopping_ = true;
  }
  changed_.notify_one();
  if (thread_.joinable()) {
    thread_.join();
  }
}

void FactQueue::run() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return is_stopping_ || !facts_.empty(); });
    if (is_stopping_) {
      return;
    }
    const Fact fact = std::move(facts_.front());
    facts_.pop_front();
    lock.unlock();
    sink_(fact);
    lock.lock();
  }
}

}  // namespace busbar::engine
