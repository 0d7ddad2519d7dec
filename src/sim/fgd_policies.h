#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "sched/place/packer.h"

namespace busbar::sim {

/// Puts pods on nodes, one at a time: the scheduling core's packing, or one that others have published.
class PackPolicy {
 public:
  using Choice = sched::place::Packer::Choice;

  virtual ~PackPolicy() = default;
  /// Takes a place for one pod of the shape (an index into the shapes given at the start); nullopt: it fits nowhere.
  virtual std::optional<Choice> place(std::size_t shape) = 0;

  /// A pod that stood and was sent elsewhere, by its shape.
  struct Move {
    std::size_t shape = 0;
    std::size_t from = 0;                   ///< Node,
    std::vector<std::uint16_t> cards = {};  ///< and what it had there.
    Choice to = {};
  };
  /// Made by the last place(), before the pod took its place.
  virtual std::span<const Move> moves() const { return {}; }
};

/// The card of the node with the least left that a fraction fits on, the lowest index of equal ones. It must fit.
std::uint16_t tightest_card(const sched::place::PackNode& node, const sched::place::PackShape& shape);

/// What a policy is made of. Borrowed only while it is made.
struct PackWorld {
  std::span<const sched::place::PackNode> nodes;
  std::span<const sched::place::ExpectedShape> shapes;  ///< The distribution, for policies that may know it.
  std::uint64_t seed = 0;                               ///< For policies that draw.
};

/// busbar          the core's Packer, knowing the distribution as FGD does
/// busbar-online   the same, learning it from the pods that came so far
/// busbar-moves    busbar and bounded repacking (fgd_moves.h)
/// core            the whole scheduling core, which has seen the list before (fgd_core.h)
/// core-online     the same, starting without experience
/// fgd             Weng et al., "Beware of Fragmentation", USENIX ATC 2023: steepest descent of expected fragmentation
///                 over the most popular shapes (95 % of pods), scores rounded to 0..100 by its sigmoid
/// bestfit         least weighted rest of CPU and cards
/// random          any node, any card that fits
std::span<const std::string_view> pack_policy_names();

/// nullptr for an unknown name.
std::unique_ptr<PackPolicy> make_pack_policy(std::string_view name, const PackWorld& world);

}  // namespace busbar::sim
