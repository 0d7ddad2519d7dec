#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
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
  std::uint32_t per_node = UINT32_MAX;  ///< Tasks that may share a node.

  std::int64_t milli_cards() const { return std::int64_t{cards} * kWholeCard + fraction; }
  friend bool operator==(const TaskNeed&, const TaskNeed&) = default;
};

/// Which nodes a gang may use, by FreeMap's node index; shorter than the map: the rest may not.
using NodeFilter = std::vector<bool>;

/// All nodes of the map but these; nullptr, every node, if there are none. Cost: O(nodes / 64) and the list.
std::shared_ptr<const NodeFilter> all_but(const FreeMap& map, std::span<const model::NodeId> nodes);

/// What both let through; nullptr, every node, lets all through.
std::shared_ptr<const NodeFilter> both_of(std::shared_ptr<const NodeFilter> a, std::shared_ptr<const NodeFilter> b);

/// The domain of `level` (1 leaf; above the fabric's levels: the whole cluster) around a node, by FreeMap's index.
struct Vicinity {
  std::uint32_t node = 0;
  std::size_t level = 1;
  friend bool operator==(const Vicinity&, const Vicinity&) = default;
};

struct GangNeed {
  TaskNeed task = {};
  std::uint32_t min_tasks = 1;
  std::uint32_t max_tasks = 1;
  std::optional<std::size_t> required_level = {};  ///< 0 node, 1 leaf, 2 spine.
  std::optional<std::size_t> preferred_level = {};
  std::string pool = {};                                ///< Empty: every node.
  std::shared_ptr<const NodeFilter> allowed = nullptr;  ///< nullptr: every node (of the pool).
  std::optional<Vicinity> within = {};                  ///< Only there.
  std::uint32_t alternative = 0;  ///< Needs of one number are as good as each other: chips of "any accelerator".
  friend bool operator==(const GangNeed&, const GangNeed&) = default;
};

}  // namespace busbar::sched::place
