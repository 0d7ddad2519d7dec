#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/text.h"
#include "launch/job_file.h"
#include "launch/launch_plan.h"
#include "model/job_json.h"

namespace {

void require(bool holds) {
  if (!holds) {
    __builtin_trap();
  }
}

}  // namespace

/// Job files and sbatch scripts; lines behind a NUL byte are overrides. Any bytes give a job or errors, never both; and
/// the JSON of a job is a job file of the same job.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace busbar;
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const std::size_t end = std::min(input.find('\0'), input.size());
  const std::string_view text = input.substr(0, end);
  std::vector<std::string> overrides;
  if (end < input.size()) {
    for (const std::string_view line : split(input.substr(end + 1), '\n')) {
      overrides.emplace_back(line);
    }
  }
  const launch::ParsedJob parsed = launch::looks_like_sbatch(text) ? launch::parse_sbatch(text, overrides, "/jobs")
                                                                   : launch::parse_job_file(text, overrides, "/jobs");
  const auto is_error = [](const launch::Diagnostic& diagnostic) { return !diagnostic.is_warning; };
  require(parsed.is_valid == std::none_of(parsed.diagnostics.begin(), parsed.diagnostics.end(), is_error));
  require(is_valid_utf8(launch::format_diagnostics("job", text, parsed.diagnostics)));
  if (!parsed.is_valid) {
    return 0;
  }
  const Json json = model::to_json(parsed.spec);
  const launch::ParsedJob again = launch::parse_job_file(json.dump());
  require(again.is_valid && again.spec == parsed.spec);
  require(model::job_spec_from_json(json) == parsed.spec);
  for (const model::JobSpec& member : launch::expand_array(parsed.spec)) {
    require(member.array.empty());
  }
  return 0;
}
