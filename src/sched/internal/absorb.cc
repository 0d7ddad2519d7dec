#include <algorithm>
#include <functional>
#include <string>
#include <variant>

#include <fmt/format.h>

#include "base/check.h"
#include "sched/internal/step.h"

namespace busbar::sched::internal {
namespace {

constexpr std::size_t kMaxCardsPerNode = 4096;

Result<void> check_job_id(const State& state, model::JobId id) {
  if (state.jobs().contains(id)) {
    return {};
  }
  if (state.outcomes().contains(id)) {
    return make_error(ErrorCode::kFailedPrecondition, fmt::format("job {} is over", id.value));
  }
  return make_error(ErrorCode::kNotFound, fmt::format("no job {}", id.value));
}

// The attempt holds cards, so the engine may report on it.
Result<void> check_attempt(const State& state, const model::AttemptId& attempt) {
  TRY(check_job_id(state, attempt.job));
  const JobRecord& record = *state.jobs().find(attempt.job);
  if (record.granted == nullptr || record.attempt != attempt.number) {
    return make_error(
        ErrorCode::kFailedPrecondition,
        fmt::format("attempt {} is not current; job {} {}", attempt.to_string(), attempt.job.value,
                    record.granted ? fmt::format("runs as attempt {}", record.attempt) : "holds no cards"));
  }
  return {};
}

struct EventChecker {
  const State& state;
  TimeMs time_ms = 0;

  Result<void> operator()(const NodeJoined& e) const {
    if (!e.node.id.is_valid() || e.node.cards.size() > kMaxCardsPerNode || e.node.cpus.value < 0 ||
        e.node.memory.value < 0) {
      return make_error(
          ErrorCode::kInvalidArgument,
          fmt::format("node \"{}\" needs an id, at most {} cards, and CPU and memory that are not negative",
                      e.node.name, kMaxCardsPerNode));
    }
    for (std::size_t i = 0; i < e.node.cards.size(); ++i) {
      if (e.node.cards[i].index != i || e.node.cards[i].chip.empty()) {
        return make_error(ErrorCode::kInvalidArgument,
                          fmt::format("card {} of node \"{}\" needs index {} and a chip", i, e.node.name, i));
      }
    }
    return check_cards_in_use(e.node);
  }

  // A card that a task holds cannot vanish or change its chip by a new declaration: that is a failed node.
  Result<void> check_cards_in_use(const model::Node& node) const {
    const NodeEntry* before = state.nodes().find(node.id);
    if (before == nullptr) {
      return {};
    }
    const auto cards = state.free_map().cards_of(*state.free_map().find_node(node.id));
    for (std::size_t i = 0; i < cards.size(); ++i) {
      if (cards[i].used > 0 && (i >= node.cards.size() || node.cards[i].chip != before->node->cards[i].chip)) {
        return make_error(
            ErrorCode::kFailedPrecondition,
            fmt::format("card {} of node \"{}\" is in use; fail the node before declaring it without the card", i,
                        node.name));
      }
    }
    return {};
  }

  Result<void> operator()(const NodeStateChanged& e) const { return check_node(e.node); }
  Result<void> operator()(const CardHealthChanged& e) const {
    TRY(check_node(e.card.node));
    if (e.card.index >= state.nodes().find(e.card.node)->node->cards.size()) {
      return make_error(ErrorCode::kNotFound, fmt::format("node {} has no card {}", e.card.node.value, e.card.index));
    }
    return {};
  }
  Result<void> check_node(model::NodeId id) const {
    return state.nodes().contains(id) ? Result<void>{}
                                      : make_error(ErrorCode::kNotFound, fmt::format("no node {}", id.value));
  }

