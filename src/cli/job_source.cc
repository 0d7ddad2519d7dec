#include "cli/job_source.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <filesystem>
#include <utility>

#include "base/json.h"
#include "base/text.h"
#include "launch/job_file.h"
#include "model/cluster.h"
#include "os/files.h"

namespace busbar::cli {
namespace {

constexpr std::size_t kMaxFileBytes = 4 << 20;

std::string current_folder() {
  std::error_code failure;
  return std::filesystem::current_path(failure).string();
}

std::string folder_of(const std::string& path) {
  std::error_code failure;
  return std::filesystem::absolute(path, failure).parent_path().lexically_normal().string();
}

Result<std::string> read_standard_input() {
  std::string text;
  std::array<char, 64 << 10> buffer{};
  while (text.size() <= kMaxFileBytes) {
    const ssize_t count = ::read(STDIN_FILENO, buffer.data(), buffer.size());
    if (count < 0 && errno == EINTR) {
      continue;
    }
    if (count <= 0) {
      return text;
    }
    text.append(buffer.data(), static_cast<std::size_t>(count));
  }
  return make_error(ErrorCode::kResourceExhausted, "the job file on standard input is longer than 4 MiB");
}

bool is_script_runner(std::string_view name) {
  return name.starts_with("python") || name == "sh" || name == "bash" || name == "torchrun" || name == "env";
}

/// Only what a job's name may hold; "" if nothing is left.
std::string as_job_name(std::string_view text) {
  constexpr std::size_t kLongest = 63;
  std::string name;
  for (const char c : to_lower(text)) {
    const bool is_letter = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
    if (is_letter || (!name.empty() && (c == '-' || c == '_' || c == '.'))) {
      name += c;
    }
  }
  name.resize(std::min(name.size(), kLongest));
  return model::is_valid_name(name) ? name : "";
}

}  // namespace

std::vector<Flag> run_flags(RunFlags& flags) {
  return {
      text_flag("--name", "NAME", "the job's name (default: from the command)", flags.name),
      text_flag("-N,--nodes", "N|MIN..MAX", "tasks of the gang, one a node where there are several", flags.nodes),
      text_flag("-c,--cpus", "N", "CPUs of each task", flags.cpus),
      text_flag("--mem", "SIZE", "memory limit of each task: 4G, 512M", flags.memory),
      text_flag("-G,--gpus,--accelerators", "CHIP[:N]", "cards of each task: H100:8, H100:0.5, 2, cpu:2",
                flags.accelerators),
      text_flag("--image", "IMAGE", "host, or oci:PATH[:TAG] (default: host)", flags.image),
      text_flag("-t,--time", "TIME", "time limit: 90s, 15m, 4h, 0-04:00:00", flags.time_limit),
      with_completion(text_flag("-p,--queue", "QUEUE", "the queue (default: default)", flags.queue), Complete::kQueues),
      text_flag("--priority", "N", "higher goes first", flags.priority),
      with_completion(text_flag("--launcher", "LAUNCHER", "torchrun, direct, mpirun or none", flags.launcher),
                      Complete::kWords, {"torchrun", "direct", "mpirun", "none"}),
      with_completion(text_flag("-w,--workdir", "DIR", "where the command starts (default: here)", flags.workdir),
                      Complete::kFiles),
      list_flag("-e,--env", "NAME[=VALUE]", "a variable; without a value: the one of this shell", flags.env),
      with_completion(list_flag("-v,--volume", "SOURCE:TARGET[:ro]", "mount a folder of the host", flags.volumes),
                      Complete::kFiles),
      list_flag("--set", "FIELD=VALUE", "any field of the job file: restart.max=3", flags.settings),
  };
}

Result<std::vector<std::string>> flag_overrides(const RunFlags& flags, const Environment& environment) {
  std::vector<std::string> overrides;
  const std::array<std::pair<const char*, const std::string*>, 11> fields{
      {{"name", &flags.name},
       {"nodes", &flags.nodes},
       {"resources.cpus", &flags.cpus},
       {"resources.memory", &flags.memory},
       {"resources.accelerators", &flags.accelerators},
       {"image", &flags.image},
       {"time_limit", &flags.time_limit},
       {"queue", &flags.queue},
       {"priority", &flags.priority},
       {"launcher", &flags.launcher},
       {"workdir", &flags.workdir}}};
  for (const auto& [field, value] : fields) {
    if (!value->empty()) {
      overrides.push_back(fmt::format("{}={}", field, *value));
    }
  }
  for (const std::string& variable : flags.env) {
    if (variable.find('=') != std::string::npos) {
      overrides.push_back("env." + variable);
      continue;
    }
    const auto value = environment(variable.c_str());
    if (!value) {
      return make_error(ErrorCode::kInvalidArgument,
                        fmt::format("-e {0}: this shell has no variable {0}; write -e {0}=VALUE", variable));
    }
    overrides.push_back(fmt::format("env.{}={}", variable, *value));
  }
  if (!flags.volumes.empty()) {
    Json volumes = Json::array();
    for (const std::string& volume : flags.volumes) {
      volumes.push(volume);
    }
    overrides.push_back("volumes=" + volumes.dump());
  }
  overrides.insert(overrides.end(), flags.settings.begin(), flags.settings.end());
  return overrides;
}

Result<JobSource> file_source(const std::string& path) {
  if (path == "-") {
    TRY_ASSIGN(std::string text, read_standard_input());
    return JobSource{.text = std::move(text), .name = "<stdin>", .folder = current_folder()};
  }
  auto text = os::read_file(path, kMaxFileBytes);
  if (!text) {
    return with_context("job file " + path, text.error());
  }
  const bool is_script = launch::looks_like_sbatch(*text);
  return JobSource{.text = *std::move(text), .name = path, .folder = is_script ? current_folder() : folder_of(path)};
}

Result<JobSource> command_source(const RunFlags& flags, const std::vector<std::string>& command,
                                 const Environment& environment) {
  TRY_ASSIGN(std::vector<std::string> overrides, flag_overrides(flags, environment));
  // One word with spaces is shell text, as with ssh; several words are quoted so that each stays what it is.
  std::string run;
  if (command.size() == 1) {
    run = command[0].find(' ') == std::string::npos ? shell_quote(command[0]) : command[0];
  } else {
    for (const std::string& word : command) {
      run += (run.empty() ? "" : " ") + shell_quote(word);
    }
  }
  const Json file = Json::object({{"name", name_of_command(command)}, {"run", run}});
  return JobSource{
      .text = file.dump(), .name = "<command line>", .overrides = std::move(overrides), .folder = current_folder()};
}

Result<JobSource> dev_source(const RunFlags& flags, const Environment& environment) {
  TRY_ASSIGN(std::vector<std::string> overrides, flag_overrides(flags, environment));
  return JobSource{.text = Json::object({{"name", "dev"}, {"type", "dev"}}).dump(),
                   .name = "<command line>",
                   .overrides = std::move(overrides),
                   .folder = current_folder()};
}

bool is_job_file(const std::string& path) {
  std::error_code failure;
  if (!std::filesystem::is_regular_file(path, failure)) {
    return false;
  }
  if (path.ends_with(".yaml") || path.ends_with(".yml")) {
    return true;
  }
  const auto text = os::read_file(path, kMaxFileBytes);
  return text && launch::looks_like_sbatch(*text) && text->find("\n#SBATCH") != std::string::npos;
}

std::string name_of_command(const std::vector<std::string>& command) {
  std::string_view program = command.empty() ? std::string_view{} : std::string_view(command[0]);
  program = program.substr(0, program.find(' '));
  std::string base = std::filesystem::path(program).filename().string();
  if (is_script_runner(base)) {
    // The script says more than what runs it.
    for (std::size_t i = 1; i < command.size(); ++i) {
      const std::filesystem::path script(command[i]);
      if (!command[i].starts_with('-') && script.has_extension() && command[i].find(' ') == std::string::npos) {
        base = script.stem().string();
        break;
      }
    }
  }
  const std::string name = as_job_name(base);
  return name.empty() ? "run" : name;
}

}  // namespace busbar::cli
