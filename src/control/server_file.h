#pragma once

#include <cstdint>
#include <string>
#include <utility>

#include "base/error.h"
#include "base/units.h"
#include "os/unique_fd.h"

namespace busbar::control {

/// How a client on the same machine finds the server: <state_dir>/server.json.
struct ServerInfo {
  std::string url = {};
  std::int64_t pid = 0;
  std::string token_file = {};  ///< Empty: no token needed.
  TimeMs started_ms = 0;
  friend bool operator==(const ServerInfo&, const ServerInfo&) = default;
};

/// A server's claim on its state directory: a lock (OFD, fcntl(2), on <state_dir>/server.lock) that the kernel lets go
/// when the process ends, however it ends, and that containers do not inherit. Take it before anything in there is
/// opened.
class ServerFile {
 public:
  /// Makes the directory (0700) if absent. kFailedPrecondition, naming the other server's pid and url, if it is taken.
  static Result<ServerFile> claim(const std::string& state_dir);
  ServerFile(ServerFile&& other) noexcept = default;
  ServerFile& operator=(ServerFile&&) = delete;
  /// Removes server.json, then lets the lock go.
  ~ServerFile();

  /// Writes server.json, whole or not at all, mode 0644: it tells no secret. Call it once the server answers.
  Result<void> publish(const ServerInfo& info);

 private:
  ServerFile(std::string state_dir, os::UniqueFd lock) : state_dir_(std::move(state_dir)), lock_(std::move(lock)) {}

  std::string state_dir_;
  os::UniqueFd lock_;
};

/// What `publish` wrote. kNotFound: no server runs on this state directory (a file left by a killed server counts as
/// none: nobody holds the lock). kDataCorrupt: not our file.
Result<ServerInfo> find_server(const std::string& state_dir);

}  // namespace busbar::control
