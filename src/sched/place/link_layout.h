#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

namespace busbar::sched::place {

/// A set of the cards that one node has of one chip: bit i is the i-th of them.
using CardMask = std::uint64_t;
/// Groups of more cards than this are handled card by card.
inline constexpr std::size_t kMaskCards = 64;

/// Where one card is, and what it is near to.
struct CardPosition {
  std::uint16_t card = 0;        ///< Index on the node.
  std::uint16_t link_group = 0;  ///< NVLink, PCIe switch ...: cards of one group talk fastest.
  std::int16_t numa_node = -1;
  friend bool operator==(const CardPosition&, const CardPosition&) = default;
};

/// How the cards of one chip on a node are wired, and so which of them suit a task best. Immutable; nodes that are
/// wired alike share one.
///
/// Up to eight cards, the answer for every set of free cards is looked up in a table of 256 entries a task size, made
/// once by trying every subset. Above, whole link groups and NUMA nodes are filled greedily.
class LinkLayout {
 public:
  /// `cards`: all of the chip, by index on the node. At most kMaskCards.
  explicit LinkLayout(std::span<const CardPosition> cards);

  /// The `count` cards of `free` that suit a task best: few link groups, then few NUMA nodes; of equal ones those that
  /// leave least beside them, so that untouched groups stay whole; then the lowest. `free` must hold that many.
  CardMask pick(CardMask free, std::uint32_t count) const;
  /// Cards of the link group that has most of `free`.
  std::uint32_t largest_group(CardMask free) const;

  /// Index on the node of the card that a bit stands for.
  std::uint16_t card_of(int bit) const { return cards_[static_cast<std::size_t>(bit)].card; }
  bool is_of(std::span<const CardPosition> cards) const;

 private:
  static constexpr std::size_t kTableCards = 8;

  CardMask best_subset(CardMask free, std::uint32_t count) const;
  CardMask fill_groups(CardMask free, std::uint32_t count) const;

  std::vector<CardPosition> cards_;
  std::vector<CardMask> link_groups_;
  std::vector<CardMask> numa_nodes_;                       ///< Within a link group, in its order.
  std::vector<std::array<std::uint8_t, 256>> picks_ = {};  ///< [count][free]; empty for more than eight cards.
  std::array<std::uint8_t, 256> largest_ = {};             ///< Valid with `picks_`.
};

}  // namespace busbar::sched::place
