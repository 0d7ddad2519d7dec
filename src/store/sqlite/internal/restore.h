#pragma once

#include <string>

#include "base/error.h"
#include "store/sqlite/internal/database.h"

namespace busbar::store {

/// Full check of pages, indexes and of what we know about our rows: the journal has no gaps.
Result<void> verify_database(Database& database, const std::string& path);

/// kFailedPrecondition if a restore was cut off between taking the old database away and putting the new one there:
/// what lies at `path` may be either, so nobody may write to it.
Result<void> refuse_interrupted_restore(const std::string& path);

}  // namespace busbar::store
