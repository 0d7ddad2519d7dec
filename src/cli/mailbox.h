#pragma once

#include <deque>
#include <mutex>
#include <utility>

#include "base/check.h"
#include "os/event_fd.h"

namespace busbar::cli {

/// Messages from stream threads to the one thread that writes to the terminal; its descriptor fits a poll loop. The
/// only lock of this folder. Thread-safe.
template <class Message>
class Mailbox {
 public:
  Mailbox() : has_mail_(make_event()) {}

  void put(Message message) {
    {
      const std::lock_guard lock(mutex_);
      messages_.push_back(std::move(message));
    }
    has_mail_.set();
  }

  /// All that has come, oldest first; empty if nothing has. Never blocks.
  std::deque<Message> take() {
    has_mail_.take();
    const std::lock_guard lock(mutex_);
    return std::exchange(messages_, {});
  }

  /// Readable while there is mail.
  int fd() const { return has_mail_.fd(); }

 private:
  static os::EventFd make_event() {
    auto event = os::EventFd::create();
    CHECK(event.has_value(), "no descriptor left for an eventfd");
    return *std::move(event);
  }

  std::mutex mutex_;
  std::deque<Message> messages_;
  os::EventFd has_mail_;
};

}  // namespace busbar::cli
