#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "os/process.h"
#include "os/unique_fd.h"

namespace busbar::engine {

struct ConmonRequest {
  std::string conmon = {};
  std::string runtime = {};
  std::string runtime_root = {};
  std::string bundle = {};
  std::string container = {};
  std::string log_path = {};
  std::string exit_dir = {};
  std::string socket_dir = {};
  bool has_terminal = false;
  std::vector<std::string> cgroups = {};  ///< The monitor is moved here before it starts the container.
};

/// conmon has been asked to create a container; `result` tells the outcome.
struct ConmonStart {
  os::UniqueFd result = {};
};

/// Starts conmon, which runs `runtime create` in the background. It outlives us: its own session, and the cgroups asked
/// for. Names of its files in the bundle: conmon.pid, init.pid, conmon.err, attach, ctl, winsz.
Result<ConmonStart> spawn_conmon(const ConmonRequest& request);

/// Waits for `{"pid": N}` on the pipe: the container's first process on the host. The error carries what the runtime
/// said. conmon's own exit code means nothing.
Result<pid_t> wait_created(const ConmonStart& start);
/// The answer's text; exposed for tests.
Result<pid_t> parse_created(std::string_view text);

/// What a monitor of this container, recorded in the bundle, is now. `is_valid()` is false when it has ended (or its
/// number belongs to another program).
os::UniqueFd open_conmon(const std::string& bundle, const std::string& container);

/// Tells conmon to open its log file again by name, after a rotation.
Result<void> reopen_log(const std::string& bundle);
/// Sets the size of the container's terminal.
Result<void> resize_terminal(const std::string& bundle, std::uint16_t rows, std::uint16_t columns);

/// "7" -> 7, as in exit files and pid files.
Result<std::int64_t> read_number_file(const std::string& path);

}  // namespace busbar::engine
