#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace busbar::gateway::internal {

/// Bytes that wait: appended at the end, taken from the front. Keeps its memory when it runs empty, so that a pooled
/// owner allocates nothing in steady state.
class Buffer {
 public:
  bool empty() const { return start_ == bytes_.size(); }
  std::size_t size() const { return bytes_.size() - start_; }
  /// Valid until the next append.
  std::string_view view() const { return std::string_view(bytes_).substr(start_); }

  void append(std::string_view bytes) { bytes_.append(bytes); }
  void consume(std::size_t count) {
    start_ += count;
    if (start_ == bytes_.size()) clear();
  }
  void clear() {
    bytes_.clear();
    start_ = 0;
  }
  /// Gives memory back if there is more than `kept`; for an owner that goes back to its pool.
  void trim(std::size_t kept) {
    clear();
    if (bytes_.capacity() > kept) bytes_ = std::string();
  }
  /// To build on the end in place.
  std::string& tail() { return bytes_; }

 private:
  std::string bytes_ = {};
  std::size_t start_ = 0;
};

}  // namespace busbar::gateway::internal
