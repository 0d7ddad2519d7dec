#pragma once

#include <compare>
#include <cstdint>
#include <vector>

#include "sched/place/free_map.h"
#include "sched/place/placer.h"

namespace busbar::sched::place {

/// How well a node suits a task: smaller is better. Leaving little behind comes first, so that large free nodes stay
/// whole for those who need them.
struct Fitness {
  bool splits_link_group = false;  ///< The cards would not be of one link group.
  std::uint32_t left_behind = 0;  ///< Milli-cards (for tasks without cards: accelerators of the node, kept for others).
  std::int64_t cpus_left = 0;
  friend auto operator<=>(const Fitness&, const Fitness&) = default;
};

/// Of one task on the group's node; it must fit there.
Fitness fitness_of(const FreeMap& map, const GroupSlot& group, const TaskNeed& need);

/// Chooses the cards of tasks on one node, one after the other; remembers what it gave. A copy of the node's use.
class CardPicker {
 public:
  CardPicker(const FreeMap& map, const GroupSlot& group);

  /// Of the next task, which must fit: indices on the node, ascending.
  std::vector<std::uint16_t> pick(const TaskNeed& need);

 private:
  struct LinkGroup {
    std::uint16_t id = 0;
    std::uint32_t free = 0;
  };

  bool is_free(std::size_t card) const;
  std::vector<LinkGroup> free_by_link_group() const;
  std::vector<std::uint16_t> pick_whole(std::uint32_t count);
  std::vector<std::uint16_t> pick_fraction(std::int64_t fraction);

  ChipIndex chip_;
  std::vector<CardSlot> cards_;
};

}  // namespace busbar::sched::place
