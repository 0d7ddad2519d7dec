#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/units.h"

namespace busbar::model {

/// Cards of all chips together and, beside it, of single chips. Negative: nothing is said.
struct CardAmounts {
  MilliCards all = {-1};
  std::vector<std::pair<std::string, MilliCards>> chips = {};  ///< By chip name, each once, none negative.

  bool is_given() const { return all.value >= 0 || !chips.empty(); }
  /// Of one chip alone; negative: nothing is said of it.
  MilliCards of(std::string_view chip) const;
  friend bool operator==(const CardAmounts&, const CardAmounts&) = default;
};

/// How a queue's share compares with its siblings': in all cards, and of single chips. At least 1.
struct QueueWeights {
  std::uint32_t all = 1;
  std::vector<std::pair<std::string, std::uint32_t>> chips = {};  ///< By chip name, each once.

  /// Of one chip: its own, else `all`.
  std::uint32_t of(std::string_view chip) const;
  friend bool operator==(const QueueWeights&, const QueueWeights&) = default;
};

/// What a lower limit does to jobs that run: nothing, or those above it are evicted at once.
enum class Enforce { kLater, kNow };

/// A tenant's place in the quota tree. Jobs are in its leaves. A plain value; who may do what: docs/scheduling.md,
/// "Queues and fair share".
struct Queue {
  std::string name = {};
  std::string parent = {};  ///< Empty: at the top.
  /// Cards that its jobs get back from queues that borrow.
  CardAmounts guarantee = {};
  /// Cards that its running jobs may use together, those of the queues below it included.
  CardAmounts limit = {};
  QueueWeights weight = {};
  std::int32_t priority = 0;  ///< Siblings of higher priority are served first.
  /// The longest `min_run_time` that its jobs may ask for: how long another queue may have to wait for its guarantee.
  std::int64_t reclaim_bound_ms = 3'600'000;
  Enforce enforce = Enforce::kLater;
  friend bool operator==(const Queue&, const Queue&) = default;
};

std::string_view enforce_name(Enforce enforce);
std::optional<Enforce> enforce_from_name(std::string_view name);

/// "64", "64,H100=8", "H100=8", "none": for flags and configuration files. format gives the same text back.
Result<CardAmounts> parse_card_amounts(std::string_view text);
std::string format_card_amounts(const CardAmounts& amounts);
/// "2", "2,H100=3".
Result<QueueWeights> parse_queue_weights(std::string_view text);
std::string format_queue_weights(const QueueWeights& weights);

/// Names as in `is_valid_name`, and what validate_amounts() checks.
Result<void> validate(const Queue& queue);
/// Amounts, weights and times in range, no chip twice, guarantee within limit. kInvalidArgument names the first thing.
Result<void> validate_amounts(const Queue& queue);
/// All queues together: parents exist, no circle, and what the queues below one are guaranteed fits its own guarantee
/// (of each chip and of all cards). kInvalidArgument with the numbers. Each queue must be valid by itself.
Result<void> validate_tree(std::span<const Queue> queues);
/// What a queue promises: its own guarantee, or else the sum of what those below it promise.
CardAmounts effective_guarantee(std::span<const Queue> queues, const Queue& queue);

}  // namespace busbar::model
