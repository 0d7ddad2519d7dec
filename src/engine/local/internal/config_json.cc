#include "engine/local/internal/config_json.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <initializer_list>
#include <map>
#include <utility>

#include "base/text.h"
#include "engine/local/internal/seccomp_profile.h"

namespace busbar::engine {
namespace {

constexpr std::int64_t kDefaultShmBytes = 64 << 20;
constexpr std::int64_t kCpuPeriodUs = 100'000;
constexpr std::int64_t kMinCpuQuotaUs = 1'000;  // the kernel's lower bound
/// Room for thousands of threads of data loaders, far below what exhausts the machine's own table.
constexpr std::int64_t kMaxProcesses = 32'768;
constexpr const char* kDefaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

Json texts(std::initializer_list<const char*> values) {
  Json list = Json::array();
  for (const char* value : values) {
    list.push(value);
  }
  return list;
}

Json texts(const std::vector<std::string>& values) {
  return Json::array(Json::Array(values.begin(), values.end()));
}

Json mount(const std::string& target, const char* type, const std::string& source, Json options) {
  return Json::object({{"destination", target}, {"type", type}, {"source", source}, {"options", std::move(options)}});
}

struct User {
  std::int64_t uid = 0;
  std::int64_t gid = 0;
};

/// "uid[:gid]". Names would need the image's own /etc/passwd; images that busbar runs carry numbers.
Result<User> parse_user(const std::string& text) {
  if (text.empty() || text == "root") {
    return User{};
  }
  const auto parts = split(text, ':');
  const auto uid = parse_int(parts[0]);
  const auto gid = parts.size() > 1 ? parse_int(parts[1]) : uid;
  constexpr std::int64_t kMaxId = 0xfffffffe;
  if (parts.size() > 2 || !uid || !gid || *uid < 0 || *gid < 0 || *uid > kMaxId || *gid > kMaxId) {
    return make_error(ErrorCode::kInvalidArgument,
                      "the image wants to run as user \"" + text + "\"; only numbers (uid[:gid]) are supported");
  }
  return User{.uid = *uid, .gid = *gid};
}

/// As Docker gives them, without MKNOD, NET_RAW, SYS_CHROOT and AUDIT_WRITE: the network is the host's.
Json capabilities() {
  const auto set = [] {
    return texts({"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_SETGID", "CAP_SETUID",
                  "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_KILL"});
  };
  return Json::object({{"bounding", set()}, {"effective", set()}, {"permitted", set()}});
}

/// The image's variables, then the devices', then the launch's; later ones win.
Json environment(const ConfigInput& input) {
  std::map<std::string, std::string> env{{"PATH", kDefaultPath}, {"HOME", "/root"}, {"HOSTNAME", input.task.hostname}};
  if (input.launch.has_terminal) {
    env["TERM"] = "xterm-256color";
  }
  for (const std::string& pair : input.rootfs.env) {
    const std::size_t equals = pair.find('=');
    if (equals != std::string::npos && equals > 0) {
      env[pair.substr(0, equals)] = pair.substr(equals + 1);
    }
  }
  for (const auto& [name, value] : input.task.device_edits.env) {
    env[name] = value;
  }
  for (const auto& [name, value] : input.task.env) {
    env[name] = value;
  }
  if (input.has_python) {
    std::string& path = env["PYTHONPATH"];
    path = std::string("/run/busbar/lib/python") + (path.empty() ? "" : ":") + path;
  }
  Json list = Json::array();
  for (const auto& [name, value] : env) {
    list.push(name + "=" + value);
  }
  return list;
}

/// The program behind the helper: `busbar-rsh VERB [--secret ENV=NAME]... -- argv`.
Json helper_args(const char* verb, const std::string& gang_name, const std::vector<SecretFile>& secrets,
                 const std::vector<std::string>& argv) {
  Json args = texts({kHelperInContainer, verb});
  if (!gang_name.empty()) {
    args.push("--gang");
    args.push(gang_name);
  }
  for (const SecretFile& secret : secrets) {
    if (!secret.env.empty()) {
      args.push("--secret");
      args.push(secret.env + "=" + secret.name);
    }
  }
  args.push("--");
  for (const std::string& word : argv) {
    args.push(word);
  }
  return args;
}

Json process(const ConfigInput& input, User user) {
  std::string cwd = input.task.workdir.empty() ? input.rootfs.workdir : input.task.workdir;
  if (cwd.empty()) {
    cwd = "/";
  }
  Json result = Json::object({
      {"terminal", input.launch.has_terminal},
      {"user", Json::object({{"uid", user.uid}, {"gid", user.gid}})},
      {"args",
       helper_args("init", input.gang_dir.empty() ? "" : input.task.hostname, input.task.secrets, input.task.argv)},
      {"env", environment(input)},
      {"cwd", cwd},
      {"capabilities", capabilities()},
      {"noNewPrivileges", true},
  });
  if (input.max_open_files > 0) {
    // Never above our own hard limit: that needs CAP_SYS_RESOURCE.
    result.set("rlimits",
               Json::array({Json::object(
                   {{"type", "RLIMIT_NOFILE"}, {"hard", input.max_open_files}, {"soft", input.max_open_files}})}));
  }
  return result;
}

void add_kernel_mounts(const ConfigInput& input, Json& mounts) {
  const std::int64_t shm = input.task.shm_size.value > 0 ? input.task.shm_size.value : kDefaultShmBytes;
  const bool is_rootless = input.user_namespace.has_value();
  mounts.push(mount("/proc", "proc", "proc", texts({"nosuid", "noexec", "nodev"})));
  mounts.push(mount("/dev", "tmpfs", "tmpfs", texts({"nosuid", "strictatime", "mode=755", "size=65536k"})));
  // Group 5 is tty; it has no number inside a user namespace with a single group.
  mounts.push(mount("/dev/pts", "devpts", "devpts",
                    is_rootless ? texts({"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"})
                                : texts({"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"})));
  Json shm_options = texts({"nosuid", "noexec", "nodev", "mode=1777"});
  shm_options.push("size=" + std::to_string(shm));
  mounts.push(mount("/dev/shm", "tmpfs", "shm", std::move(shm_options)));
  mounts.push(mount("/dev/mqueue", "mqueue", "mqueue", texts({"nosuid", "noexec", "nodev"})));
  // sysfs can only be mounted by the owner of the network namespace.
  mounts.push(is_rootless ? mount("/sys", "none", "/sys", texts({"rbind", "nosuid", "noexec", "nodev", "ro"}))
                          : mount("/sys", "sysfs", "sysfs", texts({"nosuid", "noexec", "nodev", "ro"})));
}

/// Order matters: what hides comes before what the user mounts, so that a volume below a masked path is seen.
Json mounts_of(const ConfigInput& input) {
  Json mounts = Json::array();
  for (const OverlayDir& dir : input.overlay_dirs) {
    Json options = Json::array();
    options.push("lowerdir=" + join(dir.lower_dirs, ":"));
    options.push("upperdir=" + dir.upper_dir);
    options.push("workdir=" + dir.work_dir);
    options.push("userxattr");
    mounts.push(mount(dir.target, "overlay", "overlay", std::move(options)));
  }
  for (const std::string& path : input.host_mounts) {
    // A user namespace may not take a mount without those below it.
    const char* kind = input.user_namespace ? "rbind" : "bind";
    mounts.push(mount(path, "bind", path, texts({kind, "ro", "nosuid", "nodev"})));
  }
  for (const std::string& path : input.masked_dirs) {
    mounts.push(mount(path, "tmpfs", "tmpfs", texts({"nosuid", "nodev", "mode=755", "size=64m"})));
  }
  for (const std::string& path : input.masked_files) {
    mounts.push(mount(path, "bind", "/dev/null", texts({"bind", "ro"})));
  }
  add_kernel_mounts(input, mounts);
  mounts.push(mount("/run/busbar", "bind", input.task_dir, texts({"bind", "rw", "nosuid", "nodev"})));
  mounts.push(mount("/run/busbar/lib", "bind", input.helper_dir, texts({"bind", "ro", "nosuid", "nodev"})));
  if (!input.gang_dir.empty()) {
    mounts.push(mount("/run/busbar/gang", "bind", input.gang_dir, texts({"bind", "rw", "nosuid", "nodev"})));
  }
  if (!input.secrets_dir.empty()) {
    mounts.push(mount("/run/secrets", "bind", input.secrets_dir, texts({"bind", "ro", "nosuid", "nodev", "noexec"})));
  }
  for (const chip::EditMount& edit : input.task.device_edits.mounts) {
    mounts.push(mount(edit.container_path, "bind", edit.host_path, texts(edit.options)));
  }
  for (const Mount& wanted : input.task.mounts) {
    mounts.push(mount(wanted.target, "bind", wanted.source,
                      texts({"rbind", wanted.is_read_only ? "ro" : "rw", "nosuid", "nodev"})));
  }
  return mounts;
}

Json device_rules(const ConfigInput& input) {
  Json rules = Json::array({Json::object({{"allow", false}, {"access", "rwm"}})});
  for (const HostDevice& device : input.devices) {
    rules.push(Json::object({{"allow", true},
                             {"type", std::string(1, device.type)},
                             {"major", device.major},
                             {"minor", device.minor},
                             {"access", device.permissions}}));
  }
  return rules;
}

/// "0-2,5"
std::string cpu_list(const std::vector<std::uint32_t>& cpus) {
  std::string text;
  for (std::size_t i = 0; i < cpus.size(); ++i) {
    std::size_t last = i;
    while (last + 1 < cpus.size() && cpus[last + 1] == cpus[last] + 1) {
      ++last;
    }
    text += (text.empty() ? "" : ",") + std::to_string(cpus[i]) + (last > i ? "-" + std::to_string(cpus[last]) : "");
    i = last;
  }
  return text;
}

Json resources(const ConfigInput& input) {
  Json result = Json::object();
  // Device rules are cgroup rules; without root there is no right to set them, and none of the devices either.
  if (!input.user_namespace) {
    result.set("devices", device_rules(input));
  }
  if (input.limits.memory && input.task.memory.value > 0) {
    Json memory = Json::object({{"limit", input.task.memory.value}});
    if (input.limits.swap) {
      memory.set("swap", input.task.memory.value);
    }
    result.set("memory", std::move(memory));
  }
  Json cpu = Json::object();
  if (input.limits.cpu && input.task.cpus.value > 0) {
    cpu.set("quota", std::max(kMinCpuQuotaUs, input.task.cpus.value * kCpuPeriodUs / 1000));
    cpu.set("period", kCpuPeriodUs);
  }
  if (input.limits.cpu_set && !input.task.device_edits.cpu_set.empty()) {
    cpu.set("cpus", cpu_list(input.task.device_edits.cpu_set));
  }
  if (!cpu.members().empty()) {
    result.set("cpu", std::move(cpu));
  }
  if (input.limits.processes) {
    result.set("pids", Json::object({{"limit", kMaxProcesses}}));
  }
  return result;
}

Json id_mapping(std::uint32_t host_id) {
  return Json::array({Json::object({{"containerID", 0}, {"hostID", host_id}, {"size", 1}})});
}

Json linux_part(const ConfigInput& input) {
  // No network namespace: tasks use the host's network with leased ports.
  Json namespaces = Json::array();
  for (const char* type : {"pid", "mount", "ipc", "uts"}) {
    namespaces.push(Json::object({{"type", type}}));
  }
  Json result = Json::object();
  if (input.user_namespace) {
    namespaces.push(Json::object({{"type", "user"}}));
    result.set("uidMappings", id_mapping(input.user_namespace->host_uid));
    result.set("gidMappings", id_mapping(input.user_namespace->host_gid));
  }
  result.set("namespaces", std::move(namespaces));
  if (!input.user_namespace) {
    result.set("cgroupsPath", input.cgroup_path);
  }
  result.set("resources", resources(input));
  Json devices = Json::array();
  for (const HostDevice& device : input.devices) {
    devices.push(Json::object({{"path", device.path},
                               {"type", std::string(1, device.type)},
                               {"major", device.major},
                               {"minor", device.minor},
                               {"fileMode", device.mode}}));
  }
  result.set("devices", std::move(devices));
  result.set("seccomp", seccomp_profile());
  result.set("maskedPaths", texts({"/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
                                   "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi",
                                   "/sys/firmware", "/sys/devices/virtual/powercap"}));
  result.set("readonlyPaths", texts({"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"}));
  return result;
}

/// The cards' hooks, by the moment at which the runtime starts them.
Json hooks_of(const std::vector<chip::EditHook>& hooks) {
  Json result = Json::object();
  for (const chip::EditHook& hook : hooks) {
    Json item = Json::object({{"path", hook.path}, {"args", texts(hook.args)}});
    if (!hook.env.empty()) {
      item.set("env", texts(hook.env));
    }
    if (hook.timeout_s > 0) {
      item.set("timeout", hook.timeout_s);
    }
    Json list = result[hook.name];
    list.push(std::move(item));
    result.set(hook.name, std::move(list));
  }
  return result;
}

Result<void> check_path(const std::string& path, const std::string& what) {
  if (!path.starts_with('/') || path.find('\0') != std::string::npos) {
    return make_error(ErrorCode::kInvalidArgument, what + " \"" + path + "\" is not an absolute path");
  }
  for (const std::string_view part : split(path, '/')) {
    if (part == "..") {
      return make_error(ErrorCode::kInvalidArgument, what + " \"" + path + "\" must not contain ..");
    }
  }
  return {};
}

/// Names become file names below a directory of ours.
Result<void> check_name(const std::string& name, const std::string& what) {
  if (name.empty() || name == "." || name == ".." || name.find('/') != std::string::npos ||
      name.find('\0') != std::string::npos || name.size() > 255) {
    return make_error(ErrorCode::kInvalidArgument, what + " \"" + name + "\" is not a plain file name");
  }
  return {};
}

Result<void> check_task(const TaskLaunch& task) {
  const std::string who = "task " + std::to_string(task.rank);
  if (task.argv.empty() || task.argv[0].empty()) {
    return make_error(ErrorCode::kInvalidArgument, who + " has no command");
  }
  TRY(check_name(task.hostname, who + ": hostname"));
  if (!task.workdir.empty()) {
    TRY(check_path(task.workdir, who + ": workdir"));
  }
  for (const Mount& each : task.mounts) {
    TRY(check_path(each.source, who + ": volume source"));
    TRY(check_path(each.target, who + ": volume target"));
  }
  for (const auto& [name, content] : task.files) {
    TRY(check_name(name, who + ": file"));
  }
  for (const SecretFile& secret : task.secrets) {
    TRY(check_name(secret.name, who + ": secret"));
    if (secret.env.find('=') != std::string::npos) {
      return make_error(ErrorCode::kInvalidArgument, who + ": secret variable \"" + secret.env + "\" holds a =");
    }
  }
  return {};
}

}  // namespace

Result<void> check_launch(const AttemptLaunch& launch) {
  if (launch.tasks.empty()) {
    return make_error(ErrorCode::kInvalidArgument, "attempt " + launch.id.to_string() + " has no tasks");
  }
  for (std::size_t i = 0; i < launch.tasks.size(); ++i) {
    if (launch.tasks[i].rank != i) {
      return make_error(ErrorCode::kInvalidArgument, "attempt " + launch.id.to_string() + ": task " +
                                                         std::to_string(i) + " has rank " +
                                                         std::to_string(launch.tasks[i].rank));
    }
    TRY(check_task(launch.tasks[i]));
  }
  return {};
}

Result<Json> make_config(const ConfigInput& input) {
  TRY(check_task(input.task));
  TRY_ASSIGN(const User user, parse_user(input.rootfs.user));
  Json config = Json::object(
      {{"ociVersion", "1.0.2"},
       {"process", process(input, user)},
       {"root", Json::object({{"path", "rootfs"}, {"readonly", false}})},
       {"hostname", input.task.hostname},
       {"mounts", mounts_of(input)},
       {"annotations", Json::object({{"busbar.job", input.launch.job_name},
                                     {"busbar.task", model::TaskId{input.launch.id, input.task.rank}.to_string()},
                                     {"busbar.user", input.launch.user}})},
       {"linux", linux_part(input)}});
  if (!input.task.device_edits.hooks.empty()) {
    config.set("hooks", hooks_of(input.task.device_edits.hooks));
  }
  return config;
}

Json make_exec_process(const Json& config, const std::vector<SecretFile>& secrets, const ExecRequest& request) {
  Json result = config["process"];
  result.set("terminal", request.has_terminal);
  if (request.has_terminal) {
    // By the runtime, before the program starts: a size that is set from outside may come too late.
    result.set("consoleSize", Json::object({{"height", request.rows}, {"width", request.columns}}));
  }
  result.set("args", helper_args("run", "", secrets, request.argv));
  if (!request.workdir.empty()) {
    result.set("cwd", request.workdir);
  }
  std::map<std::string, std::string> env;
  for (const Json& pair : config["process"]["env"].items()) {
    const std::string& text = pair.as_string();
    const std::size_t equals = text.find('=');
    env[text.substr(0, equals)] = equals == std::string::npos ? "" : text.substr(equals + 1);
  }
  if (request.has_terminal) {
    env["TERM"] = "xterm-256color";
  }
  for (const auto& [name, value] : request.env) {
    env[name] = value;
  }
  Json list = Json::array();
  for (const auto& [name, value] : env) {
    list.push(name + "=" + value);
  }
  result.set("env", std::move(list));
  return result;
}

}  // namespace busbar::engine
