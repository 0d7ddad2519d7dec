#include "control/health_checker.h"

#include <pthread.h>
#include <sys/epoll.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <map>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "control/internal/health_probe.h"
#include "os/errno_error.h"
#include "os/event_fd.h"
#include "os/unique_fd.h"

namespace busbar::control {
namespace {

using SteadyClock = std::chrono::steady_clock;
using Moment = SteadyClock::time_point;
using std::chrono::milliseconds;

constexpr milliseconds kFirstPause{10};
/// The pause before a target that is not ready is asked again grows by this part of itself ...
constexpr int kGrowth = 8;
/// ... and to this, so that a replica that took minutes is still found soon.
constexpr milliseconds kMostPause{500};
/// Nobody needs to hear that a replica that has just been started does not listen yet.
constexpr std::uint32_t kQuietFailures = 20;

/// One target and where its checks stand.
struct Watched {
  HealthTarget target = {};
  HealthProbe probe = {};
  bool is_ready = false;
  bool is_told = false;  ///< That it is as it is.
  std::string detail = {};
  std::uint32_t failures = 0;
  milliseconds pause = kFirstPause;
  Moment next = {};      ///< The next check, when none runs.
  Moment deadline = {};  ///< Of the check that runs.

  Moment wakeup() const { return probe.is_running() ? deadline : next; }
};

class EpollHealthChecker final : public HealthChecker {
 public:
  EpollHealthChecker(Sink sink, os::UniqueFd epoll, os::EventFd wake)
      : sink_(std::move(sink)), epoll_(std::move(epoll)), wake_(std::move(wake)) {}
  ~EpollHealthChecker() override { stop(); }

  Result<void> begin() {
    TRY(add(wake_.fd(), EPOLLIN, 0));
    thread_ = std::thread([this] {
      pthread_setname_np(pthread_self(), "health");
      run();
    });
    return {};
  }

  void watch(std::vector<HealthTarget> targets) override {
    {
      const std::lock_guard lock(mutex_);
      wanted_ = std::move(targets);
    }
    wake_.set();
  }

  void stop() override {
    {
      const std::lock_guard lock(mutex_);
      is_stopping_ = true;
    }
    wake_.set();
    if (thread_.joinable()) thread_.join();
  }

 private:
  Result<void> add(int fd, std::uint32_t events, std::uint64_t key) {
    epoll_event event{.events = events, .data = {.u64 = key}};
    if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) return os::errno_failure("epoll_ctl");
    return {};
  }

  /// False: stop.
  bool take_wanted() {
    wake_.take();
    std::optional<std::vector<HealthTarget>> wanted;
    {
      const std::lock_guard lock(mutex_);
      if (is_stopping_) return false;
      wanted = std::exchange(wanted_, std::nullopt);
    }
    if (!wanted) return true;
    std::map<std::uint64_t, Watched> kept;
    for (HealthTarget& target : *wanted) {
      const auto same = std::find_if(watched_.begin(), watched_.end(), [&target](const auto& entry) {
        return has_same_check(entry.second.target, target);
      });
      if (same != watched_.end()) {
        kept.insert(watched_.extract(same));
        continue;
      }
      Watched fresh;
      fresh.is_ready = target.is_ready;
      fresh.is_told = target.is_ready;
      fresh.next = SteadyClock::now();
      fresh.target = std::move(target);
      kept.emplace(++last_key_, std::move(fresh));
    }
    watched_ = std::move(kept);
    return true;
  }

