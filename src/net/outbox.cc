#include "net/internal/outbox.h"

#include <algorithm>
#include <utility>

namespace busbar::net {

Outbox::Push Outbox::push(std::string bytes, WebSocketMessage kind) {
  const std::lock_guard lock(mutex_);
  if (is_finished_ || is_closed_) return Push::kClosed;
  // One message may be bigger than the limit if nothing else waits; it could never be sent otherwise.
  if (pending_bytes_ > 0 && pending_bytes_ + bytes.size() > max_pending_bytes_) {
    is_finished_ = true;
    is_cut_ = true;
    return Push::kFull;
  }
  pending_bytes_ += bytes.size();
  queue_.push_back({.bytes = std::move(bytes), .kind = kind});
  return std::exchange(is_awake_, true) ? Push::kQueued : Push::kWake;
}

bool Outbox::finish() {
  const std::lock_guard lock(mutex_);
  if (is_finished_ || is_closed_) return false;
  is_finished_ = true;
  return !std::exchange(is_awake_, true);
}

bool Outbox::is_exhausted() const {
  const std::lock_guard lock(mutex_);
  return (is_finished_ || is_closed_) && !is_cut_ && queue_.empty();
}

bool Outbox::is_open() const {
  const std::lock_guard lock(mutex_);
  return !is_finished_ && !is_closed_;
}

std::size_t Outbox::pending_bytes() const {
  const std::lock_guard lock(mutex_);
  return pending_bytes_;
}

void Outbox::when_drained(std::function<void()> callback) {
  {
    const std::lock_guard lock(mutex_);
    if (!is_closed_ && pending_bytes_ > drained_level()) {
      drain_callbacks_.push_back(std::move(callback));
      return;
    }
  }
  callback();
}

void Outbox::on_close(std::function<void()> callback) {
  {
    const std::lock_guard lock(mutex_);
    if (!is_closed_) {
      close_callback_ = std::move(callback);
      return;
    }
  }
  if (callback) callback();
}

std::vector<Outbox::Item> Outbox::take() {
  const std::lock_guard lock(mutex_);
  if (queue_.empty()) is_awake_ = false;
  return std::exchange(queue_, {});
}

void Outbox::written(std::size_t bytes) {
  std::vector<Callback> due;
  {
    const std::lock_guard lock(mutex_);
    pending_bytes_ -= std::min(bytes, pending_bytes_);
    if (pending_bytes_ <= drained_level()) due = std::exchange(drain_callbacks_, {});
  }
  for (const Callback& callback : due) callback();
}

void Outbox::close() {
  std::vector<Callback> due;
  {
    const std::lock_guard lock(mutex_);
    if (std::exchange(is_closed_, true)) return;
    queue_.clear();
    pending_bytes_ = 0;
    due = std::exchange(drain_callbacks_, {});
    if (close_callback_) due.push_back(std::exchange(close_callback_, {}));
  }
  for (const Callback& callback : due) callback();
}

}  // namespace busbar::net
