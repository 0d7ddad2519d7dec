#include "sched/place/card_picker.h"

#include <algorithm>
#include <bit>

#include "base/check.h"

namespace busbar::sched::place {

CardPicker::CardPicker(const FreeMap& map, const GroupSlot& group) : map_(map), group_(group), free_(group.free_mask) {}

void CardPicker::copy_cards() {
  if (cards_.empty()) {
    const auto cards = map_.cards_of(map_.node(group_.node));
    cards_.assign(cards.begin(), cards.end());
  }
}

bool CardPicker::is_free(std::size_t card) const {
  return cards_[card].chip == group_.chip && cards_[card].is_healthy && cards_[card].used == 0;
}

std::vector<CardPicker::LinkGroup> CardPicker::free_by_link_group() const {
  std::vector<LinkGroup> groups;
  for (std::size_t i = 0; i < cards_.size(); ++i) {
    if (!is_free(i)) {
      continue;
    }
    const auto at = std::find_if(groups.begin(), groups.end(),
                                 [&](const LinkGroup& group) { return group.id == cards_[i].link_group; });
    if (at == groups.end()) {
      groups.push_back({.id = cards_[i].link_group, .free = 1});
    } else {
      ++at->free;
    }
  }
  std::sort(groups.begin(), groups.end(), [](const LinkGroup& a, const LinkGroup& b) { return a.id < b.id; });
  return groups;
}

model::CardList CardPicker::pick(const TaskNeed& need) {
  if (need.fraction > 0) {
    copy_cards();
    return pick_fraction(need.fraction);
  }
  if (need.cards == 0) {
    return {};
  }
  if (has_mask()) {
    return pick_by_mask(need.cards);
  }
  copy_cards();
  return pick_whole(need.cards);
}

model::CardList CardPicker::pick_by_mask(std::uint32_t count) {
  const LinkLayout& layout = map_.layout(group_);
  CardMask picked = layout.pick(free_, count);
  free_ &= ~picked;
  model::CardList cards;
  cards.reserve(count);
  for (; picked != 0; picked &= picked - 1) {
    cards.push_back(layout.card_of(std::countr_zero(picked)));
  }
  return cards;
}

model::CardList CardPicker::pick_whole(std::uint32_t count) {
  std::vector<LinkGroup> groups = free_by_link_group();
  // The smallest link group that holds all; else the largest ones first, so that few are crossed.
  std::sort(groups.begin(), groups.end(), [&](const LinkGroup& a, const LinkGroup& b) {
    const bool a_holds = a.free >= count;
    const bool b_holds = b.free >= count;
    if (a_holds != b_holds) return a_holds;
    return a.free != b.free ? (a.free < b.free) == a_holds : a.id < b.id;
  });
  model::CardList picked;
  for (const LinkGroup& group : groups) {
    for (std::size_t i = 0; i < cards_.size() && picked.size() < count; ++i) {
      if (is_free(i) && cards_[i].link_group == group.id) {
        picked.push_back(static_cast<std::uint16_t>(i));
      }
    }
  }
  CHECK(picked.size() == count, "picker asked for more cards than the node has free");
  for (const std::uint16_t card : picked) {
    cards_[card].used = static_cast<std::uint16_t>(kWholeCard);
  }
  std::sort(picked.begin(), picked.end());
  return picked;
}

model::CardList CardPicker::pick_fraction(std::int64_t fraction) {
  const CardSlot* best = nullptr;
  for (const CardSlot& card : cards_) {
    if (card.chip == group_.chip && card.is_healthy && card.used + fraction <= kWholeCard &&
        (best == nullptr || card.used > best->used)) {
      best = &card;
    }
  }
  CHECK(best != nullptr, "picker asked for a fraction that no card has free");
  const auto index = static_cast<std::size_t>(best - cards_.data());
  cards_[index].used = static_cast<std::uint16_t>(cards_[index].used + fraction);
  return {static_cast<std::uint16_t>(index)};
}

}  // namespace busbar::sched::place
