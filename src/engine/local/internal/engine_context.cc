#include "engine/local/internal/engine_context.h"

#include <linux/magic.h>
#include <sys/resource.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "base/hash.h"
#include "base/text.h"
#include "engine/local/internal/rootfs_mount.h"
#include "os/files.h"
#include "os/log.h"
#include "os/process.h"

namespace busbar::engine {
namespace {

constexpr std::size_t kWorkers = 4;
constexpr std::size_t kMaxPendingWork = 1 << 20;
constexpr std::size_t kMaxMountInfo = std::size_t{16} << 20;

/// Short and stable: two engines on one machine (tests) must not share cgroups.
std::string make_tag(const std::string& state_dir) {
  constexpr const char* kDigits = "0123456789abcdef";
  std::uint64_t hash = stable_hash64(state_dir);
  std::string tag;
  for (int i = 0; i < 8; ++i, hash >>= 4) {
    tag += kDigits[hash & 15];
  }
  return tag;
}

Result<std::string> find_helper(const LocalOptions& options) {
  const std::string helper = options.helper_dir + "/busbar-rsh";
  if (options.helper_dir.empty() || ::access(helper.c_str(), X_OK) != 0) {
    return make_error(ErrorCode::kFailedPrecondition,
                      "the helper program " + helper + " is missing; build or install all of busbar");
  }
  return helper;
}

/// The most complete container we make, so that what works in the probe works for tasks.
Result<Json> probe_template(const EngineContext& context) {
  const AttemptLaunch launch{.job_name = "probe", .tasks = {{.hostname = "probe", .argv = {"/busbar-rsh"}}}};
  TRY_ASSIGN(Json config, make_config({.launch = launch,
                                       .task = launch.tasks[0],
                                       .rootfs = {},
                                       .task_dir = context.options.helper_dir,
                                       .helper_dir = context.options.helper_dir,
                                       .cgroup_path = context.paths.cgroup_top() + "/probe",
                                       .limits = context.limits,
                                       .user_namespace = user_namespace(context)}));
  // Nothing to bind into the empty root: only the kernel's own file systems are tried.
  Json mounts = Json::array();
  for (const Json& mount : config["mounts"].items()) {
    if (mount["type"].as_string() != "bind") {
      mounts.push(mount);
    }
  }
  config.set("mounts", std::move(mounts));
  return config;
}

/// Without root no memory can be mounted: the run directory, if it is in memory, else the machine's shared memory.
std::string user_memory_dir(const std::string& run_dir, const std::string& tag) {
  struct statfs info{};
  const bool is_memory = ::statfs(run_dir.c_str(), &info) == 0 && info.f_type == TMPFS_MAGIC;
  return is_memory ? run_dir : "/dev/shm/busbar-" + std::to_string(::geteuid()) + "-" + tag;
}

Result<void> make_layout(const EngineContext& context) {
  for (const std::string& dir :
       {context.paths.attempts_dir(), context.paths.exits_dir(), context.paths.masks_dir(), context.paths.ports_dir(),
        context.paths.scratch_dir(), context.paths.runtime_root(), context.paths.tasks_run_dir()}) {
    TRY(os::make_dirs(dir, 0700));
  }
  return context.is_rootless ? Result<void>() : mount_mask_tmpfs(context.paths.masks_dir());
}

Result<void> start_threads(EngineContext& context) {
  TRY_ASSIGN(context.reactor, Reactor::create());
  TRY_ASSIGN(context.reports, ReportWatcher::create(*context.reactor));
  context.work = std::make_unique<os::WorkQueue>(
      os::WorkQueueOptions{.name = "engine-work", .threads = kWorkers, .max_pending = kMaxPendingWork});
  context.images = std::make_unique<os::WorkQueue>(
      os::WorkQueueOptions{.name = "engine-images", .threads = 2, .max_pending = kMaxPendingWork});
  return {};
}

}  // namespace

Result<std::unique_ptr<EngineContext>> open_context(const LocalOptions& options, std::vector<RootfsProvider*> providers,
                                                    const Clock& clock) {
  const std::string tag = make_tag(options.state_dir);
  const bool is_rootless = ::geteuid() != 0;
  const std::string memory_dir = is_rootless ? user_memory_dir(options.run_dir, tag) : options.run_dir;
  auto context = std::make_unique<EngineContext>(
      options, AttemptPaths(options.state_dir, options.run_dir, memory_dir, tag), clock);
  context->is_rootless = is_rootless;
  context->providers = std::move(providers);
  TRY(make_layout(*context));
  TRY_ASSIGN(const std::string helper, find_helper(options));
  context->has_python = os::file_exists(options.helper_dir + "/python");
  const auto conmon = os::find_program(options.conmon.empty() ? "conmon" : options.conmon);
  if (!conmon) {
    return make_error(ErrorCode::kUnsupported,
                      "conmon, which watches over containers, is not installed; apt-get install conmon");
  }
  context->conmon = *conmon;
  if (!is_rootless) {
    TRY_ASSIGN(context->cgroups, read_cgroup_facts());
  }
  context->limits = {.memory = context->cgroups.has("memory"),
                     .swap = context->cgroups.has_swap_limit,
                     .cpu = context->cgroups.has("cpu"),
                     .cpu_set = context->cgroups.has("cpuset"),
                     .processes = context->cgroups.has("pids")};
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_max != RLIM_INFINITY) {
    context->max_open_files = files.rlim_max;
  }
  TRY_ASSIGN(Json config, probe_template(*context));
  TRY_ASSIGN(const std::string program, probe_runtime({.wanted = options.runtime,
                                                       .helper = helper,
                                                       .scratch_dir = context->paths.scratch_dir(),
                                                       .cgroup_path = context->paths.cgroup_top() + "/probe",
                                                       .cache_file = options.run_dir + "/runtime-probe.json",
                                                       .config_template = std::move(config)}));
  context->runtime = std::make_unique<Runtime>(program, context->paths.runtime_root());
  context->monitor_cgroups = make_monitor_cgroups(context->cgroups, context->paths.cgroup_top() + "/monitors");
  context->ports = std::make_unique<PortLeases>(context->paths.ports_dir());
  TRY(start_threads(*context));
  LOG(kInfo, "engine_local_ready", {{"runtime", program}, {"conmon", context->conmon}, {"tag", tag}});
  return context;
}

