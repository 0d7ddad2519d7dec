#include "os/gate.h"

#include <fmt/format.h>
#include <pthread.h>

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace busbar::os {

Gate::Token& Gate::Token::operator=(Token&& other) noexcept {
  if (this != &other) {
    leave();
    gate_ = std::exchange(other.gate_, nullptr);
  }
  return *this;
}

void Gate::Token::leave() {
  if (gate_ == nullptr) {
    return;
  }
  Gate* const gate = std::exchange(gate_, nullptr);
  // Notified under the lock: once it is released, close() may return and the gate be gone.
  const std::lock_guard lock(gate->mutex_);
  if (--gate->count_ == 0) {
    gate->is_empty_.notify_all();
  }
}

std::optional<Gate::Token> Gate::enter() {
  const std::lock_guard lock(mutex_);
  if (is_closed_) {
    return std::nullopt;
  }
  ++count_;
  return Token(this);
}

void Gate::close() {
  std::unique_lock lock(mutex_);
  is_closed_ = true;
  is_empty_.wait(lock, [this] { return count_ == 0; });
}

bool Gate::is_closed() const {
  const std::lock_guard lock(mutex_);
  return is_closed_;
}

std::size_t Gate::count() const {
  const std::lock_guard lock(mutex_);
  return count_;
}

WorkQueue::WorkQueue(WorkQueueOptions options) : options_(std::move(options)) {
  CHECK(options_.threads > 0, "a work queue without threads");
  for (std::size_t i = 0; i < options_.threads; ++i) {
    threads_.push_back(start_thread(options_.name, [this] { run(); }));
  }
}

Result<void> WorkQueue::submit(std::function<void()> work) {
  {
    const std::lock_guard lock(mutex_);
    if (is_stopping_) {
      return make_error(ErrorCode::kCancelled, fmt::format("work queue \"{}\" is stopping", options_.name));
    }
    if (pending_.size() >= options_.max_pending) {
      return tl::unexpected(
          Error{.code = ErrorCode::kResourceExhausted,
                .message = fmt::format("work queue \"{}\" is full: {} wait", options_.name, pending_.size()),
                .is_retryable = true});
    }
    pending_.push_back(std::move(work));
  }
  has_work_.notify_one();
  return {};
}

void WorkQueue::stop() {
  {
    const std::lock_guard lock(mutex_);
    is_stopping_ = true;
  }
  has_work_.notify_all();
  const std::lock_guard lock(join_mutex_);
  for (std::thread& thread : threads_) {
    thread.join();
  }
  threads_.clear();
}

std::size_t WorkQueue::pending() const {
  const std::lock_guard lock(mutex_);
  return pending_.size();
}

void WorkQueue::run() {
  while (true) {
    std::function<void()> work;
    {
      std::unique_lock lock(mutex_);
      has_work_.wait(lock, [this] { return is_stopping_ || !pending_.empty(); });
      if (pending_.empty()) {
        return;
      }
      work = std::move(pending_.front());
      pending_.pop_front();
    }
    work();
  }
}

std::thread start_thread(const std::string& name, std::function<void()> body) {
  constexpr std::size_t kMaxName = 15;  // TASK_COMM_LEN less the NUL
  return std::thread([name = name.substr(0, kMaxName), body = std::move(body)] {
    pthread_setname_np(pthread_self(), name.c_str());
    body();
  });
}

}  // namespace busbar::os
