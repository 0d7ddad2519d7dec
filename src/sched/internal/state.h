#pragma once

#include <algorithm>
#include <compare>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "sched/core.h"
#include "sched/fairshare/tree.h"
#include "sched/internal/cow_map.h"
#include "sched/learn/habits.h"
#include "sched/place/experience.h"
#include "sched/place/fabric_order.h"
#include "sched/place/free_map.h"
#include "sched/place/free_part.h"
#include "sched/place/need.h"
#include "sched/place/packing.h"

namespace busbar::sched::internal {

/// What was submitted, with what is worth keeping beside it. Immutable; shared by forks.
struct Submitted {
  JobRequest request = {};
  std::uint64_t hash = 0;
};

/// What an attempt was given. Immutable; shared by forks.
struct Granted {
  model::Placement placement = {};
  std::string reason = {};
  std::int64_t milli_cards = 0;  ///< Sum over its tasks.
  std::uint64_t hash = 0;
};

/// What a job keeps between two attempts. Immutable; shared by forks.
struct Kept {
  Granted granted = {};  ///< Its tasks keep their ranks, so there are gaps.
  TimeMs until_ms = 0;
  std::uint32_t gang_tasks = 0;  ///< Of the whole gang.
  std::uint64_t hash = 0;
};

/// A start that a waiting job is promised: see Reserve. Immutable; shared by forks.
struct Booking {
  std::vector<model::NodeId> nodes = {};
  std::uint32_t level = 0;
  TimeMs start_ms = 0;
  std::uint32_t slips = 0;
  friend bool operator==(const Booking&, const Booking&) = default;
};

/// The first task that failed of its own accord.
struct Failure {
  std::uint32_t rank = 0;
  model::ExitClass exit_class = model::ExitClass::kUser;
  std::int32_t exit_code = 0;
  friend bool operator==(const Failure&, const Failure&) = default;
};

/// A job that is not over. Small, because chunks of records are copied on write.
struct JobRecord {
  std::shared_ptr<const Submitted> submitted = {};
  model::JobState state = model::JobState::kQueued;  ///< Never a terminal one.
  TimeMs submitted_ms = 0;
  TimeMs not_before_ms = 0;
  std::uint32_t attempt = 0;
  std::uint32_t counted_restarts = 0;
  std::uint32_t infrastructure_in_row = 0;
  bool is_cancelled = false;
  /// Cards that are being freed for it, while it waits or while the attempt is stopped that it goes on from.
  std::shared_ptr<const Granted> claim = {};
  TimeMs claim_until_ms = 0;
  TimeMs evicted_ms = 0;                     ///< Last; 0: never.
  std::int64_t served_ms = 0;                ///< On its cards, in attempts that are over.
  TimeMs resized_ms = 0;                     ///< Last stopped to go on with more tasks or elsewhere, or resized live.
  std::vector<model::NodeId> excluded = {};  ///< Where it does not go again, ascending.
  std::shared_ptr<const Kept> kept = {};     ///< Only while it is queued.
  std::shared_ptr<const Booking> booking = {};  ///< Same.

  // Of the current attempt; as new between attempts.
  std::shared_ptr<const Granted> granted = {};
  bool yields = false;  ///< See Place; also while it keeps cards after a failure.
  TimeMs placed_ms = 0;
  TimeMs started_ms = 0;  ///< 0: not yet.
  TimeMs saved_ms = 0;    ///< Its last checkpoint; 0: none.
  bool is_ready = false;
  bool is_gone = false;                   ///< Nothing is left of the attempt; the verdict is due.
  bool has_succeeded = false;             ///< Before any stop, all tasks or the leader exited with 0.
  std::vector<std::uint8_t> exited = {};  ///< By rank.
  std::uint32_t staying = 0;              ///< While its other tasks are being stopped: how many go on; else 0.
  std::optional<StopReason> stop = {};
  std::optional<Failure> failure = {};
  std::int32_t stopped_code = 0;  ///< First non-zero exit code after the stop.

  std::uint64_t hash = 0;  ///< Of the above.

