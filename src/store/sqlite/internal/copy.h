#pragma once

#include <string>
#include <string_view>

#include "base/error.h"
#include "store/sqlite/internal/database.h"

namespace busbar::store {

/// A consistent, compact copy of the database as a new file at `target`, which appears whole or not at all; writers on
/// other connections go on meanwhile. kAlreadyExists if there is a file: a backup never replaces another.
Result<void> copy_database(Database& source, const std::string& target);

/// Waits until the file's bytes are on disk.
Result<void> sync_file(const std::string& path);
/// Waits until names made and removed in the file's directory are on disk.
Result<void> sync_directory_of(const std::string& path);

/// errno as an Error: `what "path": text`.
Error file_error(std::string_view what, const std::string& path, int system_errno);

}  // namespace busbar::store
