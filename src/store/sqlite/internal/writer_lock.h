#pragma once

#include <string>

#include "base/error.h"

namespace busbar::store {

/// The right to write to the database at a path, held by one process at a time: flock(2) on PATH.lock, which the kernel
/// lets go when the process dies, however it dies. The file stays (removing it would let two processes lock two files
/// of one name) and holds the owner's process id. Children of a killed owner hold the lock until their exec; `take`
/// waits for those, a few seconds at most.
class WriterLock {
 public:
  /// kFailedPrecondition if another process, or this one, has it.
  static Result<WriterLock> take(const std::string& database_path);
  WriterLock(WriterLock&& other) noexcept;
  WriterLock& operator=(WriterLock&&) = delete;
  ~WriterLock();

 private:
  explicit WriterLock(int file) : file_(file) {}
  int file_;
};

}  // namespace busbar::store
