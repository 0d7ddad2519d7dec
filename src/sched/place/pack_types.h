#pragma once

#include <cstdint>
#include <vector>

namespace busbar::sched::place {

inline constexpr std::int64_t kPackCard = 1000;  ///< Milli-cards of a whole card.

/// What one task takes of one node: whole cards, or a part of one card, or CPU and memory only.
struct PackShape {
  std::int64_t cpus = 0;      ///< Milli-CPUs.
  std::int64_t memory = 0;    ///< In the unit of PackNode::memory.
  std::uint16_t cards = 0;    ///< 0: none.
  std::uint16_t milli = 0;    ///< Of each card; kPackCard: whole. Below that, `cards` is 1.
  std::uint64_t kinds = ~0U;  ///< Bit k: nodes of kind k will do. Tasks without cards run anywhere.

  bool is_fraction() const { return cards == 1 && milli < kPackCard; }
  std::int64_t card_milli() const { return std::int64_t{cards} * milli; }
  friend auto operator<=>(const PackShape&, const PackShape&) = default;
};

/// A shape and how often it is expected, relative to the others.
struct ExpectedShape {
  PackShape shape = {};
  std::int64_t weight = 0;
  friend bool operator==(const ExpectedShape&, const ExpectedShape&) = default;
};

/// What is free on one node, cards of one kind.
struct PackNode {
  std::int64_t cpus = 0;
  std::int64_t memory = 0;
  std::uint16_t kind = 0;                 ///< Below 64.
  bool takes_bare_tasks = true;           ///< Tasks without cards.
  std::vector<std::uint16_t> cards = {};  ///< Free milli-cards of each card; 0 for one that must not be used.
  friend bool operator==(const PackNode&, const PackNode&) = default;
};

inline bool accepts_kind(const PackShape& shape, std::uint16_t kind) {
  return shape.cards == 0 || (shape.kinds >> kind & 1U) != 0;
}

/// Would one task of the shape fit on the node as it stands?
inline bool fits(const PackNode& node, const PackShape& shape) {
  if (node.cpus < shape.cpus || node.memory < shape.memory || !accepts_kind(shape, node.kind)) {
    return false;
  }
  if (shape.cards == 0) {
    return node.takes_bare_tasks;
  }
  std::uint32_t enough = 0;
  for (const std::uint16_t free : node.cards) {
    enough += free >= shape.milli ? 1 : 0;
  }
  return enough >= shape.cards;
}

/// The node after one task of the shape, which must fit. `card` is the card of a fraction; whole cards are the first
/// free ones.
inline void take(PackNode& node, const PackShape& shape, std::uint16_t card) {
  node.cpus -= shape.cpus;
  node.memory -= shape.memory;
  if (shape.is_fraction()) {
    node.cards[card] = static_cast<std::uint16_t>(node.cards[card] - shape.milli);
    return;
  }
  std::uint16_t left = shape.cards;
  for (std::size_t i = 0; i < node.cards.size() && left > 0; ++i) {
    if (node.cards[i] == kPackCard) {
      node.cards[i] = 0;
      --left;
    }
  }
}

}  // namespace busbar::sched::place
