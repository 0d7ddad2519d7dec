#pragma once

#include <string>

#include "api/types.h"
#include "base/error.h"
#include "cli/context.h"
#include "cli/job_source.h"

namespace busbar::cli {

struct SubmitChoices {
  bool is_dry_run = false;
  bool may_wait_infeasible = false;
  bool has_terminal = false;
  std::string client_key = {};
  std::string target = "/v1/jobs";
};

/// Submits one job. Warnings go to standard error; what is wrong with the file goes to the context, to be printed with
/// the error. Gives at least one job or a service, unless it was a dry run.
Result<api::SubmitAnswer> submit_source(Context& context, const JobSource& source, const SubmitChoices& choices);

/// What --dry-run shows: effective job, and of each task its environment and the edits of its container.
std::string describe_dry_run(const Json& dry_run);

}  // namespace busbar::cli
