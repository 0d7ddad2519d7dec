#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/units.h"
#include "model/cluster.h"
#include "model/ids.h"
#include "model/job.h"
#include "model/reservation.h"
#include "sched/policy.h"

namespace busbar::sched {

/// What the core needs to know of a job. `launch` and `control` keep the rest.
struct JobRequest {
  model::JobId id = {};
  std::string name = {};
  std::string queue = "default";
  std::string user = {};
  std::int32_t priority = 0;
  std::uint32_t min_nodes = 1;
  std::uint32_t max_nodes = 1;
  /// Alternatives in order of preference; one with chip "" means any accelerator; empty: no cards.
  std::vector<model::AcceleratorRequest> accelerators = {};
  MilliCpus cpus = {};  ///< Per task.
  Bytes memory = {};    ///< Per task.
  model::TopologyRequest topology = {};
  std::int64_t time_limit_ms = 0;
  model::RestartPolicy restart = {};
  /// The array that it is a member of; members start at most `group_parallel` at once (0: no bound).
  model::JobId group = {};
  std::uint32_t group_parallel = 0;
  struct Dependency {
    model::JobId job = {};
    bool must_succeed = true;
    friend bool operator==(const Dependency&, const Dependency&) = default;
  };
  std::vector<Dependency> after = {};
  /// Accept a job that does not fit the declared cluster: it waits as kBlocked. Otherwise it is refused.
  bool may_wait_infeasible = false;
  /// The core may stop it for a job that is entitled to its cards. False: it may not borrow.
  bool is_preemptible = true;
  std::int64_t min_run_time_ms = 0;      ///< Not evicted so soon after it started; bounded by its queue.
  std::int64_t checkpoint_every_ms = 0;  ///< How often it says that it saves; 0: it does not say.
  /// Gang sizes it accepts, ascending, from `min_nodes` to `max_nodes`; empty: all between.
  std::vector<std::uint32_t> sizes = {};
  std::uint32_t max_tasks_per_node = 0;  ///< 0: as many as fit.
  std::vector<std::pair<std::string, std::string>> labels = {};
  /// Tags of jobs never to share a node with, nor they with this one: "label:KEY=VALUE", "name:NAME", "group:ARRAY".
  std::vector<std::string> avoid = {};
  /// Takes tasks in and lets the last ones go while it runs: a resize of it is no stop. Task 0 leads: it ends the gang.
  bool is_live = false;
  friend bool operator==(const JobRequest&, const JobRequest&) = default;
};

// Events: facts from outside. All carry only integers and text.
struct NodeJoined {
  model::Node node = {};
  friend bool operator==(const NodeJoined&, const NodeJoined&) = default;
};
/// `state` says what became of it: kReady (returned), kDrained (no new work), kUnreachable (cards unusable until it is
/// fenced or returns), kFailed (its tasks are gone).
struct NodeStateChanged {
  model::NodeId node = {};
  model::NodeState state = model::NodeState::kReady;
  friend bool operator==(const NodeStateChanged&, const NodeStateChanged&) = default;
};
struct CardHealthChanged {
  model::CardRef card = {};
  model::CardHealth health = model::CardHealth::kHealthy;
  friend bool operator==(const CardHealthChanged&, const CardHealthChanged&) = default;
};
struct JobSubmitted {
  JobRequest job = {};
  friend bool operator==(const JobSubmitted&, const JobSubmitted&) = default;
};
struct JobCancelled {
  model::JobId job = {};
  friend bool operator==(const JobCancelled&, const JobCancelled&) = default;
};
/// Every container of the gang exists and waits at the barrier.
struct GangReady {
  model::AttemptId attempt = {};
  friend bool operator==(const GangReady&, const GangReady&) = default;
};
/// The gang was released from the barrier: user code runs from here; the time limit counts from here.
struct GangStarted {
  model::AttemptId attempt = {};
  friend bool operator==(const GangStarted&, const GangStarted&) = default;
};
/// One task is over. The core ends the rest of the gang when the class or the launcher says so (`ends_gang`).
struct TaskExited {
  model::TaskId task = {};
  model::ExitClass exit_class = model::ExitClass::kSuccess;
  std::int32_t exit_code = 0;  ///< 128 + signal where a signal ended it.
  bool ends_gang = false;      ///< The leader of an mpirun gang is done: the others are only hosts.
  friend bool operator==(const TaskExited&, const TaskExited&) = default;
};
/// The engine confirms that nothing of the attempt is left: its cards are free now.
struct GangGone {
  model::AttemptId attempt = {};
  friend bool operator==(const GangGone&, const GangGone&) = default;
};
/// The engine confirms that nothing is left of the tasks that a Shrink stopped: their cards are free now.
struct TasksGone {
  model::AttemptId attempt = {};
  std::uint32_t kept = 0;  ///< How many tasks go on, as the Shrink said.
  friend bool operator==(const TasksGone&, const TasksGone&) = default;
};
struct CheckpointReached {
  model::AttemptId attempt = {};
  friend bool operator==(const CheckpointReached&, const CheckpointReached&) = default;
};
/// A queue is made or changed. It must leave the tree valid, and a queue above others has no jobs of its own.
struct QueueChanged {
  model::Queue queue = {};
  friend bool operator==(const QueueChanged&, const QueueChanged&) = default;
};
/// Nodes are kept for some jobs during a window; replaces one of the same name. It goes by itself when the window is
/// over.
struct ReservationMade {
  model::Reservation reservation = {};
  friend bool operator==(const ReservationMade&, const ReservationMade&) = default;
};
struct ReservationCancelled {
  std::string name = {};
  friend bool operator==(const ReservationCancelled&, const ReservationCancelled&) = default;
};
/// Time went by; asked for through Core::next_wakeup().
struct Tick {
  friend bool operator==(const Tick&, const Tick&) = default;
};

/// From now on these are the site's rules. What was decided stays.
struct PolicyChanged {
  Policy policy = {};
  friend bool operator==(const PolicyChanged&, const PolicyChanged&) = default;
};

using EventBody = std::variant<NodeJoined, NodeStateChanged, CardHealthChanged, JobSubmitted, JobCancelled, GangReady,
                               GangStarted, TaskExited, GangGone, CheckpointReached, QueueChanged, Tick,
                               ReservationMade, ReservationCancelled, PolicyChanged, TasksGone>;

/// `actor` (user or "engine", "server") and `request_id` are for the record; they change no decision.
struct Event {
  TimeMs time_ms = 0;
  EventBody body = Tick{};
  std::string actor = {};
  std::string request_id = {};
  friend bool operator==(const Event&, const Event&) = default;
};

// Decisions: what the host must carry out or record.
/// Start this attempt on these cards.
struct Place {
  model::AttemptId attempt = {};
  model::Placement placement = {};
  std::string reason = {};
  /// It would delay jobs that are promised a start, and so makes room for them: they may take its cards.
  bool yields = false;
  friend bool operator==(const Place&, const Place&) = default;
};
enum class StopReason {
  kCancelled,
  kTimeLimit,
  kPreempted,  ///< For another job; with a claim of its own it goes on with fewer tasks.
  kTaskFailed,
  kLeaderDone,
  kNodeLost,
  kStartDeadline,
  kResized,  ///< It goes on with more tasks: a Claim says where.
  kMoved,    ///< It goes on elsewhere: a Claim says where.
};
/// Stop what is left of the attempt (with its grace); GangGone must follow.
struct Stop {
  model::AttemptId attempt = {};
  StopReason reason = StopReason::kCancelled;
  std::string detail = {};  ///< For kPreempted, kResized and kMoved: for whom and why.
  friend bool operator==(const Stop&, const Stop&) = default;
};
/// The job goes back to the queue for another attempt, not before `not_before_ms`. After a failure of the platform the
/// cards of the tasks that did not fail may stay with it, so that only what was lost needs a replacement.
struct Requeue {
  model::JobId job = {};
  model::ExitClass because = model::ExitClass::kInfrastructure;
  TimeMs not_before_ms = 0;
  TimeMs hold_until_ms = 0;                  ///< 0: nothing is held.
  model::Placement held = {};                ///< Tasks that keep node, cards and rank, in rank order.
  std::uint32_t gang_tasks = 0;              ///< Of the attempt that ended; those not in `held` are replaced.
  std::vector<model::NodeId> excluded = {};  ///< Where this job is not to go again, ascending.
  friend bool operator==(const Requeue&, const Requeue&) = default;
};
/// The job is over.
struct Finish {
  model::JobId job = {};
  model::JobState state = model::JobState::kSucceeded;  ///< kSucceeded, kFailed or kCancelled.
  model::ExitClass exit_class = model::ExitClass::kSuccess;
  std::int32_t exit_code = 0;
  std::string reason = {};
  friend bool operator==(const Finish&, const Finish&) = default;
};
/// The submission is not accepted. kInfeasible with proof, kInvalidArgument, kAlreadyExists.
struct Refuse {
  model::JobId job = {};
  ErrorCode code = ErrorCode::kInfeasible;
  std::string reason = {};
  friend bool operator==(const Refuse&, const Refuse&) = default;
};
/// An accepted job cannot (`is_blocked`) or can again run on the declared cluster.
struct Block {
  model::JobId job = {};
  bool is_blocked = true;
  std::string reason = {};
  friend bool operator==(const Block&, const Block&) = default;
};

/// Cards that are being freed for a waiting job, or for one that is stopped only to go on there, and that nobody else
/// gets; it starts there as soon as all are free. No tasks: it gives them up.
struct Claim {
  model::JobId job = {};
  model::Placement placement = {};
  TimeMs until_ms = 0;  ///< When it gives up by itself.
  std::string reason = {};
  friend bool operator==(const Claim&, const Claim&) = default;
};

/// No replacement was found in time: the held cards are free, and the job starts anywhere it fits.
struct EndHold {
  model::JobId job = {};
  friend bool operator==(const EndHold&, const EndHold&) = default;
};

/// A waiting job is promised a start: jobs behind it start in the domain of `level` around these nodes only if they do
/// not delay it. No nodes: the promise is withdrawn.
struct Reserve {
  model::JobId job = {};
  std::vector<model::NodeId> nodes = {};  ///< Where it is planned, ascending.
  std::uint32_t level = 0;                ///< 1 leaf, 2 spine, ..., above the fabric's levels: the cluster.
  TimeMs start_ms = 0;                    ///< At the latest, absent failures; 0: not known.
  std::uint32_t slips = 0;                ///< How often an earlier start was missed.
  friend bool operator==(const Reserve&, const Reserve&) = default;
};

/// A live gang that runs gets more tasks: these, with the ranks after those it has, which stay as they are.
struct Extend {
  model::AttemptId attempt = {};
  model::Placement added = {};
  std::string reason = {};
  friend bool operator==(const Extend&, const Extend&) = default;
};

/// A live gang goes on with its first `kept` tasks: the others are stopped (with its grace); TasksGone must follow.
struct Shrink {
  model::AttemptId attempt = {};
  std::uint32_t kept = 0;
  std::string reason = {};  ///< For whom and why.
  friend bool operator==(const Shrink&, const Shrink&) = default;
};

using Decision = std::variant<Place, Stop, Requeue, Finish, Refuse, Block, Claim, EndHold, Reserve, Extend, Shrink>;

}  // namespace busbar::sched
