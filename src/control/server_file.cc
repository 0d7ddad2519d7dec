#include "control/server_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <optional>
#include <thread>

#include "base/json.h"
#include "base/text.h"
#include "os/errno_error.h"
#include "os/files.h"

namespace busbar::control {
namespace {

constexpr std::size_t kMaxFileBytes = 64 << 10;

std::string info_path(const std::string& state_dir) {
  return os::join_path(state_dir, "server.json");
}
std::string lock_path(const std::string& state_dir) {
  return os::join_path(state_dir, "server.lock");
}

/// An open-file-description lock rather than flock(2): only those can be asked about without taking them, and a client
/// that took one for a moment could turn a starting server away.
struct flock whole_file(short type) {
  struct flock lock = {};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  return lock;
}

constexpr std::chrono::milliseconds kWaitForRemnants = std::chrono::seconds(5);
constexpr std::chrono::milliseconds kLockPollEvery = std::chrono::milliseconds(5);

/// Did a process that is no more leave its id there, or one that has given the lock up nothing?
bool is_holder_gone(const std::string& path) {
  const auto text = os::read_file(path, kMaxFileBytes);
  if (text && text->empty()) {
    return true;
  }
  const auto pid = text ? parse_int(*text) : std::nullopt;
  return pid && *pid > 0 && ::kill(static_cast<pid_t>(*pid), 0) != 0 && errno == ESRCH;
}

/// Takes the lock, or says false with errno. The children of a server hold its lock until the end of their exec (that
/// is after their parent goes on): a lock whose holder is gone is worth a moment's wait.
bool take_lock(int fd, const std::string& path) {
  const auto deadline = std::chrono::steady_clock::now() + kWaitForRemnants;
  while (true) {
    struct flock lock = whole_file(F_WRLCK);
    if (::fcntl(fd, F_OFD_SETLK, &lock) == 0) {
      return true;
    }
    const int reason = errno;
    if ((reason != EAGAIN && reason != EACCES) || !is_holder_gone(path) ||
        std::chrono::steady_clock::now() >= deadline) {
      errno = reason;
      return false;
    }
    std::this_thread::sleep_for(kLockPollEvery);
  }
}

Result<ServerInfo> read_info(const std::string& state_dir) {
  const std::string path = info_path(state_dir);
  TRY_ASSIGN(const std::string text, os::read_file(path, kMaxFileBytes));
  const auto json = parse_json(text);
  if (!json || !(*json)["url"].is_string() || !(*json)["pid"].is_int()) {
    return make_error(ErrorCode::kDataCorrupt, fmt::format("{} was not written by a busbar server", path));
  }
  return ServerInfo{.url = (*json)["url"].as_string(),
                    .pid = (*json)["pid"].as_int(),
                    .token_file = (*json)["token_file"].as_string(),
                    .started_ms = (*json)["started_ms"].as_int()};
}

Error taken_error(const std::string& state_dir, const std::string& holder_pid) {
  std::string who = holder_pid.empty() ? "" : fmt::format(" (pid {})", holder_pid);
  if (const auto info = read_info(state_dir); info) {
    who = fmt::format(" (pid {}, {})", info->pid, info->url);
  }
  return {.code = ErrorCode::kFailedPrecondition,
          .message = fmt::format("another busbar server{} runs on {}; stop it, or give this one another state_dir", who,
                                 state_dir)};
}

/// True while a server holds the lock. Without permission to ask, the file is believed.
Result<bool> is_claimed(const std::string& state_dir) {
  const auto fd = os::open_file(lock_path(state_dir), O_RDONLY);
  if (!fd) {
    if (fd.error().code == ErrorCode::kNotFound) {
      return false;
    }
    return fd.error().code == ErrorCode::kPermissionDenied ? Result<bool>(true) : tl::unexpected(fd.error());
  }
  struct flock lock = whole_file(F_RDLCK);
  if (::fcntl(fd->get(), F_OFD_GETLK, &lock) != 0) {
    return os::errno_failure(fmt::format("cannot ask for the lock of {}", lock_path(state_dir)));
  }
  return lock.l_type != F_UNLCK;
}

}  // namespace

Result<ServerFile> ServerFile::claim(const std::string& state_dir) {
  TRY(os::make_dirs(state_dir, 0700));
  const std::string path = lock_path(state_dir);
  TRY_ASSIGN(os::UniqueFd fd, os::open_file(path, O_RDWR | O_CREAT, 0600));
  if (!take_lock(fd.get(), path)) {
    if (errno != EAGAIN && errno != EACCES) {
      return os::errno_failure(fmt::format("cannot lock {}; state_dir must lie on a file system with locks", path));
    }
    const auto holder = os::read_file(path, kMaxFileBytes);
    return tl::unexpected(taken_error(state_dir, holder.value_or("")));
  }
  if (::ftruncate(fd.get(), 0) != 0) {
    return os::errno_failure(fmt::format("cannot write {}", path));
  }
  TRY(os::write_all(fd.get(), std::to_string(getpid()), path));
  // What a killed server left would send clients to a port that may be somebody else's by now.
  ::unlink(info_path(state_dir).c_str());
  return ServerFile(state_dir, std::move(fd));
}

ServerFile::~ServerFile() {
  if (lock_.is_valid()) {
    ::unlink(info_path(state_dir_).c_str());
    // Nothing follows from a failure: the next server then takes the lock for ours until we have ended.
    (void)!::ftruncate(lock_.get(), 0);
  }
}

Result<void> ServerFile::publish(const ServerInfo& info) {
  const Json json = Json::object(
      {{"url", info.url}, {"pid", info.pid}, {"token_file", info.token_file}, {"started_ms", info.started_ms}});
  return os::write_file_atomic(info_path(state_dir_), json.dump() + "\n", 0644, os::Durability::kCached);
}

Result<ServerInfo> find_server(const std::string& state_dir) {
  TRY_ASSIGN(const bool is_running, is_claimed(state_dir));
  if (!is_running) {
    return make_error(ErrorCode::kNotFound, fmt::format("no busbar server runs on {}", state_dir));
  }
  auto info = read_info(state_dir);
  if (!info && info.error().code == ErrorCode::kNotFound) {
    return make_error(ErrorCode::kNotFound,
                      fmt::format("the busbar server on {} has not finished its start", state_dir));
  }
  return info;
}

}  // namespace busbar::control
