#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/error.h"
#include "store/sqlite/internal/database.h"

namespace busbar::store {

/// One step of the schema's history: takes version n - 1 to n, n being the step's place in the table, from 1. Steps
/// that were released are never edited; a change is a new step with a fixture of the version before it in testdata/.
struct SchemaStep {
  std::string_view name = {};
  std::string_view sql = {};
};

std::span<const SchemaStep> schema_steps();

/// "BBSR", SQLite's application_id: tells our databases from those of other programs.
inline constexpr std::int64_t kApplicationId = 0x42425352;

/// Brings the database to the last step, each step in a transaction of its own together with its version number. A
/// database of an older version is first copied to PATH.before-schema-<version>. kUnsupported for a version above the
/// table's, kFailedPrecondition for a database that another program made.
Result<void> migrate_schema(Database& database, const std::string& path, std::span<const SchemaStep> steps);

/// The same checks without a change: is this a database that this build can take?
Result<void> check_schema(Database& database, const std::string& path, std::span<const SchemaStep> steps);

}  // namespace busbar::store