  Result<void> operator()(const JobSubmitted& e) const {
    if (!e.job.id.is_valid()) {
      return make_error(ErrorCode::kInvalidArgument, "a job needs an id other than 0");
    }
    if (state.jobs().contains(e.job.id) || state.outcomes().contains(e.job.id)) {
      return make_error(ErrorCode::kAlreadyExists, fmt::format("job {} was submitted before", e.job.id.value));
    }
    return {};
  }
  Result<void> operator()(const JobCancelled& e) const { return check_job_id(state, e.job); }
  Result<void> operator()(const GangReady& e) const { return check_attempt(state, e.attempt); }
  Result<void> operator()(const GangStarted& e) const {
    TRY(check_attempt(state, e.attempt));
    if (state.jobs().find(e.attempt.job)->started_ms != 0) {
      return make_error(ErrorCode::kFailedPrecondition,
                        fmt::format("attempt {} has started before", e.attempt.to_string()));
    }
    return {};
  }
  Result<void> operator()(const TaskExited& e) const {
    TRY(check_attempt(state, e.task.attempt));
    const JobRecord& record = *state.jobs().find(e.task.attempt.job);
    if (e.task.rank >= record.exited.size()) {
      return make_error(ErrorCode::kNotFound, fmt::format("no task {}", e.task.to_string()));
    }
    if (record.exited[e.task.rank] != 0) {
      return make_error(ErrorCode::kFailedPrecondition, fmt::format("task {} has exited before", e.task.to_string()));
    }
    return {};
  }
  Result<void> operator()(const GangGone& e) const { return check_attempt(state, e.attempt); }
  Result<void> operator()(const CheckpointReached& e) const { return check_attempt(state, e.attempt); }
  Result<void> operator()(const TasksGone& e) const {
    TRY(check_attempt(state, e.attempt));
    const JobRecord& record = *state.jobs().find(e.attempt.job);
    return record.staying == e.kept && e.kept > 0
               ? Result<void>{}
               : make_error(ErrorCode::kFailedPrecondition,
                            fmt::format("attempt {} is not giving up tasks down to {}", e.attempt.to_string(), e.kept));
  }
  Result<void> operator()(const QueueChanged& e) const {
    if (e.queue.name.empty()) {
      return make_error(ErrorCode::kInvalidArgument, "a queue needs a name");
    }
    TRY(model::validate_amounts(e.queue));
    std::vector<model::Queue> queues = queues_of(state);
    const auto at =
        std::lower_bound(queues.begin(), queues.end(), e.queue.name,
                         [](const model::Queue& queue, const std::string& name) { return queue.name < name; });
    if (at != queues.end() && at->name == e.queue.name) {
      *at = e.queue;
    } else {
      queues.insert(at, e.queue);
    }
    TRY(model::validate_tree(queues));
    return check_parent_is_idle(e.queue);
  }
  // Jobs are in leaves only.
  Result<void> check_parent_is_idle(const model::Queue& queue) const {
    const QueueEntry* parent = queue.parent.empty() ? nullptr : state.queues().find(queue.parent);
    const std::uint32_t jobs = parent == nullptr ? 0 : parent->account.waiting + parent->account.holding;
    return jobs == 0 ? Result<void>{}
                     : make_error(ErrorCode::kFailedPrecondition,
                                  fmt::format("queue \"{}\" has {} jobs of its own, so no queue can be below it; wait "
                                              "until they are over, or choose another parent",
                                              queue.parent, jobs));
  }
  Result<void> operator()(const Tick&) const { return {}; }
  Result<void> operator()(const ReservationMade& e) const {
    const model::Reservation& made = e.reservation;
    const TimeMs now_ms = std::max(state.now_ms(), time_ms);
    if (made.name.empty() || made.nodes.empty() ||
        std::adjacent_find(made.nodes.begin(), made.nodes.end(), std::greater_equal<>()) != made.nodes.end()) {
      return make_error(ErrorCode::kInvalidArgument, "a reservation needs a name, and nodes in rising order");
    }
    if (!is_sane_time(made.from_ms) || !is_sane_time(made.until_ms) || made.until_ms <= made.from_ms ||
        made.until_ms <= now_ms) {
      return make_error(ErrorCode::kInvalidArgument,
                        fmt::format("reservation \"{}\" must end after it begins, and not in the past", made.name));
    }
    for (const model::NodeId node : made.nodes) {
      TRY(check_node(node));
    }
    return {};
  }
  Result<void> operator()(const ReservationCancelled& e) const {
    return state.reservations().contains(e.name)
               ? Result<void>{}
               : make_error(ErrorCode::kNotFound, fmt::format("no reservation \"{}\"", e.name));
  }
  Result<void> operator()(const PolicyChanged& e) const {
    return is_sane(e.policy)
               ? Result<void>{}
               : make_error(ErrorCode::kInvalidArgument, "a time or weight of the policy is out of range");
  }
};

void note_exit(JobRecord& record, const TaskExited& e) {
  record.exited[e.task.rank] = 1;
  if (e.task.rank >= record.going_on()) {
    return;  // It was told to leave; the gang goes on without it.
  }
  const bool is_success = e.exit_class == model::ExitClass::kSuccess;
  if (record.stop.has_value()) {
    // What we stopped ends with codes of our making: they say nothing about the job.
    record.stopped_code = record.stopped_code == 0 ? e.exit_code : record.stopped_code;
    return;
  }
  if (!is_success && !record.failure.has_value()) {
    record.failure = Failure{.rank = e.task.rank, .exit_class = e.exit_class, .exit_code = e.exit_code};
  }
  record.has_succeeded =
      record.has_succeeded || (is_success && !record.failure.has_value() && (e.ends_gang || record.alive() == 0));
}

struct Absorber {
  State& state;

