#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "engine/device_probe.h"
#include "engine/engine.h"
#include "engine/rootfs.h"

namespace busbar::engine {

struct LocalOptions {
  /// Attempts, layers, logs. Short: unix socket paths below it are limited to 107 bytes (longer ones are reached
  /// through a link in `run_dir`).
  std::string state_dir = {};
  std::string run_dir = {};               ///< Sockets and pid files.
  std::string runtime = {};               ///< "runc", "crun", or a path; empty: probe both at start.
  std::string conmon = {};                ///< Empty: from PATH.
  std::string helper_dir = {};            ///< Where busbar-rsh and busbar.py (in python/) lie, mounted into tasks.
  std::int64_t probe_period_ms = 2'000;   ///< How often the cards are looked at again; 0: never.
  std::int64_t log_max_bytes = 64 << 20;  ///< Per file, rotated.
  std::uint32_t log_files = 3;
  std::string node_name = {};  ///< Empty: the host's name.
  std::vector<std::string> masked_paths =
      {};  ///< Hidden in `image: host`, beside the built-in list: the token file ...
};

/// Containers on this machine by runc or crun under conmon (design §6). Owns its threads. Containers outlive it.
/// `providers` are asked in order; borrowed, must outlive the engine, as must `probe` (whose cards the node has, and
/// which says how containers see them) and `clock`.
Result<std::unique_ptr<Engine>> make_local_engine(const LocalOptions& options, std::vector<RootfsProvider*> providers,
                                                  DeviceProbe& probe, const Clock& clock);

/// image: host: the machine's own root, read-only, with what is private masked.
std::unique_ptr<RootfsProvider> make_host_rootfs(std::vector<std::string> masked_paths);

}  // namespace busbar::engine