  const JobRequest& request() const { return submitted->request; }
  model::JobId id() const { return submitted->request.id; }
  model::AttemptId attempt_id() const { return {.job = id(), .number = attempt}; }
  /// Tasks that go on.
  std::size_t going_on() const { return staying == 0 ? exited.size() : staying; }
  /// Of those, the ones that have not exited.
  std::uint32_t alive() const {
    const auto end = exited.begin() + static_cast<std::ptrdiff_t>(going_on());
    return static_cast<std::uint32_t>(std::count(exited.begin(), end, 0));
  }
  /// It can be resized as it runs: all its tasks are there, and none is leaving.
  bool is_resizable_live() const {
    return request().is_live && state == model::JobState::kRunning && staying == 0 && !exited.empty() &&
           alive() == exited.size();
  }
  /// It holds cards, but not for long: it is stopping, or all its tasks have exited.
  bool is_ending() const { return granted != nullptr && (stop.has_value() || alive() == 0); }
  /// What it keeps from others; nullptr: nothing.
  const Granted* occupied() const { return granted ? granted.get() : kept ? &kept->granted : nullptr; }
  /// What its queue is charged for: where it goes on counts at once, the larger of both.
  const Granted* charged() const {
    const Granted* held = occupied();
    return held == nullptr || (claim != nullptr && claim->milli_cards > held->milli_cards) ? claim.get() : held;
  }
  bool is_waiting() const { return state == model::JobState::kQueued || state == model::JobState::kBlocked; }
};

struct NodeEntry {
  std::shared_ptr<const model::Node> node = {};
  std::uint64_t hash = 0;
};

struct ReservationEntry {
  std::shared_ptr<const model::Reservation> reservation = {};
  std::uint64_t hash = 0;
};

struct QueueEntry {
  model::Queue queue = {};
  fairshare::Account account = {};
  std::uint64_t hash = 0;  ///< Of the queue and its history.
};

/// How a job ended; kept for jobs that name it in `after` later.
struct Outcome {
  bool is_success = false;
  std::uint64_t sequence = 0;  ///< Order of finishing, for forgetting the oldest.
};

/// How long jobs of a queue ran, the latest last; at most kMaxRunTimes of each.
struct RunTimes {
  std::vector<std::uint32_t> permille = {};  ///< Of their time limit.
  std::vector<std::uint32_t> seconds = {};   ///< Of jobs without one.
  friend bool operator==(const RunTimes&, const RunTimes&) = default;
};
inline constexpr std::size_t kMaxRunTimes = 32;

/// How many jobs were moved in one hour of the clock; a plain value, part of the hashed state.
struct Moves {
  std::int64_t hour = 0;
  std::uint32_t count = 0;
  friend bool operator==(const Moves&, const Moves&) = default;
};

/// Order among the jobs of one queue: higher priority, earlier submission, smaller id.
struct PendingKey {
  std::int64_t negated_priority = 0;
  TimeMs submitted_ms = 0;
  model::JobId job = {};
  friend auto operator<=>(const PendingKey&, const PendingKey&) = default;
};

PendingKey order_of(const JobRecord& record);

/// Jobs that are alike for the scheduler: if one cannot start now, no other of the class can.
struct ClassKey {
  std::uint64_t hash = 0;
  std::shared_ptr<const std::string> shape = {};  ///< The encoded fields; compared when the hashes are equal.
  friend bool operator<(const ClassKey& a, const ClassKey& b) {
    return a.hash != b.hash ? a.hash < b.hash : (a.shape != b.shape && *a.shape < *b.shape);
  }
};

/// A claim, and the part of it that is free and kept for it by now.
struct Hold {
  model::JobId job = {};
  std::shared_ptr<const Granted> wanted = {};
  place::FreePart part = {};
};

struct PendingClass {
  CowSet<PendingKey> jobs = {};
  /// `capacity_version` at which the shape was found not to fit. Claims only take away, so it still does not.
  std::uint64_t no_fit_version = 0;
  /// `plan_version` at which nobody could be stopped for its first job.
  std::uint64_t no_plan_version = 0;
};

/// Far above any real gang; bounds what a damaged record can ask for.
inline constexpr std::uint32_t kMaxGangTasks = 100'000;

/// Jobs that ended are remembered up to this many, for dependencies of later submissions.
inline constexpr std::size_t kMaxOutcomes = 10'000;

/// Answers of State::fits_declared() that are kept: about as many shapes as a site's users submit in turn.
inline constexpr std::size_t kMaxKnownToFit = 64;

/// The core's whole state; a copy is a fork. Every change of a hashed object goes through put_/erase_ below, which keep
/// the hash and the derived indexes in step; nothing else writes them. Not thread-safe.
class State {
 public:
  explicit State(Policy policy);

