#include "os/directory_watcher.h"

#include <fmt/format.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>

#include "os/errno_error.h"
#include "os/event_fd.h"

namespace busbar::os {
namespace {

using Kind = DirectoryEvent::Kind;

constexpr std::uint32_t kMask =
    IN_CREATE | IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR;

Kind kind_of(std::uint32_t mask) {
  if ((mask & IN_Q_OVERFLOW) != 0) {
    return Kind::kOverflow;
  }
  if ((mask & IN_CREATE) != 0) {
    return Kind::kCreated;
  }
  if ((mask & IN_CLOSE_WRITE) != 0) {
    return Kind::kWritten;
  }
  if ((mask & IN_MOVED_TO) != 0) {
    return Kind::kMovedIn;
  }
  return (mask & (IN_DELETE | IN_MOVED_FROM)) != 0 ? Kind::kRemoved : Kind::kGone;
}

}  // namespace

Result<DirectoryWatcher> DirectoryWatcher::open(const std::string& path) {
  UniqueFd fd(inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  if (!fd.is_valid()) {
    return errno_failure("cannot make an inotify instance; raise fs.inotify.max_user_instances");
  }
  if (inotify_add_watch(fd.get(), path.c_str(), kMask) < 0) {
    return errno_failure(fmt::format("cannot watch directory {}", path));
  }
  return DirectoryWatcher(std::move(fd), path);
}

Result<std::vector<DirectoryEvent>> DirectoryWatcher::read_events() {
  std::vector<DirectoryEvent> events;
  alignas(inotify_event) std::array<char, 16384> buffer;
  while (true) {
    const ssize_t got = ::read(fd_.get(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) {
      continue;
    }
    if (got < 0 && errno == EAGAIN) {
      return events;
    }
    if (got <= 0) {
      return errno_failure(fmt::format("cannot read the events of {}", path_));
    }
    for (std::size_t at = 0; at < static_cast<std::size_t>(got);) {
      inotify_event header{};
      std::memcpy(&header, buffer.data() + at, sizeof(header));
      const char* name = header.len > 0 ? buffer.data() + at + sizeof(header) : "";
      at += sizeof(header) + header.len;
      const Kind kind = kind_of(header.mask);
      // The kernel says twice that a directory is gone: deleted, then the watch ended.
      if (kind == Kind::kGone && !events.empty() && events.back().kind == Kind::kGone) {
        continue;
      }
      events.push_back({.kind = kind, .name = name});
    }
  }
}

Result<std::vector<DirectoryEvent>> DirectoryWatcher::wait_events(std::chrono::milliseconds timeout) {
  wait_readable(fd_.get(), timeout);
  return read_events();
}

}  // namespace busbar::os
