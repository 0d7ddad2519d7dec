#pragma once

#include <string_view>

#include "model/job.h"

namespace busbar::launch::internal {

/// True for the variables whose value binds the gang together under this launcher: there busbar's value wins over the
/// job file's `env`, since another one would only make the gang hang. Elsewhere the job file's value wins.
bool is_owned_by_launcher(model::Launcher launcher, std::string_view name);

}  // namespace busbar::launch::internal
