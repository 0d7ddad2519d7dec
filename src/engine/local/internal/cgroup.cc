#include "engine/local/internal/cgroup.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <thread>

#include "base/text.h"
#include "os/errno_error.h"
#include "os/files.h"

namespace busbar::engine {
namespace {

constexpr std::size_t kMaxFile = 1 << 20;

std::string read_text(const std::string& path) {
  return os::read_file(path, kMaxFile).value_or(std::string());
}

std::uint64_t read_number(const std::string& path) {
  return static_cast<std::uint64_t>(parse_int(trim(read_text(path))).value_or(0));
}

/// The number after `key ` at the start of a line.
std::uint64_t keyed_number(std::string_view text, std::string_view key) {
  for (const std::string_view line : split(text, '\n')) {
    if (line.size() > key.size() && line.starts_with(key) && line[key.size()] == ' ') {
      return static_cast<std::uint64_t>(parse_int(trim(line.substr(key.size() + 1))).value_or(0));
    }
  }
  return 0;
}

/// cgroupfs files take one plain write.
Result<void> write_value(const std::string& path, std::string_view value) {
  TRY_ASSIGN(const os::UniqueFd fd, os::open_file(path, O_WRONLY));
  return os::write_all(fd.get(), value, path);
}

void remove_cgroup_tree(const std::string& dir) {
  const auto entries = os::list_dir(dir);
  if (!entries) {
    return;
  }
  for (const os::DirEntry& entry : *entries) {
    if (entry.kind == os::FileKind::kDirectory) {
      remove_cgroup_tree(os::join_path(dir, entry.name));
    }
  }
  ::rmdir(dir.c_str());
}

}  // namespace

bool CgroupFacts::is_v2() const {
  return !unified.empty() &&
         std::all_of(v1.begin(), v1.end(), [](const auto& mount) { return mount.first.starts_with("name="); });
}

bool CgroupFacts::has(const std::string& controller) const {
  return is_v2() ? unified_controllers.contains(controller) : v1.contains(controller);
}

std::string CgroupFacts::describe(const std::string& controller) const {
  if (has(controller)) {
    return std::string("cgroup ") + (is_v2() ? "v2 " : "v1 ") + controller + " controller";
  }
  if (v1.empty() && unified.empty()) {
    return "no cgroup file system is mounted; mount one below /sys/fs/cgroup (systemd does), then limits work";
  }
  return "the kernel offers no cgroup " + controller + " controller here; boot with cgroup_enable=" + controller +
         " or, inside a container, delegate it";
}

CgroupFacts cgroup_facts(const std::vector<MountPoint>& mounts, std::string_view unified_controllers) {
  CgroupFacts facts;
  for (const MountPoint& mount : mounts) {
    if (mount.fs_type == "cgroup2" && facts.unified.empty()) {
      facts.unified = mount.path;
    }
    if (mount.fs_type != "cgroup") {
      continue;
    }
    for (const std::string_view option : split(mount.super_options, ',')) {
      if (option != "rw" && option != "ro" && option != "xattr" && option != "clone_children" &&
          !option.starts_with("release_agent=")) {
        facts.v1.emplace(option, mount.path);
      }
    }
  }
  for (const std::string_view name : split(trim(unified_controllers), ' ')) {
    if (!name.empty()) {
      facts.unified_controllers.emplace(name);
    }
  }
  return facts;
}

Result<CgroupFacts> read_cgroup_facts() {
  TRY_ASSIGN(const std::string table, os::read_file("/proc/self/mountinfo", std::size_t{16} << 20));
  const std::vector<MountPoint> mounts = parse_mountinfo(table);
  CgroupFacts facts = cgroup_facts(mounts, {});
  if (!facts.unified.empty()) {
    facts = cgroup_facts(mounts, read_text(facts.unified + "/cgroup.controllers"));
  }
  const auto memory = facts.v1.find("memory");
  facts.has_swap_limit = memory != facts.v1.end() && os::file_exists(memory->second + "/memory.memsw.limit_in_bytes");
  if (facts.is_v2()) {
    // The top of the tree has no limits; any child with the controller shows whether swap is accounted.
    facts.has_swap_limit = os::file_exists("/proc/swaps") && facts.has("memory") &&
                           os::file_exists(facts.unified + "/system.slice/memory.swap.max");
  }
  return facts;
}

std::string Cgroup::dir(const std::string& controller) const {
  if (facts_.is_v2()) {
    return facts_.unified + path_;
  }
  const auto mount = facts_.v1.find(controller);
  return mount == facts_.v1.end() ? std::string("/nonexistent") : mount->second + path_;
}

std::uint64_t Cgroup::oom_kills() const {
  const std::string file = facts_.is_v2() ? "/memory.events" : "/memory.oom_control";
  return keyed_number(read_text(dir("memory") + file), "oom_kill");
}

TaskStats Cgroup::stats() const {
  TaskStats stats;
  if (facts_.is_v2()) {
    stats.cpu_usage_ms =
        static_cast<std::int64_t>(keyed_number(read_text(dir("cpu") + "/cpu.stat"), "usage_usec") / 1000);
    stats.memory.value = static_cast<std::int64_t>(read_number(dir("memory") + "/memory.current"));
    stats.memory_peak.value = static_cast<std::int64_t>(read_number(dir("memory") + "/memory.peak"));
  } else {
    stats.cpu_usage_ms = static_cast<std::int64_t>(read_number(dir("cpuacct") + "/cpuacct.usage") / 1'000'000);
    stats.memory.value = static_cast<std::int64_t>(read_number(dir("memory") + "/memory.usage_in_bytes"));
    stats.memory_peak.value = static_cast<std::int64_t>(read_number(dir("memory") + "/memory.max_usage_in_bytes"));
  }
  stats.processes = static_cast<std::uint32_t>(processes().size());
  return stats;
}

std::vector<std::int64_t> Cgroup::processes() const {
  std::vector<std::int64_t> pids;
  for (const char* controller : {"pids", "freezer", "cpu", "memory"}) {
    const std::string text = read_text(dir(controller) + "/cgroup.procs");
    for (const std::string_view line : split(text, '\n')) {
      if (const auto pid = parse_int(trim(line))) {
        pids.push_back(*pid);
      }
    }
    if (!pids.empty()) {
      return pids;
    }
  }
  return pids;
}

Result<void> Cgroup::set_frozen(std::string_view wanted, std::string_view seen) {
  const bool is_v2 = facts_.is_v2();
  if (!is_v2 && !facts_.has("freezer")) {
    return make_error(ErrorCode::kUnsupported, "tasks cannot be paused here: " + facts_.describe("freezer"));
  }
  const std::string base = dir("freezer");
  TRY(write_value(base + (is_v2 ? "/cgroup.freeze" : "/freezer.state"), wanted));
  constexpr std::chrono::milliseconds kPoll{2};
  constexpr int kTries = 2500;  // 5 s
  constexpr int kTriesBeforeThaw = 25;
  for (int i = 1; i <= kTries; ++i) {
    const std::string text = read_text(base + (is_v2 ? "/cgroup.events" : "/freezer.state"));
    if (is_v2 ? std::to_string(keyed_number(text, "frozen")) == seen : trim(text) == seen) {
      return {};
    }
    if (!is_v2 && i % kTriesBeforeThaw == 0) {
      // Version 1 may stop half-way in FREEZING, when a process forks meanwhile: let all go and try again, as runc
      // does.
      TRY(write_value(base + "/freezer.state", "THAWED"));
    }
    if (!is_v2) {
      TRY(write_value(base + "/freezer.state", wanted));
    }
    std::this_thread::sleep_for(kPoll);
  }
  return make_error(ErrorCode::kDeadlineExceeded, "the processes in cgroup " + path_ + " did not freeze within 5 s");
}

Result<void> Cgroup::freeze() {
  return facts_.is_v2() ? set_frozen("1", "1") : set_frozen("FROZEN", "FROZEN");
}

Result<void> Cgroup::thaw() {
  return facts_.is_v2() ? set_frozen("0", "0") : set_frozen("THAWED", "THAWED");
}

void Cgroup::remove() const {
  for (const auto& [controller, mount] : facts_.v1) {
    remove_cgroup_tree(mount + path_);
  }
  if (!facts_.unified.empty()) {
    remove_cgroup_tree(facts_.unified + path_);
  }
}

bool is_in_cgroup(std::int64_t pid, const std::string& path) {
  const std::string text = read_text("/proc/" + std::to_string(pid) + "/cgroup");
  for (const std::string_view line : split(text, '\n')) {
    const std::size_t second = line.find(':', line.find(':') + 1);
    if (second != std::string_view::npos && is_at_or_below(line.substr(second + 1), path)) {
      return true;
    }
  }
  return false;
}

std::vector<std::string> make_monitor_cgroups(const CgroupFacts& facts, const std::string& path) {
  std::vector<std::string> dirs;
  const auto add = [&](const std::string& mount) {
    const std::string dir = mount + path;
    if (os::make_dirs(dir)) {
      dirs.push_back(dir);
    }
  };
  if (const auto systemd = facts.v1.find("name=systemd"); systemd != facts.v1.end()) {
    add(systemd->second);
  }
  if (!facts.unified.empty()) {
    add(facts.unified);
  }
  return dirs;
}

void move_to_cgroups(const std::vector<std::string>& dirs, std::int64_t pid) {
  for (const std::string& dir : dirs) {
    (void)write_value(dir + "/cgroup.procs", std::to_string(pid));
  }
}

}  // namespace busbar::engine
