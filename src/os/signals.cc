#include "os/signals.h"

#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>

#include "os/errno_error.h"
#include "os/event_fd.h"

namespace busbar::os {

Result<SignalFd> SignalFd::create(std::vector<int> signals) {
  sigset_t set;
  sigemptyset(&set);
  for (const int number : signals) {
    sigaddset(&set, number);
  }
  sigset_t before;
  if (const int failure = pthread_sigmask(SIG_BLOCK, &set, &before); failure != 0) {
    return tl::unexpected(errno_error("cannot block signals", failure));
  }
  // Only what was not blocked before is ours to unblock.
  sigset_t ours = set;
  for (const int number : signals) {
    if (sigismember(&before, number) == 1) {
      sigdelset(&ours, number);
    }
  }
  UniqueFd fd(signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd.is_valid()) {
    auto failure = errno_failure("cannot make a signal descriptor");
    pthread_sigmask(SIG_UNBLOCK, &ours, nullptr);
    return failure;
  }
  std::signal(SIGPIPE, SIG_IGN);
  return SignalFd(std::move(fd), ours);
}

SignalFd::~SignalFd() {
  if (fd_.is_valid()) {
    pthread_sigmask(SIG_UNBLOCK, &blocked_, nullptr);
  }
}

std::optional<int> SignalFd::take() {
  signalfd_siginfo info{};
  ssize_t got = 0;
  do {
    got = ::read(fd_.get(), &info, sizeof(info));
  } while (got < 0 && errno == EINTR);
  return got == static_cast<ssize_t>(sizeof(info)) ? std::optional(static_cast<int>(info.ssi_signo)) : std::nullopt;
}

std::optional<int> SignalFd::wait(std::chrono::milliseconds timeout) {
  wait_readable(fd_.get(), timeout);
  return take();
}

}  // namespace busbar::os
