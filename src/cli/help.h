#pragma once

#include <string>
#include <string_view>

#include "cli/command.h"
#include "cli/output.h"

namespace busbar::cli {

/// `busbar --help`: every verb by group.
std::string main_help(const Output& out);
/// `busbar VERB --help`: usage, flags, global flags, examples.
std::string command_help(const Command& command, const Output& out);

/// For a verb that does not exist: the verb that was meant, by spelling or by the words of Slurm; "" if none is near.
std::string suggest_verb(std::string_view word);

}  // namespace busbar::cli
