#pragma once

#include <vector>

#include "chip/catalogue_file.h"

namespace busbar::chip {

/// The files of `catalogue/`, as they were when this binary was built: nothing has to be installed beside it.
const std::vector<CatalogueFile>& builtin_catalogue_files();

/// Those files, parsed once. The build has checked that they are valid. Thread-safe.
const Catalogue& builtin_catalogue();

}  // namespace busbar::chip