  // Logical state, hashed.
  const Policy& policy() const { return policy_; }
  TimeMs now_ms() const { return now_ms_; }
  const CowMap<model::NodeId, NodeEntry>& nodes() const { return nodes_; }
  const CowMap<std::string, QueueEntry>& queues() const { return queues_; }
  const CowMap<std::string, ReservationEntry>& reservations() const { return reservations_; }
  const CowMap<model::JobId, JobRecord>& jobs() const { return jobs_; }
  const CowMap<model::JobId, Outcome>& outcomes() const { return outcomes_; }
  const CowMap<std::uint64_t, model::JobId>& outcome_order() const { return outcome_order_; }
  std::uint64_t finished_count() const { return finished_count_; }
  /// By queue.
  const CowMap<std::string, RunTimes>& run_times() const { return run_times_; }
  /// How long jobs ran, while the policy orders by it.
  const learn::Habits& habits() const { return habits_; }
  /// How urgent the job is, waiting or running: learn::Habits; 0 unless the policy orders by it. The same for all of a
  /// class.
  std::uint64_t urgency_of(const JobRecord& record) const;
  const Moves& moves() const { return moves_; }
  /// That may be moved still in this hour.
  std::uint32_t moves_left() const;
  /// What submitted tasks looked like.
  const place::Experience& experience() const { return experience_; }

  // Derived.
  const CowMap<ClassKey, PendingClass>& pending() const { return pending_; }
  const CowSet<std::pair<TimeMs, model::JobId>>& timers() const { return timers_; }
  const CowSet<model::JobId>& blocked() const { return blocked_; }
  const CowSet<model::JobId>& live() const { return live_; }
  /// Those of them that do not hold them for long any more, or not all of them.
  const CowSet<model::JobId>& ending() const { return ending_; }
  /// Jobs that hold cards and make room for promised ones.
  const CowSet<model::JobId>& yielding() const { return yielding_; }
  /// Running gangs that could go on with more tasks from their last checkpoint -> capacity version at which there was
  /// no room (0: not tried).
  const CowMap<model::JobId, std::uint64_t>& growable() const { return growable_; }
  /// In id order. A part is claimed in free_map().
  const std::vector<Hold>& holds() const { return holds_; }
  /// Everything that the job claims is free now.
  bool can_start_claim(model::JobId job) const;
  /// Grows whenever other jobs might be stopped than before, or more might come free by it.
  std::uint64_t plan_version() const { return plan_version_; }
  std::optional<TimeMs> next_wakeup() const;
  const fairshare::Tree& tree() const { return *tree_; }
  const fairshare::Decay& decay() const { return *decay_; }
  /// Cards of every node that joined, whatever their state.
  const fairshare::CardSums& declared_cards() const { return declared_cards_; }
  /// Jobs that hold cards between attempts -> capacity version at which no replacement was found (0: not tried).
  const CowMap<model::JobId, std::uint64_t>& kept() const { return kept_; }
  /// Jobs that are promised a start.
  struct BookedEntry {
    /// `endings_version` at which its start was last looked for, and the nodes that were not for it.
    std::uint64_t checked_version = 0;
    std::vector<model::NodeId> checked_without = {};
    std::shared_ptr<const std::vector<model::NodeId>> domain = {};  ///< Made when it is first asked for.
  };
  const CowMap<model::JobId, BookedEntry>& booked() const { return booked_; }
  /// The domain of the fabric that is kept for it.
  place::Vicinity booked_vicinity(model::JobId id) const;
  /// The nodes of that domain, ascending.
  std::shared_ptr<const std::vector<model::NodeId>> booked_domain(model::JobId id);
  /// Tags that some job keeps away from -> how many do.
  const CowMap<std::string, std::uint32_t>& avoided() const { return avoided_; }
  const place::FreeMap& free_map() const { return free_; }
  std::uint32_t group_running(model::JobId group) const;
  std::uint64_t capacity_version() const { return capacity_version_; }
  /// Grows whenever more may be free than before, now or at some known time.
  std::uint64_t endings_version() const { return capacity_version_ + known_endings_; }
  /// Jobs that wait for `job`, in id order.
  std::vector<model::JobId> dependents_of(model::JobId job) const;
  /// Made again first if a node was declared since.
  const place::FabricOrder& fabric();
  /// The declared cluster, empty and whole.
  const place::FreeMap& declared();
  /// Whether the declared cluster, empty and whole, holds it. Answers are kept while the declaration stands.
  bool fits_declared(const place::GangNeed& need);
  /// Nothing in use; what is unusable stays so. Kept until a node changes, as declared() is.
  const place::FreeMap& idle();
  /// Where one task strands least of what is free (docs/scheduling.md, "Packing"); nullopt: nowhere, or it is not known
  /// yet what tasks look like.
  std::optional<place::Found> pack(const place::PackNeed& need) {
    return packing_.choose(free_, fabric(), experience_.lesson(), need);
  }

