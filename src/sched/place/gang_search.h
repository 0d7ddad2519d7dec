#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "sched/place/fabric_order.h"
#include "sched/place/free_index.h"
#include "sched/place/free_map.h"
#include "sched/place/need.h"

namespace busbar::sched::place {

/// Tasks of this kind that fit on the group's node, at most `most`; 0 if the node is not usable.
std::uint32_t capacity_of(const FreeMap& map, const GroupSlot& group, const TaskNeed& need, std::uint32_t most);

/// How well a node suits a task: smaller is better. Leaving little behind comes first, so that large free nodes stay
/// whole for those who need them.
struct Fitness {
  bool splits_link_group = false;  ///< The cards would not be of one link group.
  std::uint32_t left_behind = 0;  ///< Milli-cards (for tasks without cards: accelerators of the node, kept for others).
  std::uint32_t together = 0;     ///< Free cards of the node's largest link group: large ones stay whole.
  std::uint64_t leaf = 0;         ///< What is free in its leaf: roomy leaves stay whole.
  std::int64_t cpus_left = 0;     ///< For tasks without cards.
  friend auto operator<=>(const Fitness&, const Fitness&) = default;
};

/// Tasks on the node at a position of the order.
struct Seats {
  std::uint32_t position = 0;
  std::uint32_t tasks = 0;
  friend auto operator<=>(const Seats&, const Seats&) = default;
};

struct Selection {
  std::size_t level = 0;          ///< Of the smallest domain that holds the gang; 0: one node.
  Domain domain = {};             ///< Nameless for level 0.
  std::vector<Seats> seats = {};  ///< By position: ranks follow the fabric.
};

/// One gang on one order: which nodes it gets.
///
/// Either trusts the counts of an index, which know cards but not CPU, memory and filters, and checks those on the
/// nodes it arrives at; or measures every node first. The first way ends unsure where the counts promised too much.
class GangSearch {
 public:
  /// A domain of the order that the search does not leave.
  struct Scope {
    std::size_t level = 1;  ///< From 1.
    std::uint32_t domain = 0;
  };

  /// Borrows all of them. `counts` may be nullptr: measure.
  GangSearch(const FreeMap& map, const ChipOrder& order, const GangNeed& need, Scope scope, const OrderCounts* counts);

  /// At most this many tasks fit in one domain of `level` (0 node, 1 leaf ..., order.levels.size() the cluster); exact
  /// if measured.
  std::uint64_t best_room(std::size_t level) const;
  /// nullopt: they do not fit, or, if is_unsure(), perhaps they do.
  std::optional<Selection> select(std::uint32_t tasks, std::size_t top_level);
  bool is_unsure() const { return is_unsure_; }

 private:
  /// Indices of `order.levels[level - 1]` in the scope.
  struct Range {
    std::uint32_t begin = 0;
    std::uint32_t end = 0;
  };
  Range domains_at(std::size_t level) const;
  const Domain& scope() const { return order_.levels[scope_.level - 1][scope_.domain]; }
  std::optional<std::uint32_t> tightest_leaf_with(FreeClass wanted) const;
  void measure();
  std::uint32_t capacity(std::uint32_t position) const;
  std::uint64_t room(std::size_t level, std::uint32_t domain) const;
  /// Domains with less are taken first: free cards (for tasks without cards: room).
  std::uint64_t slack(std::size_t level, std::uint32_t domain) const;
  Fitness fitness(std::uint32_t position) const;
  std::optional<std::uint32_t> find_node(std::uint32_t tasks);
  std::optional<std::uint32_t> find_node_by_class(std::uint32_t tasks);
  std::uint32_t fill(std::size_t level, std::uint32_t domain, std::uint32_t tasks, std::vector<Seats>& seats) const;
  std::uint32_t fill_leaf(std::uint32_t domain, std::uint32_t tasks, std::vector<Seats>& seats) const;

  void keep_best_fitting(std::vector<Seats>& seats, std::size_t first, std::uint32_t count) const;

  const FreeMap& map_;
  const ChipOrder& order_;
  const GangNeed& need_;
  Scope scope_;
  const OrderCounts* counts_;
  bool is_unsure_ = false;
  // Measured: running sums over the positions of the scope.
  std::vector<std::uint32_t> tasks_;
  std::vector<std::uint64_t> task_sums_;
  std::vector<std::uint64_t> free_sums_;
};

}  // namespace busbar::sched::place
