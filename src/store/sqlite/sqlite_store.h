#pragma once

#include <memory>
#include <string>

#include "store/store.h"

namespace busbar::store {

struct SqliteOptions {
  std::string path = {};
  /// FULL: a committed step survives loss of power. NORMAL: survives a crash of the process, not always of the machine.
  bool is_synchronous_full = true;
  std::int64_t busy_timeout_ms = 5'000;
};

/// Opens or makes the database, takes the writer's lock (a second server on the same file is refused with
/// kFailedPrecondition), migrates its schema. kDataCorrupt, with what to do (`busbar restore`), for a damaged file;
/// kUnsupported for a schema newer than this build.
Result<std::unique_ptr<Store>> open_sqlite_store(const SqliteOptions& options);

/// Puts a backup in the place of the database at `path`; the old file is kept beside it as PATH.before-restore-<time>.
/// Refuses while a server has it open, and if the backup does not verify.
Result<void> restore_sqlite_store(const std::string& backup, const std::string& path);

}  // namespace busbar::store
