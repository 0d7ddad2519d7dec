#pragma once

#include <cstdint>
#include <vector>

#include "model/card_list.h"
#include "sched/place/free_map.h"
#include "sched/place/need.h"

namespace busbar::sched::place {

/// Chooses the cards of tasks on one node, one after the other; remembers what it gave.
class CardPicker {
 public:
  /// Borrows `map`.
  CardPicker(const FreeMap& map, const GroupSlot& group);

  /// Of the next task, which must fit: indices on the node, ascending.
  model::CardList pick(const TaskNeed& need);

 private:
  struct LinkGroup {
    std::uint16_t id = 0;
    std::uint32_t free = 0;
  };

  bool has_mask() const { return group_.total <= kMaskCards; }
  model::CardList pick_by_mask(std::uint32_t count);
  // Card by card, on a copy of the node's use.
  void copy_cards();
  bool is_free(std::size_t card) const;
  std::vector<LinkGroup> free_by_link_group() const;
  model::CardList pick_whole(std::uint32_t count);
  model::CardList pick_fraction(std::int64_t fraction);

  const FreeMap& map_;
  const GroupSlot& group_;
  CardMask free_;
  std::vector<CardSlot> cards_;
};

}  // namespace busbar::sched::place