  /// When a reservation's window next begins or ends.
  std::optional<TimeMs> next_edge_ms() const { return next_edge_ms_; }

  /// True if jobs may start that could not: a backoff, a reservation, or a protection from eviction ended.
  bool set_now(TimeMs now_ms);
  void set_policy(Policy policy);
  void put_reservation(model::Reservation reservation);
  void erase_reservation(const std::string& name);
  void put_node(model::Node node);
  void put_queue(model::Queue queue) { put_queues({std::move(queue)}); }
  void put_queues(std::vector<model::Queue> queues);
  void put_job(JobRecord record);
  /// The job is over (or was never accepted, without an outcome).
  void erase_job(model::JobId id, std::optional<bool> is_success);
  void note_no_fit(const ClassKey& key);
  void note_no_plan(const ClassKey& key);
  void note_no_replacement(model::JobId id);
  void note_no_growth(model::JobId id);
  void note_booking_checked(model::JobId id, std::vector<model::NodeId> without);
  /// The scheduler's class of a job; changes when the tags that others avoid change.
  ClassKey class_of(const JobRecord& record) const;
  /// Of a snapshot: outcomes in order of finishing.
  void restore_outcome(model::JobId id, Outcome outcome);
  void put_run_times(const std::string& queue, RunTimes times);
  void note_submission(const JobRequest& request);
  /// Of a snapshot.
  void restore_experience(place::Experience experience) { experience_ = std::move(experience); }
  void note_move();
  /// The job is over.
  void note_habit(const JobRecord& record);
  void restore_habits(learn::Habits habits) { habits_ = std::move(habits); }
  /// Of a snapshot.
  void restore_moves(Moves moves) { moves_ = moves; }
  void restore_finished_count(std::uint64_t count) { finished_count_ = count; }
  /// Of a snapshot, once its jobs are there.
  void restore_history(const std::string& queue, const fairshare::History& history);

  std::uint64_t hash() const;
  std::uint64_t recompute_hash() const;

 private:
  struct Spot;
  Spot spot_of(const JobRecord& record) const;
  void move_indexes(const JobRecord* before, const JobRecord* after);
  void index_pending(const JobRecord& record, bool is_in);
  void index_dependencies(const JobRecord& record, bool is_in);
  void charge(const JobRecord& record, const Granted* had, const Granted* has);
  void count_in_group(model::JobId group, int sign);
  void charge_queue(const JobRecord& record, const Granted& granted, int sign);
  void count_in_queue(const JobRecord& record, int sign);
  void set_claim(const JobRecord& record, bool is_in);
  void release_holds();
  void take_holds();
  void settle_histories();
  void rebuild_accounts();
  void rehash_queue(QueueEntry& entry);
  void index_waiting_rights(const JobRecord* before, const JobRecord* after);
  void index_booking(model::JobId id, const Booking* before, const Booking* after);
  std::vector<model::JobId> booked_jobs() const;
  bool end_reservations();
  void find_next_edge();
  /// `change` alters what class_of() depends on.
  template <class Change>
  void reclassify(const std::vector<model::JobId>& pending, Change change);
  std::vector<model::JobId> all_pending() const;
  void index_avoided(const JobRequest& request, int sign);
  void wake_dependents(model::JobId id);
  std::uint64_t scalar_hash() const;

  Policy policy_;
  TimeMs now_ms_ = 0;
  CowMap<model::NodeId, NodeEntry> nodes_;
  CowMap<std::string, QueueEntry> queues_;
  CowMap<std::string, ReservationEntry> reservations_;
  std::optional<TimeMs> next_edge_ms_;  ///< Derived.
  CowMap<model::JobId, JobRecord> jobs_;
  CowMap<model::JobId, Outcome> outcomes_;
  CowMap<std::uint64_t, model::JobId> outcome_order_;
  CowMap<std::string, RunTimes> run_times_;
  std::uint64_t finished_count_ = 0;
  Moves moves_;
  learn::Habits habits_;
  place::Experience experience_;
  std::uint64_t hash_sum_ = 0;

