#include "store/sqlite/internal/writer_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <thread>
#include <utility>

#include "base/text.h"

namespace busbar::store {

namespace {

constexpr std::chrono::milliseconds kWaitForRemnants = std::chrono::seconds(5);
constexpr std::chrono::milliseconds kPollEvery = std::chrono::milliseconds(5);

/// The process that took the lock, by its own word; 0 if it left none.
pid_t owner_of(int file) {
  std::array<char, 32> text{};
  const ssize_t size = pread(file, text.data(), text.size(), 0);
  if (size <= 0) return 0;
  return static_cast<pid_t>(parse_int(trim({text.data(), static_cast<std::size_t>(size)})).value_or(0));
}

bool is_gone(pid_t process) {
  return process > 0 && kill(process, 0) != 0 && errno == ESRCH;
}

/// True once locked; false: somebody else has it (errno EWOULDBLOCK), or it cannot be done. A child that a killed owner
/// had just forked holds the lock until its exec, so a lock whose owner is gone is worth a moment's wait.
bool lock_file(int file) {
  const auto deadline = std::chrono::steady_clock::now() + kWaitForRemnants;
  while (flock(file, LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return false;
    if (!is_gone(owner_of(file)) || std::chrono::steady_clock::now() >= deadline) {
      errno = EWOULDBLOCK;
      return false;
    }
    std::this_thread::sleep_for(kPollEvery);
  }
  return true;
}

}  // namespace

Result<WriterLock> WriterLock::take(const std::string& database_path) {
  const std::string path = database_path + ".lock";
  const int file = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (file < 0) {
    const ErrorCode code = errno == EACCES || errno == EROFS ? ErrorCode::kPermissionDenied
                           : errno == ENOENT                 ? ErrorCode::kNotFound
                           : errno == ENOSPC                 ? ErrorCode::kResourceExhausted
                                                             : ErrorCode::kInternal;
    return make_error(code, "cannot open lock file \"" + path + "\"", std::strerror(errno));
  }
  WriterLock lock(file);
  if (!lock_file(file)) {
    if (errno != EWOULDBLOCK) {
      return make_error(ErrorCode::kInternal, "cannot lock \"" + path + "\"", std::strerror(errno));
    }
    const pid_t owner = owner_of(file);
    const std::string who = owner > 0 ? "process " + std::to_string(owner) : "another process";
    return make_error(ErrorCode::kFailedPrecondition,
                      "database \"" + database_path + "\" is in use by " + who + "; stop it first");
  }
  const std::string text = std::to_string(getpid()) + "\n";
  // The id is for a message only: on a full disk the lock holds without it.
  if (ftruncate(file, 0) == 0 && pwrite(file, text.data(), text.size(), 0) < 0) static_cast<void>(ftruncate(file, 0));
  return lock;
}

WriterLock::WriterLock(WriterLock&& other) noexcept : file_(std::exchange(other.file_, -1)) {}

WriterLock::~WriterLock() {
  if (file_ >= 0) close(file_);
}

}  // namespace busbar::store
