#pragma once

#include <string>

#include "base/error.h"
#include "base/units.h"
#include "os/files.h"

namespace busbar::engine {

/// One engine for one state directory. A server that was killed while it started a program leaves its lock to that
/// child until the child's exec: a moment, which is waited for.
/// kFailedPrecondition: another engine has the directory.
Result<os::UniqueFd> take_lock(const std::string& state_dir);

/// What the regular files below a directory take by their length, as far as they can be read; 0 if it is not there.
/// Does not follow links.
Bytes bytes_of_files(const std::string& dir);

}  // namespace busbar::engine