std::optional<UserNamespace> user_namespace(const EngineContext& context) {
  return context.is_rootless ? std::optional(UserNamespace{.host_uid = ::geteuid(), .host_gid = ::getegid()})
                             : std::nullopt;
}

Result<PreparedRootfs> prepare_rootfs(const EngineContext& context, const std::string& image) {
  const auto provider = std::find_if(context.providers.begin(), context.providers.end(),
                                     [&](const RootfsProvider* each) { return each->accepts(image); });
  if (provider == context.providers.end()) {
    return make_error(ErrorCode::kUnsupported,
                      "no provider for image \"" + image + "\"; use \"host\" or \"oci:PATH[:TAG]\"");
  }
  PreparedRootfs prepared;
  TRY_ASSIGN(prepared.rootfs, (*provider)->prepare(image));
  prepared.lower_dirs = prepared.rootfs.lower_dirs;
  TRY_ASSIGN(const std::string table, os::read_file("/proc/self/mountinfo", kMaxMountInfo));
  const std::vector<MountPoint> mounts = parse_mountinfo(table);
  if (context.is_rootless) {
    TRY_ASSIGN(prepared.assembly, assemble_root(prepared.lower_dirs, prepared.rootfs.is_host, mounts));
  }
  if (!prepared.rootfs.is_host) {
    return prepared;
  }
  std::vector<std::string> hidden = context.options.masked_paths;
  hidden.push_back(context.options.state_dir);
  hidden.push_back(context.options.run_dir);
  prepared.host_mounts = context.is_rootless ? prepared.assembly.bound_dirs : host_data_mounts(mounts, hidden);
  hidden.insert(hidden.end(), prepared.rootfs.masked_paths.begin(), prepared.rootfs.masked_paths.end());
  if (context.is_rootless) {
    // No layer of ours can lie over the root: everything is covered by mounts, where it would be seen at all.
    std::erase_if(hidden, [&](const std::string& path) { return !is_shown(prepared.assembly, path); });
    MaskPlan covered = plan_masks(hidden, std::vector<std::string>{"/"});
    prepared.masked_dirs = std::move(covered.covered_dirs);
    prepared.masked_files = std::move(covered.covered_files);
    return prepared;
  }
  MaskPlan plan = plan_masks(hidden, prepared.host_mounts);
  TRY_ASSIGN(const MaskLayer layer, make_mask_layer(context.paths.masks_dir(), plan.in_layer));
  if (!layer.dir.empty()) {
    prepared.lower_dirs.insert(prepared.lower_dirs.begin(), layer.dir);
  }
  prepared.masked_dirs = std::move(plan.covered_dirs);
  prepared.masked_files = std::move(plan.covered_files);
  return prepared;
}

}  // namespace busbar::engine
