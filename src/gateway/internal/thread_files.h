#pragma once

#include <condition_variable>
#include <cstddef>
#include <mutex>
#include <vector>

namespace busbar::gateway::internal {

/// Gives threads tables of descriptors of their own (unshare(2), CLONE_FILES): the limit of descriptors then counts for
/// each thread, so that more connections fit where a process may not raise it, and threads do not meet at one table's
/// lock. What was open before stays known to all, but for what is named as one thread's own.
///
/// Who holds such a descriptor must close it on its own thread: elsewhere the number may mean something else.
class ThreadFiles {
 public:
  /// `own`: by thread, what only it uses. Nothing happens yet.
  explicit ThreadFiles(std::vector<std::vector<int>> own);

  /// On thread `index`, once, before it opens anything. If the kernel refuses, the thread goes on with the common
  /// table.
  void separate(std::size_t index);
  /// On the thread that made the descriptors: waits until every thread has called `separate` and closes the copies
  /// here. How many threads have tables of their own.
  std::size_t leave();

 private:
  std::vector<std::vector<int>> own_;
  std::vector<bool> is_separate_;
  std::size_t called_ = 0;
  std::mutex mutex_ = {};
  std::condition_variable has_called_ = {};
};

}  // namespace busbar::gateway::internal
