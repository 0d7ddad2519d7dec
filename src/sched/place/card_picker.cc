#include "sched/place/card_picker.h"

#include <algorithm>

#include "base/check.h"

namespace busbar::sched::place {

namespace {

bool one_link_group_holds(std::span<const CardSlot> cards, ChipIndex chip, std::uint32_t count) {
  const auto is_free = [chip](const CardSlot& card) { return card.chip == chip && card.is_healthy && card.used == 0; };
  for (std::size_t i = 0; i < cards.size(); ++i) {
    std::uint32_t together = 0;
    for (std::size_t k = i; k < cards.size() && is_free(cards[i]); ++k) {
      together += is_free(cards[k]) && cards[k].link_group == cards[i].link_group ? 1 : 0;
      if (together == count) {
        return true;
      }
    }
  }
  return false;
}

// What stays free on the shared card that fits tightest. A card that is already shared beats a whole one, whatever is
// left on it; among whole ones the node with the fewest.
std::uint32_t left_by_fraction(std::span<const CardSlot> cards, const GroupSlot& group, std::int64_t fraction) {
  std::int64_t tightest = kWholeCard;
  for (const CardSlot& card : cards) {
    if (card.chip == group.chip && card.is_healthy && card.used > 0 && card.used + fraction <= kWholeCard) {
      tightest = std::min(tightest, kWholeCard - card.used - fraction);
    }
  }
  return static_cast<std::uint32_t>(tightest < kWholeCard ? tightest : kWholeCard * (1 + group.free_whole));
}

}  // namespace

Fitness fitness_of(const FreeMap& map, const GroupSlot& group, const TaskNeed& need) {
  const NodeSlot& node = map.node(group.node);
  Fitness fitness = {.cpus_left = node.limits_cpus ? node.cpus_free - need.cpus : 0};
  if (need.fraction > 0) {
    fitness.left_behind = left_by_fraction(map.cards_of(node), group, need.fraction);
  } else if (need.cards > 0) {
    fitness.left_behind = (group.free_whole - need.cards) * static_cast<std::uint32_t>(kWholeCard);
    fitness.splits_link_group = need.cards > 1 && !one_link_group_holds(map.cards_of(node), group.chip, need.cards);
  } else {
    fitness.left_behind = node.accelerators;
  }
  return fitness;
}

CardPicker::CardPicker(const FreeMap& map, const GroupSlot& group) : chip_(group.chip) {
  const auto cards = map.cards_of(map.node(group.node));
  cards_.assign(cards.begin(), cards.end());
}

bool CardPicker::is_free(std::size_t card) const {
  return cards_[card].chip == chip_ && cards_[card].is_healthy && cards_[card].used == 0;
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

std::vector<std::uint16_t> CardPicker::pick(const TaskNeed& need) {
  if (need.fraction > 0) {
    return pick_fraction(need.fraction);
  }
  return need.cards > 0 ? pick_whole(need.cards) : std::vector<std::uint16_t>{};
}

std::vector<std::uint16_t> CardPicker::pick_whole(std::uint32_t count) {
  std::vector<LinkGroup> groups = free_by_link_group();
  // The smallest link group that holds all; else the largest ones first, so that few are crossed.
  std::sort(groups.begin(), groups.end(), [&](const LinkGroup& a, const LinkGroup& b) {
    const bool a_holds = a.free >= count;
    const bool b_holds = b.free >= count;
    if (a_holds != b_holds) return a_holds;
    return a.free != b.free ? (a.free < b.free) == a_holds : a.id < b.id;
  });
  std::vector<std::uint16_t> picked;
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

std::vector<std::uint16_t> CardPicker::pick_fraction(std::int64_t fraction) {
  const CardSlot* best = nullptr;
  for (const CardSlot& card : cards_) {
    if (card.chip == chip_ && card.is_healthy && card.used + fraction <= kWholeCard &&
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
