#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "model/queue.h"
#include "sched/fairshare/card_sums.h"
#include "sched/fairshare/history.h"

namespace busbar::sched::fairshare {

/// What a queue uses now. Derived from its jobs, but for `history`.
struct Account {
  CardSums used = {};         ///< By jobs of it and of the queues below it: placements, and claims on cards.
  CardSums fixed = {};        ///< Of those, by jobs that may not be evicted.
  std::int64_t rate = 0;      ///< Milli-cards x chip weight in use by its own jobs; claims do not count.
  History history = {};       ///< Of its own jobs.
  std::uint32_t waiting = 0;  ///< Its own jobs that are not over and hold nothing.
  std::uint32_t holding = 0;  ///< Its own jobs that hold cards.
  /// How many of those may be evicted, by priority, ascending.
  std::vector<std::pair<std::int32_t, std::uint32_t>> evictable = {};
};

/// The shape of the quota tree: who is below whom, and what is promised to whom. Immutable; shared by forks.
class Tree {
 public:
  struct Node {
    std::string name = {};
    std::optional<std::uint32_t> parent = {};
    std::vector<std::uint32_t> children = {};  ///< By name.
    model::CardAmounts promised = {};          ///< model::effective_guarantee.
  };

  /// `queues` by name; they form a valid tree.
  explicit Tree(const std::vector<model::Queue>& queues);

  const std::vector<Node>& nodes() const { return nodes_; }  ///< By name.
  const Node& node(std::uint32_t index) const { return nodes_[index]; }
  std::optional<std::uint32_t> find(std::string_view name) const;
  const std::vector<std::uint32_t>& tops() const { return tops_; }
  /// Without any guarantee in the tree nobody borrows.
  bool has_guarantees() const { return has_guarantees_; }
  /// `above` is `below` or one of the queues above it.
  bool is_at_or_above(std::uint32_t above, std::uint32_t below) const;

 private:
  std::vector<Node> nodes_;
  std::vector<std::uint32_t> tops_;
  bool has_guarantees_ = false;
};

}  // namespace busbar::sched::fairshare
