#include "sched/place/link_layout.h"

#include <algorithm>
#include <bit>
#include <map>
#include <utility>

#include "base/check.h"

namespace busbar::sched::place {
namespace {

std::uint32_t count_of(CardMask mask) {
  return static_cast<std::uint32_t>(std::popcount(mask));
}

/// How well a subset suits: smaller is better.
struct Suit {
  std::uint32_t link_groups = 0;
  std::uint32_t numa_nodes = 0;
  std::uint32_t left_in_groups = 0;
  std::uint32_t left_in_numa_nodes = 0;
  CardMask cards = 0;
  friend auto operator<=>(const Suit&, const Suit&) = default;
};

void count_touched(std::span<const CardMask> parts, CardMask free, CardMask subset, std::uint32_t& touched,
                   std::uint32_t& left) {
  for (const CardMask part : parts) {
    if ((part & subset) != 0) {
      ++touched;
      left += count_of(part & free & ~subset);
    }
  }
}

}  // namespace

LinkLayout::LinkLayout(std::span<const CardPosition> cards) : cards_(cards.begin(), cards.end()) {
  CHECK(cards.size() <= kMaskCards, "more cards than a mask holds");
  std::map<std::uint16_t, CardMask> by_link;
  std::map<std::pair<std::uint16_t, std::int16_t>, CardMask> by_numa;
  for (std::size_t i = 0; i < cards.size(); ++i) {
    by_link[cards[i].link_group] |= CardMask{1} << i;
    by_numa[{cards[i].link_group, cards[i].numa_node}] |= CardMask{1} << i;
  }
  for (const auto& [link, mask] : by_link) link_groups_.push_back(mask);
  for (const auto& [position, mask] : by_numa) numa_nodes_.push_back(mask);
  if (cards.size() > kTableCards) {
    return;
  }
  picks_.resize(kTableCards + 1);
  for (CardMask free = 0; free < 256; ++free) {
    for (const CardMask group : link_groups_) {
      largest_[free] = std::max(largest_[free], static_cast<std::uint8_t>(count_of(group & free)));
    }
    for (std::uint32_t count = 1; count <= count_of(free); ++count) {
      picks_[count][free] = static_cast<std::uint8_t>(best_subset(free, count));
    }
  }
}

bool LinkLayout::is_of(std::span<const CardPosition> cards) const {
  return std::equal(cards.begin(), cards.end(), cards_.begin(), cards_.end());
}

std::uint32_t LinkLayout::largest_group(CardMask free) const {
  if (!picks_.empty()) {
    return largest_[free];
  }
  std::uint32_t largest = 0;
  for (const CardMask group : link_groups_) {
    largest = std::max(largest, count_of(group & free));
  }
  return largest;
}

CardMask LinkLayout::pick(CardMask free, std::uint32_t count) const {
  CHECK(count <= count_of(free), "asked for more cards than the node has free");
  return count == 0 ? 0 : picks_.empty() ? fill_groups(free, count) : picks_[count][free];
}

CardMask LinkLayout::best_subset(CardMask free, std::uint32_t count) const {
  Suit best = {.link_groups = UINT32_MAX};
  // The subsets of `free`, from the smallest number up (Knuth, TAOCP 7.1.3, "subset of a mask").
  for (CardMask subset = free & (~free + 1); subset != 0; subset = (subset - free) & free) {
    if (count_of(subset) != count) {
      continue;
    }
    Suit suit = {.cards = subset};
    count_touched(link_groups_, free, subset, suit.link_groups, suit.left_in_groups);
    count_touched(numa_nodes_, free, subset, suit.numa_nodes, suit.left_in_numa_nodes);
    best = std::min(best, suit);
  }
  return best.cards;
}

// The smallest link group that holds all; else the largest ones first, so that few are crossed. The same again with the
// NUMA nodes of a group.
CardMask LinkLayout::fill_groups(CardMask free, std::uint32_t count) const {
  const auto fill = [](std::span<const CardMask> parts, CardMask from, std::uint32_t needed, const auto& take) {
    CardMask picked = 0;
    while (needed > 0) {
      const CardMask* best = nullptr;
      for (const CardMask& part : parts) {
        const std::uint32_t has = count_of(part & from & ~picked);
        const std::uint32_t best_has = best == nullptr ? 0 : count_of(*best & from & ~picked);
        const bool is_better =
            has >= needed ? best_has < needed || has < best_has : best_has < needed && has > best_has;
        best = has > 0 && is_better ? &part : best;
      }
      const CardMask available = *best & from & ~picked;
      const std::uint32_t taken = std::min(needed, count_of(available));
      picked |= take(available, taken);
      needed -= taken;
    }
    return picked;
  };
  const auto lowest = [](CardMask from, std::uint32_t needed) {
    CardMask picked = 0;
    for (; needed > 0; --needed) {
      picked |= (from & ~picked) & (~(from & ~picked) + 1);
    }
    return picked;
  };
  const auto by_numa = [&](CardMask from, std::uint32_t needed) { return fill(numa_nodes_, from, needed, lowest); };
  return fill(link_groups_, free, count, by_numa);
}

}  // namespace busbar::sched::place
