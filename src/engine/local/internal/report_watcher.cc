#include "engine/local/internal/report_watcher.h"

#include <sys/epoll.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <cstring>
#include <vector>

#include "os/errno_error.h"

namespace busbar::engine {

Result<std::unique_ptr<ReportWatcher>> ReportWatcher::create(Reactor& reactor) {
  os::UniqueFd fd(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  if (!fd.is_valid()) {
    return os::errno_failure("cannot watch files; fs.inotify.max_user_instances may be used up");
  }
  std::unique_ptr<ReportWatcher> watcher(new ReportWatcher(reactor, std::move(fd)));
  TRY(reactor.add(watcher->fd_.get(), EPOLLIN, [raw = watcher.get()](std::uint32_t) { raw->read_events(); }));
  return watcher;
}

ReportWatcher::~ReportWatcher() {
  reactor_.remove(fd_.get());
}

Result<int> ReportWatcher::watch(const std::string& dir, std::string name, std::function<void()> on_change) {
  const std::lock_guard lock(mutex_);
  const int handle = ::inotify_add_watch(fd_.get(), dir.c_str(), IN_MODIFY | IN_MOVED_TO | IN_ONLYDIR);
  if (handle < 0) {
    return os::errno_failure("cannot watch " + dir + "; fs.inotify.max_user_watches may be used up");
  }
  watches_[handle] = {.name = std::move(name), .on_change = std::move(on_change)};
  return handle;
}

void ReportWatcher::unwatch(int handle) {
  const std::lock_guard lock(mutex_);
  if (watches_.erase(handle) > 0) {
    ::inotify_rm_watch(fd_.get(), handle);
  }
}

void ReportWatcher::read_events() {
  alignas(inotify_event) char buffer[16384];
  const ssize_t size = ::read(fd_.get(), buffer, sizeof buffer);
  std::unordered_map<int, std::function<void()>> due;
  {
    const std::lock_guard lock(mutex_);
    for (ssize_t at = 0; at + static_cast<ssize_t>(sizeof(inotify_event)) <= size;) {
      inotify_event event{};
      std::memcpy(&event, buffer + at, sizeof event);
      const char* name = buffer + at + sizeof event;
      at += static_cast<ssize_t>(sizeof event + event.len);
      if ((event.mask & IN_Q_OVERFLOW) != 0) {
        // Dropped events: everything may have changed.
        for (const auto& [handle, watch] : watches_) {
          due[handle] = watch.on_change;
        }
        continue;
      }
      const auto watch = watches_.find(event.wd);
      if (watch != watches_.end() && event.len > 0 && watch->second.name == name) {
        due[event.wd] = watch->second.on_change;
      }
    }
  }
  for (const auto& [handle, on_change] : due) {
    on_change();
  }
}

}  // namespace busbar::engine
