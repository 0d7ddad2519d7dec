#include "control/internal/private_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "base/text.h"
#include "os/errno_error.h"
#include "os/files.h"

namespace busbar::control {
namespace {

constexpr std::size_t kMaxBytes = 1 << 20;

Result<void> check_exposure(const struct stat& status, const std::string& path, std::string_view what,
                            Exposure exposure) {
  if (!S_ISREG(status.st_mode)) {
    return make_error(ErrorCode::kPermissionDenied, fmt::format("{} {} is not a regular file", what, path));
  }
  if (status.st_uid != geteuid() && status.st_uid != 0) {
    return make_error(ErrorCode::kPermissionDenied,
                      fmt::format("{} {} belongs to uid {}, not to the server's user; run: chown {} {}", what, path,
                                  status.st_uid, geteuid(), shell_quote(path)));
  }
  const bool is_secret = exposure == Exposure::kNobodyReads;
  const mode_t refused = is_secret ? S_IRWXG | S_IRWXO : S_IWGRP | S_IWOTH;
  if ((status.st_mode & refused) != 0) {
    return make_error(ErrorCode::kPermissionDenied,
                      fmt::format("{} {} has mode {:04o}, so other users of this machine can {} it; run: chmod {} {}",
                                  what, path, status.st_mode & 07777, is_secret ? "reach" : "change",
                                  is_secret ? "600" : "go-w", shell_quote(path)));
  }
  return {};
}

}  // namespace

Result<std::string> read_private_file(const std::string& path, std::string_view what, Exposure exposure) {
  // O_NONBLOCK: a fifo of that name must not hang the start.
  TRY_ASSIGN(const os::UniqueFd fd, os::open_file(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK));
  struct stat status{};
  if (::fstat(fd.get(), &status) != 0) {
    return os::errno_failure(fmt::format("cannot look at {}", path));
  }
  TRY(check_exposure(status, path, what, exposure));
  std::string bytes;
  std::array<char, 4096> buffer{};
  while (true) {
    const ssize_t got = ::read(fd.get(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) {
      continue;
    }
    if (got < 0) {
      return os::errno_failure(fmt::format("cannot read {}", path));
    }
    if (got == 0) {
      return bytes;
    }
    bytes.append(buffer.data(), static_cast<std::size_t>(got));
    if (bytes.size() > kMaxBytes) {
      return make_error(ErrorCode::kResourceExhausted, fmt::format("{} {} is longer than 1 MiB", what, path));
    }
  }
}

Result<std::string> read_or_make_private_file(const std::string& path, std::string_view what,
                                              const std::function<std::string()>& content) {
  auto present = read_private_file(path, what, Exposure::kNobodyReads);
  if (present || present.error().code != ErrorCode::kNotFound) {
    return present;
  }
  std::string bytes = content();
  TRY(os::write_file_atomic(path, bytes, 0600));
  return bytes;
}

}  // namespace busbar::control
