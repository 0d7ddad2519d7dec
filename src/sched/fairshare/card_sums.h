#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace busbar::sched::fairshare {

/// Milli-cards by chip. A cluster has few chips, so this is a small vector sorted by name.
class CardSums {
 public:
  void add(std::string_view chip, std::int64_t milli) {
    total_ += milli;
    const auto at = std::lower_bound(chips_.begin(), chips_.end(), chip,
                                     [](const auto& entry, std::string_view name) { return entry.first < name; });
    if (at == chips_.end() || at->first != chip) {
      chips_.insert(at, {std::string(chip), milli});
    } else if ((at->second += milli) == 0) {
      chips_.erase(at);
    }
  }
  std::int64_t of(std::string_view chip) const {
    const auto at = std::find_if(chips_.begin(), chips_.end(), [&](const auto& entry) { return entry.first == chip; });
    return at == chips_.end() ? 0 : at->second;
  }
  std::int64_t total() const { return total_; }
  const std::vector<std::pair<std::string, std::int64_t>>& chips() const { return chips_; }
  friend bool operator==(const CardSums&, const CardSums&) = default;

 private:
  std::int64_t total_ = 0;
  std::vector<std::pair<std::string, std::int64_t>> chips_;
};

}  // namespace busbar::sched::fairshare
