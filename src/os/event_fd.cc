#include "os/event_fd.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <limits>

#include "os/errno_error.h"

namespace busbar::os {

Result<EventFd> EventFd::create() {
  UniqueFd fd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!fd.is_valid()) {
    return errno_failure("cannot make an event descriptor");
  }
  return EventFd(std::move(fd));
}

void EventFd::set() {
  const std::uint64_t one = 1;
  // EAGAIN means that the counter is at its limit, so the flag is set already.
  while (::write(fd_.get(), &one, sizeof(one)) < 0 && errno == EINTR) {
  }
}

bool EventFd::take() {
  std::uint64_t count = 0;
  ssize_t got = 0;
  do {
    got = ::read(fd_.get(), &count, sizeof(count));
  } while (got < 0 && errno == EINTR);
  return got == static_cast<ssize_t>(sizeof(count));
}

bool EventFd::wait(std::chrono::milliseconds timeout) const {
  return wait_readable(fd_.get(), timeout);
}

bool wait_readable(int fd, std::chrono::milliseconds timeout) {
  using std::chrono::milliseconds;
  using std::chrono::steady_clock;
  const auto deadline = steady_clock::now() + timeout;
  while (true) {
    const auto left = std::chrono::ceil<milliseconds>(deadline - steady_clock::now());
    const auto wait_ms = std::clamp<milliseconds::rep>(left.count(), 0, std::numeric_limits<int>::max());
    pollfd entry{.fd = fd, .events = POLLIN, .revents = 0};
    const int ready = poll(&entry, 1, static_cast<int>(wait_ms));
    if (ready > 0) {
      return true;
    }
    if ((ready < 0 && errno != EINTR) || wait_ms == 0) {
      return false;
    }
  }
}

}  // namespace busbar::os
