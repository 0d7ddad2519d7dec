#pragma once

#include <string>
#include <vector>

#include "cli/context.h"
#include "cli/describe.h"
#include "model/job.h"

/// Small things that several verbs share.
namespace busbar::cli {

inline Look look_of(Context& context) {
  return {.width = context.out().width(), .has_colour = context.out().has_colour(), .now_ms = context.now_ms()};
}

/// For completion.
inline std::vector<std::string> state_names() {
  std::vector<std::string> names;
  for (int i = 0; i <= static_cast<int>(model::JobState::kCancelled); ++i) {
    names.emplace_back(model::job_state_name(static_cast<model::JobState>(i)));
  }
  return names;
}

}  // namespace busbar::cli
