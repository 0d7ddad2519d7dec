#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "sched/place/pack_types.h"

namespace busbar::sched::place {

/// How much of a node's free card capacity is expected to stay unused, given what tasks usually look like.
///
/// The node is thought to receive tasks drawn from the expected shapes, one after another; what fits is placed, what
/// does not fit goes elsewhere, and after each arrival the load ends with probability 1 / kHorizon. The table holds the
/// expected rest for each (free whole cards, rest of one shared card, free CPUs), solved backwards:
///
///   V(n) = (free(n) / H + (1 - 1/H) * sum over fitting s of p(s) V(n - s)) / (1/H + (1 - 1/H) * sum of p(s))
///
/// A one-step version of this is the fragmentation measure of "Beware of Fragmentation: Scheduling GPU-Sharing
/// Workloads with Fragmentation Gradient Descent" (USENIX ATC 2023), which also names the recursion; what is ours is
/// the end of the load (without it every hole that some rare task could fill counts as filled), the table, and how
/// several shared cards are put together: each further one is valued on its own, and the CPUs that it is expected to
/// use are kept from the rest. docs/scheduling.md, "Packing".
///
/// Immutable value. Cost of the constructor: about 1 ns x shapes x (cards + 1) x 12,900; of a look-up: two loads.
class StrandedTable {
 public:
  struct Limits {
    std::int64_t max_cpus = 0;    ///< Of the largest node; more CPUs count as this many.
    std::uint16_t max_cards = 0;  ///< Of the largest node; capped at kMaxCards.
    friend bool operator==(const Limits&, const Limits&) = default;
  };
  static constexpr std::uint16_t kMaxCards = 16;
  static constexpr std::int64_t kOne = 256;  ///< Values are in 1/256 milli-card.

  /// Shapes that no node of these limits holds are passed over. Weights below 1 count as 0.
  StrandedTable(std::span<const ExpectedShape> shapes, const Limits& limits);

  /// The node's value after `shape` has taken its CPUs and memory, and its whole cards; as it stands for an empty
  /// shape. For a fraction: the least over the cards it could go to, and which. The shape must fit.
  struct Outcome {
    std::int64_t stranded = 0;
    std::uint16_t card = 0;  ///< For fractions.
  };
  Outcome after(const PackNode& node, const PackShape& shape) const;
  std::int64_t stranded(const PackNode& node) const { return after(node, PackShape{}).stranded; }

 private:
  struct Cell {
    std::int32_t stranded = 0;  ///< 1/256 milli-card.
    std::int32_t cpus = 0;      ///< Milli-CPUs that tasks with cards are expected to take.
  };
  struct Step;
  struct Point;
  struct Rest;

  std::size_t row(std::size_t whole, std::size_t level) const;
  Cell at(std::size_t whole, std::size_t level, std::int64_t cpus) const;
  Rest rest_of(const PackNode& node, std::int64_t cpus) const;
  std::int64_t value(const Rest& rest, std::size_t whole, std::int64_t cpus) const;
  std::int64_t usable_cpus(std::int64_t cpus, std::int64_t memory) const;
  std::vector<Step> steps_of(std::span<const ExpectedShape> shapes);
  void solve(std::size_t whole, std::size_t level, std::span<const Step> steps);

  std::int64_t cpu_unit_ = 1;
  std::uint16_t max_cards_ = 0;
  std::int64_t total_weight_ = 0;
  // The load uses `cpu_share_` milli-CPUs with `memory_share_` of memory: a node short of memory is as good as one with
  // the CPUs that its memory is enough for.
  std::int64_t cpu_share_ = 0;
  std::int64_t memory_share_ = 0;
  std::vector<Cell> cells_;
};

}  // namespace busbar::sched::place
