#include "engine/local/internal/state_dir.h"

#include <fcntl.h>
#include <sys/file.h>

#include <cerrno>
#include <chrono>
#include <filesystem>
#include <system_error>
#include <thread>

#include "os/errno_error.h"

namespace busbar::engine {
namespace {

/// Whoever is here has the server's lock already: what holds this one are children of a killed server, until their
/// exec.
constexpr std::chrono::seconds kLockTimeout{10};

}  // namespace

Result<os::UniqueFd> take_lock(const std::string& state_dir) {
  TRY_ASSIGN(os::UniqueFd fd, os::open_file(state_dir + "/engine.lock", O_RDWR | O_CREAT, 0600));
  const auto deadline = std::chrono::steady_clock::now() + kLockTimeout;
  while (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) {
      return os::errno_failure("cannot lock " + state_dir);
    }
    if (std::chrono::steady_clock::now() > deadline) {
      return make_error(ErrorCode::kFailedPrecondition,
                        "another busbar runs on " + state_dir + "; stop it, or give this one a directory of its own");
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return fd;
}

Bytes bytes_of_files(const std::string& dir) {
  namespace fs = std::filesystem;
  Bytes bytes;
  std::error_code error;
  fs::recursive_directory_iterator it(dir, fs::directory_options::skip_permission_denied, error);
  for (; !error && it != fs::recursive_directory_iterator(); it.increment(error)) {
    std::error_code is_no_file;
    if (it->is_regular_file(is_no_file) && !it->is_symlink(is_no_file)) {
      const auto size = it->file_size(is_no_file);
      bytes.value += is_no_file ? 0 : static_cast<std::int64_t>(size);
    }
  }
  return bytes;
}

}  // namespace busbar::engine
