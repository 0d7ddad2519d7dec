#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "cli/command.h"
#include "cli/output.h"

/// Where a job's text comes from: a file, standard input, or flags and a command on the command line.
namespace busbar::cli {

/// The flags of `run` and `dev`. Each stands for a field of the job file and keeps its words.
struct RunFlags {
  std::string name = {};
  std::string nodes = {};
  std::string cpus = {};
  std::string memory = {};
  std::string accelerators = {};
  std::string image = {};
  std::string time_limit = {};
  std::string queue = {};
  std::string priority = {};
  std::string launcher = {};
  std::string workdir = {};
  std::vector<std::string> env = {};       ///< "K=V", or "K": from our own environment.
  std::vector<std::string> volumes = {};   ///< "SOURCE:TARGET[:ro]"
  std::vector<std::string> settings = {};  ///< "FIELD=VALUE"
};
std::vector<Flag> run_flags(RunFlags& flags);

/// What a submit needs to know of the job.
struct JobSource {
  std::string text = {};
  std::string name = {};  ///< For messages: the path, "<stdin>" or "<command line>".
  std::vector<std::string> overrides = {};
  /// The folder that relative paths start from: the job file's own; the current one for scripts (as sbatch does it),
  /// commands and standard input.
  std::string folder = {};
};

/// The flags as overrides of a job file. `-e NAME` without a value takes it from `environment`; unset:
/// kInvalidArgument.
Result<std::vector<std::string>> flag_overrides(const RunFlags& flags, const Environment& environment);

/// "-" is standard input. At most 4 MiB.
Result<JobSource> file_source(const std::string& path);
Result<JobSource> command_source(const RunFlags& flags, const std::vector<std::string>& command,
                                 const Environment& environment);
Result<JobSource> dev_source(const RunFlags& flags, const Environment& environment);

/// True for a job file or a script with #SBATCH lines, which `run` submits as what it is.
bool is_job_file(const std::string& path);

/// A valid job name from a command: "python3 train.py" -> "train".
std::string name_of_command(const std::vector<std::string>& command);

}  // namespace busbar::cli
