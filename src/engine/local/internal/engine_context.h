#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "engine/local/internal/attempt_store.h"
#include "engine/local/internal/cgroup.h"
#include "engine/local/internal/config_json.h"
#include "engine/local/internal/fact_queue.h"
#include "engine/local/internal/port_leases.h"
#include "engine/local/internal/reactor.h"
#include "engine/local/internal/report_watcher.h"
#include "engine/local/internal/root_assembly.h"
#include "engine/local/internal/runtime.h"
#include "engine/local/local_engine.h"
#include "os/gate.h"

namespace busbar::engine {

/// An image made ready for tasks on this machine.
struct PreparedRootfs {
  Rootfs rootfs = {};
  std::vector<std::string> lower_dirs = {};  ///< With the mask layer on top.
  std::vector<std::string> host_mounts = {};
  std::vector<std::string> masked_dirs = {};
  std::vector<std::string> masked_files = {};
  RootAssembly assembly = {};  ///< Without root only: used in place of lower_dirs.
};

/// What all parts of one local engine share: how this machine is made, where things lie, the threads. Made once at the
/// start; all of it but the threads is constant afterwards.
struct EngineContext {
  EngineContext(LocalOptions engine_options, AttemptPaths engine_paths, const Clock& engine_clock)
      : options(std::move(engine_options)), paths(std::move(engine_paths)), clock(engine_clock) {}

  const LocalOptions options;
  const AttemptPaths paths;
  const Clock& clock;
  std::string conmon = {};
  std::unique_ptr<Runtime> runtime = {};
  CgroupFacts cgroups = {};
  LimitSupport limits = {};
  std::vector<std::string> monitor_cgroups = {};
  bool has_python = false;
  bool is_rootless = false;  ///< User namespaces, no cgroups, no mounts of our own.
  std::uint64_t max_open_files = 0;
  std::vector<RootfsProvider*> providers = {};

  std::unique_ptr<PortLeases> ports = {};
  std::shared_ptr<Reactor> reactor = {};
  std::unique_ptr<ReportWatcher> reports = {};
  std::unique_ptr<os::WorkQueue> work = {};    ///< Runtime calls: milliseconds each.
  std::unique_ptr<os::WorkQueue> images = {};  ///< RootfsProvider::prepare: may take minutes.
  std::unique_ptr<FactQueue> facts = {};       ///< From adopt() on.

  void deliver(TimeMs time_ms, decltype(Fact::body) body) const {
    if (facts) {
      facts->push({.time_ms = time_ms, .body = std::move(body)});
    }
  }
};

/// Makes directories, probes runtime and cgroups, starts the threads.
Result<std::unique_ptr<EngineContext>> open_context(const LocalOptions& options, std::vector<RootfsProvider*> providers,
                                                    const Clock& clock);

/// The ids that containers use; nullopt for an engine that runs as root.
std::optional<UserNamespace> user_namespace(const EngineContext& context);

/// kUnsupported if no provider knows the image.
Result<PreparedRootfs> prepare_rootfs(const EngineContext& context, const std::string& image);

}  // namespace busbar::engine
