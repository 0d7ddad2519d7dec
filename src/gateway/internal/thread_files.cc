#include "gateway/internal/thread_files.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

namespace busbar::gateway::internal {

ThreadFiles::ThreadFiles(std::vector<std::vector<int>> own) : own_(std::move(own)), is_separate_(own_.size(), false) {}

void ThreadFiles::separate(std::size_t index) {
  const bool is_separate = unshare(CLONE_FILES) == 0;
  for (std::size_t other = 0; is_separate && other < own_.size(); ++other) {
    if (other == index) continue;
    // A copy left open here would keep a listener listening after its owner has closed it.
    for (const int fd : own_[other]) ::close(fd);
  }
  const std::lock_guard lock(mutex_);
  is_separate_[index] = is_separate;
  ++called_;
  has_called_.notify_one();
}

std::size_t ThreadFiles::leave() {
  std::unique_lock lock(mutex_);
  has_called_.wait(lock, [this] { return called_ == own_.size(); });
  for (std::size_t index = 0; index < own_.size(); ++index) {
    if (!is_separate_[index]) continue;
    for (const int fd : own_[index]) ::close(fd);
  }
  return static_cast<std::size_t>(std::count(is_separate_.begin(), is_separate_.end(), true));
}

}  // namespace busbar::gateway::internal
