#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace busbar::sched {

/// Who of one priority is served first.
enum class Order {
  kAge,      ///< Queues by fair share, in a queue by submission.
  kLearned,  ///< Whoever is expected to end soonest for its cards, whatever its queue (learn::Habits).
};

/// Site rules, part of the hashed state. An event (PolicyChanged) changes them.
struct Policy {
  /// A gang that was placed must reach the barrier and start within this time, else it is stopped and requeued.
  std::int64_t start_deadline_ms = 600'000;
  /// Infrastructure failures in a row before the job is failed after all.
  std::uint32_t max_infrastructure_retries = 5;
  /// Wait before restart n: base * 2^(n-1), at most `retry_backoff_max_ms`.
  std::int64_t retry_backoff_base_ms = 1'000;
  std::int64_t retry_backoff_max_ms = 60'000;
  /// While the first blocked job has waited less than this, jobs behind it may start if their time limit ends before
  /// its expected start; after it, only jobs that take nothing it needs (README.md, "Order and backfill").
  std::int64_t backfill_patience_ms = 4 * 3'600'000;
  /// What a queue used this long ago counts half in its share.
  std::int64_t fair_share_half_life_ms = 86'400'000;
  /// What a card of a chip counts in use over time, in thousandths, by chip name; others count 1000.
  std::vector<std::pair<std::string, std::uint32_t>> chip_weights = {{"cpu", 10}};
  /// Work since its last checkpoint that an eviction counts for at most, for jobs that do not say how often they save:
  /// never saving must not make a job untouchable.
  std::int64_t checkpoint_credit_ms = 1'800'000;
  /// A job is evicted at most once in this time.
  std::int64_t eviction_interval_ms = 3'600'000;
  /// How long cards are kept for a job while those it takes them from are stopping.
  std::int64_t claim_timeout_ms = 3'600'000;
  /// What a restart is reckoned to cost a job beside the work since its last checkpoint, when it is asked whether a
  /// stop for its own good pays.
  std::int64_t restart_cost_ms = 60'000;
  /// What a live gang is reckoned to lose when tasks come or go: those that go on meet anew.
  std::int64_t live_resize_cost_ms = 5'000;
  /// A live gang grows at most once in this time, and not so soon after it gave up tasks.
  std::int64_t live_resize_interval_ms = 60'000;
  Order order = Order::kAge;
  /// kLearned: how many times as urgent another must be to stop one that runs, since a stop costs work and a restart.
  std::uint32_t learned_favour = 4;
  /// Jobs that are stopped in an hour of the clock to go on elsewhere, so that one that waits finds its cards side by
  /// side; 0: none.
  std::uint32_t max_moves_per_hour = 0;
  /// How long a gang that lost a node to the platform keeps the cards of its other tasks while a replacement is sought.
  std::int64_t hold_ms = 30'000;
  /// Waiting jobs that are promised a start at a time, one a queue at most.
  std::uint32_t max_reservations = 16;
  /// What would delay a promised job may start there all the same, on condition that it makes room for it when asked.
  /// Off by default: who made room stands in the queue again where it was, and may delay what others were promised.
  bool may_backfill_yield = false;
  friend bool operator==(const Policy&, const Policy&) = default;
};

}  // namespace busbar::sched