  void run() {
    std::array<epoll_event, 64> events{};
    for (;;) {
      const int count = ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), timeout_ms());
      for (int i = 0; i < count; ++i) {
        const std::uint64_t key = events[static_cast<std::size_t>(i)].data.u64;
        if (const auto found = watched_.find(key); found != watched_.end()) advance(key, found->second);
      }
      if (!take_wanted()) return;
      const Moment now = SteadyClock::now();
      for (auto& [key, watched] : watched_) {
        if (watched.wakeup() > now) continue;
        watched.probe.is_running() ? time_out(watched) : ask(key, watched);
      }
    }
  }

  int timeout_ms() const {
    if (watched_.empty()) return -1;
    Moment next = Moment::max();
    for (const auto& [key, watched] : watched_) next = std::min(next, watched.wakeup());
    const auto left = std::chrono::ceil<milliseconds>(next - SteadyClock::now());
    return static_cast<int>(std::clamp<std::int64_t>(left.count(), 0, 60'000));
  }

  void ask(std::uint64_t key, Watched& watched) {
    watched.deadline = SteadyClock::now() + milliseconds(watched.target.timeout_ms);
    if (const auto outcome = watched.probe.begin(watched.target)) return finish(watched, *outcome);
    poll(key, watched, EPOLL_CTL_ADD);
  }

  void poll(std::uint64_t key, Watched& watched, int operation) {
    epoll_event event{.events = watched.probe.wants_write() ? EPOLLOUT : EPOLLIN, .data = {.u64 = key}};
    if (::epoll_ctl(epoll_.get(), operation, watched.probe.fd(), &event) == 0) return;
    watched.probe.cancel();
    finish(watched, make_error(ErrorCode::kInternal, "cannot wait for the socket"));
  }

  void advance(std::uint64_t key, Watched& watched) {
    if (!watched.probe.is_running()) return;
    if (const auto outcome = watched.probe.advance()) return finish(watched, *outcome);
    poll(key, watched, EPOLL_CTL_MOD);
  }

  void time_out(Watched& watched) {
    watched.probe.cancel();
    finish(watched, make_error(ErrorCode::kDeadlineExceeded,
                               "no answer within " + std::to_string(watched.target.timeout_ms) + " ms"));
  }

  void finish(Watched& watched, const Result<void>& outcome) {
    const Moment now = SteadyClock::now();
    const milliseconds every(watched.target.every_ms);
    if (outcome) {
      watched.failures = 0;
      watched.pause = kFirstPause;
      watched.next = now + every;
      tell(watched, true, {});
      return;
    }
    ++watched.failures;
    if (watched.is_ready && watched.failures < watched.target.failures) {
      watched.next = now + every;
      return;
    }
    watched.next = now + watched.pause;
    watched.pause = std::min(watched.pause + watched.pause / kGrowth + milliseconds(1), std::min(kMostPause, every));
    tell(watched, false, outcome.error().message);
  }

  void tell(Watched& watched, bool is_ready, const std::string& detail) {
    if (watched.is_told && watched.is_ready == is_ready && watched.detail == detail) return;
    if (!watched.is_ready && !is_ready && watched.failures < kQuietFailures) return;
    watched.is_told = true;
    watched.is_ready = is_ready;
    watched.detail = detail;
    sink_(watched.target.id, is_ready, detail);
  }

  const Sink sink_;
  const os::UniqueFd epoll_;
  os::EventFd wake_;
  std::mutex mutex_;
  std::optional<std::vector<HealthTarget>> wanted_;
  bool is_stopping_ = false;
  // The thread's own.
  std::map<std::uint64_t, Watched> watched_;
  std::uint64_t last_key_ = 0;
  std::thread thread_;
};

}  // namespace

bool has_same_check(const HealthTarget& left, const HealthTarget& right) {
  HealthTarget like_right = left;
  like_right.is_ready = right.is_ready;
  return like_right == right;
}

Result<std::unique_ptr<HealthChecker>> HealthChecker::start(Sink sink) {
  os::UniqueFd epoll(::epoll_create1(EPOLL_CLOEXEC));
  if (!epoll.is_valid()) return os::errno_failure("epoll_create1");
  TRY_ASSIGN(os::EventFd wake, os::EventFd::create());
  auto checker = std::make_unique<EpollHealthChecker>(std::move(sink), std::move(epoll), std::move(wake));
  TRY(checker->begin());
  return checker;
}

}  // namespace busbar::control
