#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/yaml.h"
#include "model/job.h"

namespace busbar::launch {

/// One thing wrong with a job file.
struct Diagnostic {
  TextPosition position = {};
  std::string field = {};    ///< "resources.accelerators"
  std::string message = {};  ///< What is wrong, with the allowed values.
  std::string hint = {};     ///< What to do: the nearest name, an example. May be empty.
  bool is_warning = false;
  friend bool operator==(const Diagnostic&, const Diagnostic&) = default;
};

/// All that was found; `spec` is usable only if `is_valid`.
struct ParsedJob {
  model::JobSpec spec = {};
  std::vector<Diagnostic> diagnostics = {};  ///< In file order.
  bool is_valid = false;
  /// Where each field's value stands, for those who know more of its meaning: "resources.accelerators".
  std::map<std::string, TextPosition, std::less<>> positions = {};
};

/// A job file (YAML or JSON) to the effective job: aliases resolved, defaults filled in, every error found in one pass
/// (docs/job-file.md). Values given by the caller (command line flags) come as `overrides`: "resources.cpus=4" in the
/// file's own words, applied after the file and reported with line 0. Relative host paths (volumes, image) and a
/// missing or relative `workdir` of `image: host` are taken from `base_directory`, an absolute path: the job file's own
/// folder; without it they are errors. Pure; safe on any bytes.
ParsedJob parse_job_file(std::string_view text, const std::vector<std::string>& overrides = {},
                         std::string_view base_directory = {});

/// A shell script with `#SBATCH` lines: the options become fields, the script itself becomes `run`. Options that have
/// no meaning here are warnings, options that would change the job's meaning if ignored are errors.
ParsedJob parse_sbatch(std::string_view script, const std::vector<std::string>& overrides = {},
                       std::string_view base_directory = {});
/// True if the text starts with "#!" or has a "#SBATCH" line at its head.
bool looks_like_sbatch(std::string_view text);

/// "jobs/x.yaml:3:5: error: ..." one line each, with the source line and a caret below where there is one.
std::string format_diagnostics(std::string_view file_name, std::string_view text,
                               const std::vector<Diagnostic>& diagnostics);

/// JSON Schema (draft 2020-12) of the job file, for editors; served at /v1/schema/job.json, printed by `busbar schema`.
std::string job_file_schema();

}  // namespace busbar::launch