  JobRecord copy_of(model::JobId id) const { return *state.jobs().find(id); }

  bool operator()(const NodeJoined& e) const {
    state.put_node(e.node);
    return true;
  }
  bool operator()(const NodeStateChanged& e) const {
    model::Node node = *state.nodes().find(e.node)->node;
    node.state = e.state;
    state.put_node(std::move(node));
    if (e.state == model::NodeState::kFailed) {
      lose_tasks_on(e.node);
      lose_kept_on(e.node);
    }
    return true;
  }
  bool operator()(const CardHealthChanged& e) const {
    model::Node node = *state.nodes().find(e.card.node)->node;
    node.cards[e.card.index].health = e.health;
    state.put_node(std::move(node));
    return true;
  }
  bool operator()(const JobSubmitted& e) const {
    state.note_submission(e.job);
    state.put_job({.submitted = make_submitted(e.job), .submitted_ms = state.now_ms()});
    return true;
  }
  bool operator()(const JobCancelled& e) const {
    JobRecord record = copy_of(e.job);
    record.is_cancelled = true;
    state.put_job(std::move(record));
    return true;
  }
  bool operator()(const GangReady& e) const {
    JobRecord record = copy_of(e.attempt.job);
    record.is_ready = true;
    state.put_job(std::move(record));
    return false;
  }
  bool operator()(const GangStarted& e) const {
    JobRecord record = copy_of(e.attempt.job);
    record.started_ms = std::max<TimeMs>(state.now_ms(), 1);
    if (record.state == model::JobState::kStarting) {
      record.state = model::JobState::kRunning;
    }
    state.put_job(std::move(record));
    // A live gang need not wait for a checkpoint.
    return state.growable().contains(e.attempt.job);
  }
  bool operator()(const TaskExited& e) const {
    JobRecord record = copy_of(e.task.attempt.job);
    note_exit(record, e);
    state.put_job(std::move(record));
    return false;
  }
  bool operator()(const GangGone& e) const {
    JobRecord record = copy_of(e.attempt.job);
    note_run_time(record);
    record.served_ms += record.started_ms > 0 ? state.now_ms() - record.started_ms : 0;
    record.granted.reset();
    record.staying = 0;
    record.is_gone = true;
    record.state = model::JobState::kStopping;
    state.put_job(std::move(record));
    return true;
  }
  bool operator()(const TasksGone& e) const {
    JobRecord record = copy_of(e.attempt.job);
    model::Placement kept = record.granted->placement;
    kept.tasks.resize(e.kept);
    record.granted = make_granted(std::move(kept), record.granted->reason);
    record.exited.resize(e.kept);
    record.staying = 0;
    state.put_job(std::move(record));
    return true;
  }
  bool operator()(const CheckpointReached& e) const {
    // Work was saved, so what failed before does not count as "in a row" any more.
    JobRecord record = copy_of(e.attempt.job);
    record.infrastructure_in_row = 0;
    record.saved_ms = std::max<TimeMs>(state.now_ms(), 1);
    state.put_job(std::move(record));
    // There is no better time to stop it for its own good.
    return state.growable().contains(e.attempt.job);
  }
  bool operator()(const QueueChanged& e) const {
    state.put_queue(e.queue);
    return true;
  }
  // Only what is due wakes jobs: a tick that nobody asked for must change no decision.
  bool operator()(const Tick&) const { return false; }
  bool operator()(const ReservationMade& e) const {
    state.put_reservation(e.reservation);
    return true;
  }
  bool operator()(const ReservationCancelled& e) const {
    // Over since the last event: then it is gone already.
    if (state.reservations().contains(e.name)) {
      state.erase_reservation(e.name);
    }
    return true;
  }

