#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "cli/context.h"

namespace busbar::cli {

/// The script for "bash", "zsh" or "fish"; made from the verbs' tables. Names of jobs, nodes, queues and secrets are
/// asked from the server at the moment of completion.
std::string completion_script(std::string_view shell);

/// The hidden verb behind the scripts: `busbar __complete jobs|nodes|queues|secrets` prints one name a line, and
/// nothing at all if the server is away.
inline constexpr std::string_view kCompleteWord = "__complete";
int complete_names(const std::vector<std::string>& arguments, const CliHooks& hooks, Platform& platform);

}  // namespace busbar::cli
