#include "control/internal/log_watch.h"

#include <sys/inotify.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "os/errno_error.h"

namespace busbar::control {
namespace {

// os::DirectoryWatcher tells of files that were closed; a log is read while it is being written.
constexpr std::uint32_t kMask = IN_MODIFY | IN_CREATE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_ONLYDIR;

}  // namespace

Result<LogWatch> LogWatch::create() {
  os::UniqueFd fd(inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  if (!fd.is_valid()) {
    return os::errno_failure("cannot make an inotify instance for logs; raise fs.inotify.max_user_instances");
  }
  return LogWatch(std::move(fd));
}

bool LogWatch::add(const std::string& directory, LogWatcher watcher) {
  const int descriptor = inotify_add_watch(fd_.get(), directory.c_str(), kMask);
  if (descriptor < 0) {
    return false;
  }
  // The same directory gives the same descriptor.
  Directory& entry = directories_[descriptor];
  entry.path = directory;
  entry.watchers.insert(watcher);
  return true;
}

void LogWatch::remove(std::uint64_t stream) {
  for (auto it = directories_.begin(); it != directories_.end();) {
    std::erase_if(it->second.watchers, [stream](const LogWatcher& watcher) { return watcher.stream == stream; });
    if (it->second.watchers.empty()) {
      inotify_rm_watch(fd_.get(), it->first);
      it = directories_.erase(it);
    } else {
      ++it;
    }
  }
}

void LogWatch::dispatch(const std::function<void(LogWatcher, LogChange, std::string_view)>& tell) {
  alignas(inotify_event) std::array<char, 16384> buffer;
  while (true) {
    const ssize_t got = ::read(fd_.get(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) {
      continue;
    }
    if (got <= 0) {
      return;
    }
    for (std::size_t at = 0; at < static_cast<std::size_t>(got);) {
      inotify_event event{};
      std::memcpy(&event, buffer.data() + at, sizeof(event));
      const char* name = event.len > 0 ? buffer.data() + at + sizeof(event) : "";
      at += sizeof(event) + event.len;
      if ((event.mask & IN_Q_OVERFLOW) != 0) {
        for (const auto& [descriptor, directory] : directories_) {
          for (const LogWatcher& watcher : directory.watchers) {
            tell(watcher, LogChange::kNames, "");
          }
        }
        continue;
      }
      const auto directory = directories_.find(event.wd);
      if (directory == directories_.end()) {
        continue;
      }
      const LogChange change = (event.mask & IN_MODIFY) != 0 ? LogChange::kWritten : LogChange::kNames;
      for (const LogWatcher& watcher : directory->second.watchers) {
        tell(watcher, change, name);
      }
      if ((event.mask & IN_IGNORED) != 0) {
        directories_.erase(directory);  // the directory is gone
      }
    }
  }
}

}  // namespace busbar::control
