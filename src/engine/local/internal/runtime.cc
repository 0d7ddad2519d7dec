#include "engine/local/internal/runtime.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <optional>
#include <set>
#include <utility>

#include "base/text.h"
#include "os/event_fd.h"
#include "os/files.h"
#include "os/process.h"

namespace busbar::engine {
namespace {

constexpr std::chrono::seconds kCommandTimeout{60};
constexpr std::chrono::seconds kProbeTimeout{20};

/// The last line that a runtime printed: it says why, the ones before are its own levels of wrapping.
std::string reason(std::string_view text) {
  text = trim(text);
  const std::size_t line = text.rfind('\n');
  return std::string(line == std::string_view::npos ? text : text.substr(line + 1));
}

/// Program, size, time and kernel: the same key, the same answer.
std::string probe_key(const std::vector<std::string>& candidates) {
  struct utsname kernel{};
  ::uname(&kernel);
  std::string key = std::string(kernel.release) + " uid " + std::to_string(::geteuid());
  for (const std::string& program : candidates) {
    struct stat info{};
    if (::stat(program.c_str(), &info) == 0) {
      key += " " + program + " " + std::to_string(info.st_size) + " " + std::to_string(info.st_mtim.tv_sec);
    }
  }
  return key;
}

Result<void> try_runtime(const std::string& program, const ProbeRequest& request) {
  const std::string bundle = request.scratch_dir + "/probe";
  TRY(os::remove_tree(bundle));
  TRY(os::make_dirs(bundle + "/rootfs"));
  TRY_ASSIGN(const std::string helper, os::read_file(request.helper, std::size_t{64} << 20));
  TRY(os::write_file_atomic(bundle + "/rootfs/busbar-rsh", helper, 0755, os::Durability::kCached));
  Json config = request.config_template;
  config.set("root", Json::object({{"path", "rootfs"}, {"readonly", false}}));
  Json process = config["process"];
  process.set("args", Json::array({Json("/busbar-rsh"), Json("probe")}));
  process.set("cwd", "/");
  config.set("process", std::move(process));
  TRY(os::write_file_atomic(bundle + "/config.json", config.dump(), 0600, os::Durability::kCached));

  const std::string name = "busbar-probe-" + std::to_string(::getpid());
  const std::string root = request.scratch_dir + "/probe-root";
  os::CommandOptions options;
  options.cwd = bundle;
  options.timeout = kProbeTimeout;
  const auto result = os::run_command({program, "--root", root, "run", "--bundle", bundle, name}, options);
  (void)os::run_command({program, "--root", root, "delete", "--force", name}, options);
  (void)os::remove_tree(bundle);
  (void)os::remove_tree(root);
  if (!result) {
    return with_context("it does not run", result.error());
  }
  if (!result->is_success()) {
    return make_error(ErrorCode::kUnsupported,
                      reason(result->stderr_text.empty() ? result->stdout_text : result->stderr_text));
  }
  return {};
}

}  // namespace

std::vector<Result<void>> Runtime::run_all(const std::vector<std::vector<std::string>>& commands) const {
  struct Running {
    Result<os::Process> process;
    os::UniqueFd errors;
  };
  std::vector<Running> running;
  for (const auto& arguments : commands) {
    os::ProcessOptions options{.argv = {program_, "--root", root_}};
    options.argv.insert(options.argv.end(), arguments.begin(), arguments.end());
    auto pipe = os::make_pipe();
    if (!pipe) {
      running.push_back({.process = tl::unexpected<Error>(pipe.error()), .errors = {}});
      continue;
    }
    options.fds = {{pipe->write_end.get(), 2}};
    running.push_back({.process = os::Process::spawn(options), .errors = std::move(pipe->read_end)});
  }
  std::vector<Result<void>> results;
  for (Running& each : running) {
    if (!each.process) {
      results.push_back(tl::unexpected<Error>(each.process.error()));
      continue;
    }
    const auto status = each.process->wait(kCommandTimeout);
    if (status && status->is_success()) {
      results.emplace_back();
      continue;
    }
    // What it said fits the pipe: 64 KiB.
    ::fcntl(each.errors.get(), F_SETFL, O_NONBLOCK);
    char text[4096];
    const ssize_t size = ::read(each.errors.get(), text, sizeof text);
    const std::string said = size > 0 ? reason({text, static_cast<std::size_t>(size)}) : std::string();
    results.push_back(make_error(ErrorCode::kInternal,
                                 program_ + (status ? " ended with " + status->to_string() : " did not end in 60 s"),
                                 said));
  }
  return results;
}

std::vector<Result<void>> Runtime::start(const std::vector<std::string>& containers) const {
  std::vector<std::vector<std::string>> commands;
  for (const std::string& container : containers) {
    commands.push_back({"start", container});
  }
  return run_all(commands);
}

void Runtime::remove(const std::vector<std::string>& containers) const {
  std::vector<std::vector<std::string>> commands;
  for (const std::string& container : containers) {
    if (os::file_exists(root_ + "/" + container)) {
      commands.push_back({"delete", "--force", container});
    }
  }
  (void)run_all(commands);
  for (const std::string& container : containers) {
    // A runtime that was killed half-way leaves a state that it refuses to delete.
    (void)os::remove_tree(root_ + "/" + container);
  }
}

Result<std::string> Runtime::status(const std::string& container) const {
  TRY_ASSIGN(const os::CommandResult result, os::run_command({program_, "--root", root_, "state", container}));
  if (!result.is_success()) {
    return make_error(ErrorCode::kNotFound, "no container " + container, reason(result.stderr_text));
  }
  TRY_ASSIGN(const Json state, parse_json(result.stdout_text));
  return state["status"].as_string();
}

std::vector<std::string> Runtime::list() const {
  std::vector<std::string> names;
  if (const auto entries = os::list_dir(root_)) {
    for (const os::DirEntry& entry : *entries) {
      if (entry.kind == os::FileKind::kDirectory) {
        names.push_back(entry.name);
      }
    }
  }
  return names;
}

namespace {

std::set<std::int64_t> process_ids() {
  std::set<std::int64_t> ids;
  if (const auto entries = os::list_dir("/proc")) {
    for (const os::DirEntry& entry : *entries) {
      if (const auto pid = parse_int(entry.name)) {
        ids.insert(*pid);
      }
    }
  }
  return ids;
}

}  // namespace

void kill_workers(const std::string& container, const std::vector<std::string>& programs) {
  const std::string argument = std::string(1, '\0') + container + std::string(1, '\0');
  const auto is_program = [&](const std::string& path) {
    return std::find(programs.begin(), programs.end(), path) != programs.end();
  };
  const auto concerns = [&](const std::string& command) {
    return is_program(command.substr(0, command.find('\0'))) && command.find(argument) != std::string::npos;
  };
  // One that forks while we look leaves a child that the list does not have, and may itself be gone, or a zombie
  // without a name, before its turn comes (conmon forks and exits). So: look again after a kill, and as long as there
  // is a process that was not in the list; bounded, since on a busy machine there always is one.
  constexpr int kMaxLooks = 100;
  std::set<std::int64_t> listed = process_ids();
  for (int look = 0; look < kMaxLooks; ++look) {
    bool must_look = false;
    for (const std::int64_t pid : listed) {
      const std::string proc = "/proc/" + std::to_string(pid);
      const auto pidfd = os::open_pidfd(static_cast<pid_t>(pid));
      // Opened first: what the command line says is then about this very process.
      const std::string command = os::read_file(proc + "/cmdline", 65536).value_or("");
      if (pidfd && concerns(command)) {
        must_look = os::signal_pidfd(pidfd->get(), SIGKILL).has_value() || must_look;
        os::wait_readable(pidfd->get(), std::chrono::seconds(5));
      } else if (command.empty() && is_program(os::read_link(proc + "/exe").value_or(""))) {
        must_look = true;  // in the middle of its exec
      }
    }
    std::set<std::int64_t> now = process_ids();
    if (!must_look && std::includes(listed.begin(), listed.end(), now.begin(), now.end())) {
      return;
    }
    listed = std::move(now);
  }
}

Result<std::string> probe_runtime(const ProbeRequest& request) {
  const std::vector<std::string> names =
      request.wanted.empty() ? std::vector<std::string>{"runc", "crun"} : std::vector<std::string>{request.wanted};
  std::vector<std::string> candidates;
  std::string reasons;
  for (const std::string& name : names) {
    if (const auto program = os::find_program(name)) {
      candidates.push_back(*program);
    } else {
      reasons += (reasons.empty() ? "" : "; ") + name + ": not installed";
    }
  }
  const std::string key = probe_key(candidates);
  if (const auto cached = os::read_file(request.cache_file, 65536)) {
    const auto json = parse_json(*cached);
    if (json && (*json)["key"].as_string() == key && !(*json)["program"].as_string().empty()) {
      return (*json)["program"].as_string();
    }
  }
  for (const std::string& program : candidates) {
    const auto tried = try_runtime(program, request);
    if (tried) {
      (void)os::write_file_atomic(request.cache_file, Json::object({{"key", key}, {"program", program}}).dump(), 0600,
                                  os::Durability::kCached);
      return program;
    }
    reasons += (reasons.empty() ? "" : "; ") + program + ": " + tried.error().to_string();
  }
  return make_error(
      ErrorCode::kUnsupported,
      "no container runtime works on this machine; install one with `apt-get install runc conmon`, or run "
      "as root where the machine does not let users make containers",
      reasons);
}

}  // namespace busbar::engine
