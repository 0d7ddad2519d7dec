#pragma once

#include <string>

#include "base/error.h"
#include "chip/catalogue.h"

namespace busbar {

/// The built-in catalogue with the site's files (`*.yaml` of `overlay_dir`, by name) on top. A folder that does not
/// exist adds nothing. kInvalidArgument with every error, file and line.
Result<chip::Catalogue> read_catalogue(const std::string& overlay_dir);

/// For the command line: "" is the default folder, /etc/busbar/chips.d.
Result<chip::Catalogue> catalogue_for_cli(const std::string& overlay_dir);

}  // namespace busbar
