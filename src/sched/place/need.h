#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "sched/place/free_map.h"

namespace busbar::sched::place {

/// What one task takes on its node: whole cards, or a fraction of one card, or none.
struct TaskNeed {
  ChipIndex chip = kNoChip;
  std::uint32_t cards = 0;
  std::int64_t fraction = 0;  ///< Milli-cards below 1000; then `cards` is 0.
  std::int64_t cpus = 0;
  std::int64_t memory = 0;

  std::int64_t milli_cards() const { return std::int64_t{cards} * kWholeCard + fraction; }
};

/// Which nodes a gang may use, by FreeMap's node index; shorter than the map: the rest may not.
using NodeFilter = std::vector<bool>;

struct GangNeed {
  TaskNeed task = {};
  std::uint32_t min_tasks = 1;
  std::uint32_t max_tasks = 1;
  std::optional<std::size_t> required_level = {};  ///< 0 node, 1 leaf, 2 spine.
  std::optional<std::size_t> preferred_level = {};
  std::string pool = {};                                ///< Empty: every node.
  std::shared_ptr<const NodeFilter> allowed = nullptr;  ///< nullptr: every node (of the pool).
};

}  // namespace busbar::sched::place
