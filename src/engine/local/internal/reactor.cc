#include "engine/local/internal/reactor.h"

#include <sys/epoll.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "os/errno_error.h"
#include "os/gate.h"

namespace busbar::engine {

Result<std::unique_ptr<Reactor>> Reactor::create() {
  os::UniqueFd epoll(::epoll_create1(EPOLL_CLOEXEC));
  if (!epoll.is_valid()) {
    return os::errno_failure("cannot make an epoll descriptor");
  }
  TRY_ASSIGN(os::EventFd wakeup, os::EventFd::create());
  epoll_event event{.events = EPOLLIN, .data = {.fd = wakeup.fd()}};
  if (::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, wakeup.fd(), &event) != 0) {
    return os::errno_failure("cannot watch the wake-up descriptor");
  }
  std::unique_ptr<Reactor> reactor(new Reactor(std::move(epoll), std::move(wakeup)));
  reactor->thread_ = os::start_thread("engine-reactor", [raw = reactor.get()] { raw->run(); });
  return reactor;
}

Reactor::~Reactor() {
  stop();
}

void Reactor::stop() {
  {
    const std::lock_guard lock(mutex_);
    is_stopping_ = true;
  }
  wakeup_.set();
  if (thread_.joinable()) {
    thread_.join();
  }
  // Handlers may own what owns the reactor.
  std::unordered_map<int, std::shared_ptr<Handler>> handlers;
  std::map<std::pair<Time, TimerId>, std::function<void()>> timers;
  {
    const std::lock_guard lock(mutex_);
    handlers.swap(handlers_);
    timers.swap(timers_);
    timer_times_.clear();
  }
}

Result<void> Reactor::add(int fd, std::uint32_t events, Handler handler) {
  {
    const std::lock_guard lock(mutex_);
    handlers_[fd] = std::make_shared<Handler>(std::move(handler));
  }
  epoll_event event{.events = events, .data = {.fd = fd}};
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) {
    const auto failure = os::errno_failure("cannot watch a descriptor");
    const std::lock_guard lock(mutex_);
    handlers_.erase(fd);
    return failure;
  }
  return {};
}

void Reactor::modify(int fd, std::uint32_t events) {
  epoll_event event{.events = events, .data = {.fd = fd}};
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &event);
}

void Reactor::remove(int fd) {
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
  {
    const std::lock_guard lock(mutex_);
    handlers_.erase(fd);
  }
  wait_until_idle();
}

Reactor::TimerId Reactor::after(std::chrono::milliseconds delay, std::function<void()> work) {
  const Time when = std::chrono::steady_clock::now() + delay;
  TimerId id = 0;
  {
    const std::lock_guard lock(mutex_);
    if (is_stopping_) {
      return 0;  // dropped, with all that it holds
    }
    id = next_timer_++;
    timers_.emplace(std::pair(when, id), std::move(work));
    timer_times_.emplace(id, when);
  }
  wakeup_.set();
  return id;
}

void Reactor::cancel(TimerId id) {
  {
    const std::lock_guard lock(mutex_);
    if (const auto found = timer_times_.find(id); found != timer_times_.end()) {
      timers_.erase({found->second, id});
      timer_times_.erase(found);
      return;
    }
  }
  wait_until_idle();
}

void Reactor::wait_until_idle() {
  if (!is_own_thread()) {
    const std::lock_guard idle(running_);
  }
}

int Reactor::timeout_ms() {
  const std::lock_guard lock(mutex_);
  if (timers_.empty()) {
    return -1;
  }
  const auto left = timers_.begin()->first.first - std::chrono::steady_clock::now();
  // Rounded up, so that a timer is due when we wake.
  const auto ms = std::chrono::ceil<std::chrono::milliseconds>(left).count();
  return static_cast<int>(std::clamp<std::int64_t>(ms, 0, 3'600'000));
}

void Reactor::run_timers() {
  while (true) {
    const std::lock_guard running(running_);
    std::function<void()> work;
    {
      const std::lock_guard lock(mutex_);
      if (is_stopping_ || timers_.empty() || timers_.begin()->first.first > std::chrono::steady_clock::now()) {
        return;
      }
      work = std::move(timers_.begin()->second);
      timer_times_.erase(timers_.begin()->first.second);
      timers_.erase(timers_.begin());
    }
    work();
  }
}

void Reactor::run_handler(int fd, std::uint32_t events) {
  const std::lock_guard running(running_);
  std::shared_ptr<Handler> handler;
  {
    const std::lock_guard lock(mutex_);
    const auto found = handlers_.find(fd);
    if (is_stopping_ || found == handlers_.end()) {
      return;
    }
    handler = found->second;
  }
  (*handler)(events);
}

void Reactor::run() {
  std::array<epoll_event, 64> events{};
  while (true) {
    const int count = ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), timeout_ms());
    {
      const std::lock_guard lock(mutex_);
      if (is_stopping_) {
        return;
      }
    }
    for (int i = 0; i < count; ++i) {
      const epoll_event& event = events.at(static_cast<std::size_t>(i));
      if (event.data.fd == wakeup_.fd()) {
        wakeup_.take();
      } else {
        run_handler(event.data.fd, event.events);
      }
    }
    run_timers();
  }
}

}  // namespace busbar::engine
