#include "store/sqlite/internal/writer_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/text.h"

namespace busbar::store {

namespace {

std::string owner_of(int file) {
  std::array<char, 32> text{};
  const ssize_t size = pread(file, text.data(), text.size(), 0);
  if (size <= 0) return "another process";
  return "process " + std::string(trim({text.data(), static_cast<std::size_t>(size)}));
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
  if (flock(file, LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) {
      return make_error(ErrorCode::kInternal, "cannot lock \"" + path + "\"", std::strerror(errno));
    }
    return make_error(ErrorCode::kFailedPrecondition,
                      "database \"" + database_path + "\" is in use by " + owner_of(file) + "; stop it first");
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