  CowMap<ClassKey, PendingClass> pending_;
  CowSet<std::pair<TimeMs, model::JobId>> timers_;
  CowSet<std::pair<TimeMs, model::JobId>> protections_;  ///< When live jobs may be evicted, if not yet.
  CowSet<model::JobId> blocked_;
  std::vector<Hold> holds_;
  std::uint64_t plan_version_ = 1;
  CowSet<model::JobId> live_;
  CowSet<model::JobId> ending_;
  CowSet<model::JobId> yielding_;
  CowMap<model::JobId, std::uint64_t> growable_;
  std::shared_ptr<const fairshare::Tree> tree_;
  std::shared_ptr<const fairshare::Decay> decay_;
  fairshare::CardSums declared_cards_;
  CowMap<model::JobId, std::uint64_t> kept_;
  CowMap<model::JobId, BookedEntry> booked_;
  CowMap<std::string, std::uint32_t> avoided_;
  CowSet<std::pair<model::JobId, model::JobId>> waiting_for_;  ///< (awaited, waiter)
  CowMap<model::JobId, std::uint32_t> group_running_;
  place::FreeMap free_;
  std::uint64_t capacity_version_ = 1;
  std::uint64_t known_endings_ = 0;  ///< How often a job began to end.
  std::shared_ptr<const place::FabricOrder> fabric_;
  std::shared_ptr<const place::FreeMap> declared_;
  std::shared_ptr<const place::FreeMap> idle_;
  CowPtr<std::vector<place::GangNeed>> known_to_fit_;  ///< declared(); the latest kMaxKnownToFit.
  place::Packing packing_;
};

/// Times within +-2^52 ms (140,000 years): sums of a few cannot overflow.
constexpr bool is_sane_time(TimeMs time_ms) {
  return time_ms >= -(std::int64_t{1} << 52) && time_ms <= (std::int64_t{1} << 52);
}

/// Equal but for what changes while a node lives: its state and the health of its cards.
bool same_declaration(const model::Node& a, const model::Node& b);

/// All dependencies of the job have ended. (Those that had to succeed and did not have ended the job too.)
bool dependencies_met(const State& state, const JobRequest& request);

/// When the job wants the core's attention: backoff over, start deadline, time limit.
std::optional<TimeMs> timer_of(const Policy& policy, const JobRecord& record, TimeMs now_ms);

/// Until when the job, which holds cards, may not be evicted.
TimeMs protected_until(const Policy& policy, const JobRecord& record);
/// When that matters next to those who wait: the job may be evicted, or (one that was) may yield again.
std::optional<TimeMs> protection_of(const Policy& policy, const JobRecord& record, TimeMs now_ms);

/// Its times are within reason.
bool is_sane(const Policy& policy);

/// What a card of the chip counts in use over time, in thousandths.
std::int64_t chip_weight(const Policy& policy, std::string_view chip);

/// All queues, by name.
std::vector<model::Queue> queues_of(const State& state);

/// What other jobs may name in `avoid` to keep away from this one.
std::vector<std::string> tags_of(const JobRequest& request);

/// A job that was backfilled on that condition makes room for promised jobs that it passed: all but those of its own
/// queue that are behind it.
bool yields_to(const JobRecord& record, const JobRecord& promised);

/// On its cards, in all attempts so far.
std::int64_t served_ms(const JobRecord& record, TimeMs now_ms);
/// It runs with fewer tasks than it would take and may go on with more; one that never saved would begin again, unless
/// it is live.
bool is_growable(const JobRecord& record);
/// The tasks that are being stopped while the others go on; nullptr: none.
std::shared_ptr<const Granted> leaving_of(const JobRecord& record);

/// Its nodes exist, in rising order, and its time makes sense.
bool is_possible(const State& state, const Booking& booking);

std::uint64_t hash_job(const JobRecord& record);
std::uint64_t hash_request(const JobRequest& request);
std::uint64_t hash_granted(const Granted& granted);
std::uint64_t hash_node(const model::Node& node);
std::uint64_t hash_run_times(const std::string& queue, const RunTimes& times);
std::uint64_t hash_reservation(const model::Reservation& reservation);
std::uint64_t hash_queue(const model::Queue& queue, const fairshare::History& history);
std::uint64_t hash_outcome(model::JobId id, const Outcome& outcome);

std::shared_ptr<const Submitted> make_submitted(JobRequest request);
std::shared_ptr<const Granted> make_granted(model::Placement placement, std::string reason);
std::shared_ptr<const Kept> make_kept(model::Placement held, TimeMs until_ms, std::uint32_t gang_tasks);
/// Ranks ascend and are those of a gang of `gang_tasks`, of which at least one is missing.
bool holds_ranks_of_a_gang(const Kept& kept);

}  // namespace busbar::sched::internal
