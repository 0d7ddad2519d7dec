#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <vector>

#include "base/error.h"
#include "os/event_fd.h"
#include "os/unique_fd.h"

namespace busbar::engine {

/// One thread that waits for descriptors and deadlines (epoll). Everything that waits in the local engine waits here:
/// exit files, monitors, reports, terminals, rsh connections, grace periods.
///
/// Thread-safe. Handlers run on the reactor's thread, one at a time, and must not block; longer work goes to a
/// WorkQueue. After `remove` or `cancel` has returned the handler is not running and will not run again, unless the
/// call came from the reactor's own thread.
class Reactor {
 public:
  using Handler = std::function<void(std::uint32_t events)>;
  using TimerId = std::uint64_t;

  static Result<std::unique_ptr<Reactor>> create();
  Reactor(const Reactor&) = delete;
  Reactor& operator=(const Reactor&) = delete;
  ~Reactor();

  /// Watches a descriptor that the caller owns and keeps open until `remove`. Level-triggered.
  Result<void> add(int fd, std::uint32_t events, Handler handler);
  void modify(int fd, std::uint32_t events);
  void remove(int fd);

  TimerId after(std::chrono::milliseconds delay, std::function<void()> work);
  void cancel(TimerId id);
  /// Runs `work` on the reactor's thread soon.
  void post(std::function<void()> work) { after(std::chrono::milliseconds(0), std::move(work)); }

  /// Ends the thread; nothing runs afterwards. Idempotent.
  void stop();
  bool is_own_thread() const { return std::this_thread::get_id() == thread_.get_id(); }

 private:
  using Time = std::chrono::steady_clock::time_point;

  Reactor(os::UniqueFd epoll, os::EventFd wakeup) : epoll_(std::move(epoll)), wakeup_(std::move(wakeup)) {}
  void run();
  int timeout_ms();
  void run_timers();
  void run_handler(int fd, std::uint32_t events);
  void wait_until_idle();

  os::UniqueFd epoll_;
  os::EventFd wakeup_;
  std::mutex mutex_;
  std::mutex running_;  ///< Held by the reactor's thread while a handler or timer runs.
  std::unordered_map<int, std::shared_ptr<Handler>> handlers_;
  std::map<std::pair<Time, TimerId>, std::function<void()>> timers_;
  std::unordered_map<TimerId, Time> timer_times_;
  TimerId next_timer_ = 1;
  bool is_stopping_ = false;
  std::thread thread_;
};

}  // namespace busbar::engine