  bool operator()(const PolicyChanged& e) const {
    state.set_policy(e.policy);
    return true;
  }

  // Of an attempt that ended of its own accord: how long jobs of this queue run.
  void note_run_time(const JobRecord& record) const {
    const bool is_own_end = record.has_succeeded || (record.failure.has_value() &&
                                                     record.failure->exit_class != model::ExitClass::kInfrastructure);
    if (record.started_ms == 0 || !is_own_end) {
      return;
    }
    const std::string& queue = record.request().queue;
    const RunTimes* before = state.run_times().find(queue);
    RunTimes times = before == nullptr ? RunTimes{} : *before;
    const std::int64_t limit_ms = record.request().time_limit_ms;
    const std::int64_t ran_ms = state.now_ms() - record.started_ms;
    std::vector<std::uint32_t>& values = limit_ms > 0 ? times.permille : times.seconds;
    const std::int64_t value = limit_ms > 0 ? ran_ms / std::max<std::int64_t>(limit_ms / 1000, 1) : ran_ms / 1000;
    values.push_back(static_cast<std::uint32_t>(std::clamp<std::int64_t>(value, 0, UINT32_MAX)));
    if (values.size() > kMaxRunTimes) {
      values.erase(values.begin());
    }
    state.put_run_times(queue, std::move(times));
  }

  void lose_kept_on(model::NodeId node) const {
    std::vector<model::JobId> holders;
    for (const auto& [id, version] : state.kept()) {
      holders.push_back(id);
    }
    for (const model::JobId id : holders) {
      JobRecord record = copy_of(id);
      model::Placement kept = record.kept->granted.placement;
      std::erase_if(kept.tasks, [&](const model::TaskPlacement& task) { return task.node == node; });
      if (kept.tasks.size() != record.kept->granted.placement.tasks.size()) {
        record.kept =
            kept.tasks.empty() ? nullptr : make_kept(std::move(kept), record.kept->until_ms, record.kept->gang_tasks);
        record.yields = record.yields && record.kept != nullptr;
        state.put_job(std::move(record));
      }
    }
  }

  void lose_tasks_on(model::NodeId node) const {
    std::vector<model::JobId> live;
    for (const auto& [id, nothing] : state.live()) {
      live.push_back(id);
    }
    for (const model::JobId id : live) {
      const JobRecord& record = *state.jobs().find(id);
      JobRecord changed = record;
      for (const model::TaskPlacement& task : record.granted->placement.tasks) {
        if (task.node == node && record.exited[task.rank] == 0) {
          note_exit(changed, {.task = {.attempt = record.attempt_id(), .rank = task.rank},
                              .exit_class = model::ExitClass::kInfrastructure});
        }
      }
      if (changed.exited != record.exited) {
        state.put_job(std::move(changed));
      }
    }
  }
};

}  // namespace

Result<void> check_event(const State& state, const Event& event) {
  if (!is_sane_time(event.time_ms)) {
    return make_error(ErrorCode::kInvalidArgument, fmt::format("event time {} ms is out of range", event.time_ms));
  }
  return std::visit(EventChecker{state, event.time_ms}, event.body);
}

bool absorb(State& state, const Event& event) {
  const bool has_woken = state.set_now(std::max(state.now_ms(), event.time_ms));
  return std::visit(Absorber{state}, event.body) || has_woken;
}

}  // namespace busbar::sched::internal
