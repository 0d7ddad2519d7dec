#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <vector>

#include "sched/internal/state.h"

namespace busbar::sched::fairshare {

/// A queue's dominant share of the cluster, divided by its weight; 2^32 is the whole cluster at weight 1.
struct Share {
  std::uint64_t now = 0;   ///< The chip of which it uses the largest part.
  std::uint64_t past = 0;  ///< The mean of what it used, faded.
  std::uint64_t total() const { return now + past; }
};

/// Shares of all queues, in the order of State::tree(). The past is that of the last epoch, so that within one only
/// starts and ends change the order.
std::vector<Share> shares_of(const internal::State& state);

/// In what order leaf queues are served: from the top of the tree, the child that is below its guarantee, then of the
/// highest priority, then with the smallest share, then by name (hierarchical dominant-resource fairness: Bhattacharya,
/// Culler, Friedman, Ghodsi, Shenker, Stoica, "Hierarchical Scheduling for Diverse Datacenter Workloads", 2013).
///
/// Lives for one pass. Cost: making it O(queues x chips); next() O(levels x children).
class ServingOrder {
 public:
  explicit ServingOrder(const internal::State& state);

  /// The leaf has (or has no more) jobs to look at.
  void add(std::uint32_t leaf) { count(leaf, 1); }
  void remove(std::uint32_t leaf) { count(leaf, -1); }
  /// Of the learned order: how urgent the leaf's first job is. It takes the place of shares, between whole queues as it
  /// does within one.
  void set_head(std::uint32_t leaf, std::uint64_t urgency);
  /// The leaf started a job.
  void charged(std::uint32_t leaf);
  std::optional<std::uint32_t> next() const;

 private:
  struct Key {
    bool has_its_guarantee = false;
    std::int64_t negated_priority = 0;
    std::uint64_t share = 0;
    friend auto operator<=>(const Key&, const Key&) = default;
  };

  void count(std::uint32_t leaf, int by);
  Key key_of(std::uint32_t index) const;

  const internal::State& state_;
  std::vector<Share> shares_;
  std::vector<Key> keys_;
  std::vector<std::uint64_t> heads_;   ///< Of the learned order: the most urgent job at or below each queue.
  std::vector<std::uint32_t> active_;  ///< Leaves with jobs at or below each queue.
};

}  // namespace busbar::sched::fairshare
