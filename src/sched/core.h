#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "model/cluster.h"
#include "model/job.h"
#include "sched/events.h"
#include "sched/policy.h"

namespace busbar::sched {

/// A job as the core sees it now, for status and tests. A copy.
struct JobView {
  JobRequest request = {};
  model::JobState state = model::JobState::kQueued;
  model::AttemptId attempt = {};  ///< Current or last; number 0 before the first.
  std::optional<model::Placement> placement = {};
  TimeMs submitted_ms = 0;
  TimeMs not_before_ms = 0;
  std::uint32_t counted_restarts = 0;
  std::optional<model::Placement> claim = {};  ///< Cards that are being freed for it.
  std::optional<model::Placement> held = {};   ///< Cards kept between two attempts, until `hold_until_ms`.
  TimeMs hold_until_ms = 0;
  std::vector<model::NodeId> excluded = {};  ///< Nodes that failed it.
  std::optional<Reserve> promise = {};       ///< When and where it starts at the latest.
  std::optional<StopReason> stop = {};       ///< Why the attempt is being stopped.
  std::uint32_t staying = 0;                 ///< While its other tasks are being stopped: how many go on; else 0.
  bool yields = false;                       ///< It makes room for jobs that are promised a start: Place::yields.
};

/// A queue and what it and the queues below it use.
struct QueueView {
  model::Queue queue = {};
  std::uint32_t running_jobs = 0;  ///< That hold cards.
  std::uint32_t waiting_jobs = 0;
  MilliCards used = {};      ///< By placements and claims.
  MilliCards borrowed = {};  ///< Of that, what another queue could get back.
  std::vector<std::pair<std::string, MilliCards>> used_by_chip = {};
  /// Dominant share of the cluster by weight, in millionths: now, and the faded mean of the past.
  std::int64_t share_ppm = 0;
  std::int64_t past_share_ppm = 0;
  friend bool operator==(const QueueView&, const QueueView&) = default;
};

/// One verified way to start the job now.
struct ChangeSet {
  std::string kind = {};  ///< "fewer_nodes", "other_chip", "other_level", "more_quota", "jobs_ending", "node_returned".
  std::string text = {};  ///< "ask for 2 nodes instead of 4".
  std::vector<model::JobId> jobs = {};
};

/// Why a job does not run (or runs where it does).
struct Why {
  model::JobState state = model::JobState::kQueued;
  /// "capacity", "quota", "priority", "fair_share", "dependency", "backoff", "infeasible", "infeasible_quota",
  /// "array_limit", "claim" (its cards are being freed), "claimed" (for another job),
  /// "replacement" (of a lost task), "none".
  std::string constraint = {};
  std::string text = {};                       ///< The binding constraint in a sentence with numbers.
  std::optional<std::uint32_t> position = {};  ///< Among the jobs of its queue, from 1.
  std::vector<ChangeSet> changes = {};         ///< Smallest first; each one tried on a fork.
};

/// How much an answer to `why` says.
enum class WhyDepth : std::uint8_t {
  kReason,   ///< The constraint: one walk over those who wait.
  kChanges,  ///< Also what would start it, each change tried on a fork.
};

/// When a waiting job starts, as far as can be told.
struct When {
  std::optional<TimeMs> p50_ms = {};  ///< nullopt: in half of the trials it did not start within what is looked at.
  std::optional<TimeMs> p90_ms = {};
  std::uint32_t trials = 0;
  std::uint32_t starts = 0;  ///< Trials in which it started.
  std::string text = {};     ///< What the answer rests on.
};

/// The deterministic scheduling core (design §5): `apply` is a pure function of state, event and policy. No clock, no
/// threads, no I/O, no floating point, no dependence on hash order. Time is the event's; an event earlier than the
/// last one is taken at the last one's time.
///
/// Not thread-safe: one owner. `fork()` gives an independent core that may go to another thread.
class Core {
 public:
  explicit Core(Policy policy);
  ~Core();
  Core(Core&&) noexcept;
  Core& operator=(Core&&) noexcept;

  /// Decides. kInvalidArgument/kNotFound for an event that makes no sense in this state (unknown node, attempt not
  /// current ...): the state is then unchanged.
  Result<std::vector<Decision>> apply(const Event& event);

  /// Recovery: takes recorded decisions as facts and never decides again, so that a newer build continues an older
  /// journal safely. kDataCorrupt if the decisions do not fit the state: the core must then be discarded.
  Result<void> apply_recorded(const Event& event, std::span<const Decision> decisions);

  /// When the core wants a Tick (time limits, deadlines, backoff); nullopt: never.
  std::optional<TimeMs> next_wakeup() const;

  /// 64-bit hash of the whole logical state, kept incrementally; derived indexes are not part of it.
  std::uint64_t state_hash() const;
  /// The same, by a full scan: for tests and `replay`.
  std::uint64_t recompute_hash() const;
  TimeMs now_ms() const;

  /// Independent copy for what-if. Cheap (docs/results.md).
  Core fork() const;

  /// Snapshot with format and policy version; `restore` refuses others with kDataCorrupt or kUnsupported.
  std::string snapshot() const;
  static Result<Core> restore(std::string_view bytes);

  // Reading. References live until the next apply.
  const model::Node* find_node(model::NodeId id) const;
  std::vector<model::NodeId> nodes() const;  ///< In id order.
  std::optional<JobView> find_job(model::JobId id) const;
  std::vector<model::JobId> jobs() const;                ///< Jobs not yet finished, in id order.
  std::vector<model::Queue> queues() const;              ///< By name.
  std::vector<QueueView> queue_views() const;            ///< By name. Cost: live jobs.
  std::vector<model::Reservation> reservations() const;  ///< By name; not those that are over.
  const Policy& policy() const;
  /// Cards in use on a node by placements, by card index, in milli-cards.
  std::vector<MilliCards> used_on(model::NodeId id) const;

  /// kNotFound for jobs that are unknown or over.
  Result<Why> why(model::JobId id, WhyDepth depth = WhyDepth::kChanges) const;
  /// Plays the future on forks, with run times learnt from jobs of the same queue that ended, else declared limits;
  /// jobs submitted later are not foreseen. kNotFound as above. Cost: up to some thousand steps, so best on a fork of
  /// its own.
  Result<When> when(model::JobId id) const;

 private:
  struct State;
  explicit Core(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace busbar::sched
