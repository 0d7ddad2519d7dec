#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "sched/journal.h"
#include "sched/random_stream.h"

namespace busbar::sched {
namespace {

using model::NodeState;
using testing::RandomStream;

constexpr int kEvents = 120;

Event joined(model::Node node) {
  return {.time_ms = 1, .body = NodeJoined{.node = std::move(node)}};
}

// Half of the worlds are such that gangs grow often, half of those learn whom to serve first.
Policy policy_of(std::uint64_t seed) {
  if (seed % 2 == 0) return {};
  return {.eviction_interval_ms = 1'000,
          .restart_cost_ms = 0,
          .live_resize_cost_ms = 0,
          .live_resize_interval_ms = 100,
          .order = seed % 4 == 1 ? Order::kLearned : Order::kAge,
          .max_moves_per_hour = 5};
}

/// One core under a random stream; every decision is checked when it is made.
struct Player {
  explicit Player(std::uint64_t seed) : core(policy_of(seed)), stream(seed) {
    for (model::Node& node : stream.first_nodes()) {
      apply(joined(std::move(node)));
    }
  }

  std::vector<Decision> apply(const Event& event) {
    auto decisions = core.apply(event);
    RC_ASSERT(decisions.has_value());
    stream.note(*decisions);
    return *std::move(decisions);
  }
  std::vector<Decision> step() { return apply(stream.next(core)); }

  Core core;
  RandomStream stream;
};

void check_placement(const Core& core, const JobView& job) {
  const model::Placement& placement = *job.placement;
  RC_ASSERT(placement.tasks.size() >= job.request.min_nodes);
  RC_ASSERT(placement.tasks.size() <= job.request.max_nodes);
  const auto& sizes = job.request.sizes;
  RC_ASSERT(sizes.empty() || std::find(sizes.begin(), sizes.end(), placement.tasks.size()) != sizes.end());
  std::map<model::NodeId, std::uint32_t> per_node;
  for (const model::TaskPlacement& task : placement.tasks) {
    const std::uint32_t here = ++per_node[task.node];
    RC_ASSERT(job.request.max_tasks_per_node == 0 || here <= job.request.max_tasks_per_node);
  }
  for (std::size_t i = 0; i < placement.tasks.size(); ++i) {
    RC_ASSERT(placement.tasks[i].rank == i);
    const model::Node& node = *core.find_node(placement.tasks[i].node);
    for (const std::uint16_t card : placement.tasks[i].cards) {
      RC_ASSERT(node.cards[card].chip == placement.chip);
    }
  }
}

std::vector<model::TaskPlacement> tasks_of(const JobView& job) {
  return job.placement.has_value() ? job.placement->tasks
         : job.held.has_value()    ? job.held->tasks
                                   : std::vector<model::TaskPlacement>{};
}

std::set<std::string> tags_of(const JobRequest& request) {
  std::set<std::string> tags = {"name:" + request.name, fmt::format("group:{}", request.group.value)};
  for (const auto& [key, value] : request.labels) {
    tags.insert("label:" + key + "=" + value);
  }
  return tags;
}

bool avoids(const JobRequest& one, const JobRequest& other) {
  const std::set<std::string> tags = tags_of(other);
  return std::any_of(one.avoid.begin(), one.avoid.end(), [&](const std::string& tag) { return tags.contains(tag); });
}

// Jobs that keep apart share no node; what is held between two attempts counts as there.
void check_apart(const Core& core) {
  for (const model::JobId a : core.jobs()) {
    const JobView one = *core.find_job(a);
    if (one.request.avoid.empty()) continue;
    for (const model::JobId b : core.jobs()) {
      const JobView other = *core.find_job(b);
      if (a == b || !avoids(one.request, other.request)) continue;
      for (const model::TaskPlacement& mine : tasks_of(one)) {
        for (const model::TaskPlacement& theirs : tasks_of(other)) {
          RC_ASSERT(mine.node != theirs.node);
        }
      }
    }
  }
}

// What the live placements and holds add up to is what the core says is in use, and no more than there is.
void check_resources(const Core& core) {
  std::map<model::CardRef, std::int64_t> cards;
  std::map<model::NodeId, std::int64_t> cpus;
  std::map<model::NodeId, std::int64_t> memory;
  for (const model::JobId id : core.jobs()) {
    const JobView job = *core.find_job(id);
    RC_ASSERT(!job.placement.has_value() || !job.held.has_value());
    if (job.placement.has_value()) check_placement(core, job);
    if (job.held.has_value()) {
      RC_ASSERT(job.state == model::JobState::kQueued);
      RC_ASSERT(job.hold_until_ms > core.now_ms());
    }
    for (const model::TaskPlacement& task : tasks_of(job)) {
      cpus[task.node] += task.cpus.value;
      memory[task.node] += task.memory.value;
      for (const std::uint16_t card : task.cards) {
        cards[{.node = task.node, .index = card}] += task.per_card.value;
      }
    }
  }
  for (const model::NodeId id : core.nodes()) {
    const model::Node& node = *core.find_node(id);
    const auto used = core.used_on(id);
    RC_ASSERT(used.size() == node.cards.size());
    for (std::uint16_t i = 0; i < used.size(); ++i) {
      const model::CardRef card = {.node = id, .index = i};
      RC_ASSERT(used[i].value == cards[card]);
      RC_ASSERT(used[i].value <= 1000);
    }
    const auto cpu_cards =
        std::count_if(node.cards.begin(), node.cards.end(), [](const auto& c) { return c.chip == "cpu"; });
    RC_ASSERT(node.cpus.value == 0 || cpus[id] <= std::max<std::int64_t>(node.cpus.value, cpu_cards * 1000));
    RC_ASSERT(node.memory.value == 0 || memory[id] <= node.memory.value);
  }
}

std::int64_t milli_cards_of(const model::Placement& placement) {
  std::int64_t milli = 0;
  for (const model::TaskPlacement& task : placement.tasks) {
    milli += static_cast<std::int64_t>(task.cards.size()) * task.per_card.value;
  }
  return milli;
}

// Added up anew from the live jobs: every limit above the job, and, if it may not be evicted, its queue's guarantee.
void check_quota(const Core& core, const JobView& started) {
  const std::string& chip = started.placement->chip;
  if (chip.empty()) return;
  std::map<std::string, model::Queue> queues;
  bool has_guarantees = false;
  for (const model::Queue& queue : core.queues()) {
    queues[queue.name] = queue;
    has_guarantees = has_guarantees || queue.guarantee.is_given();
  }
  std::map<std::string, std::int64_t> all;
  std::map<std::string, std::int64_t> of_chip;
  std::int64_t fixed = 0;
  for (const model::JobId id : core.jobs()) {
    const JobView job = *core.find_job(id);
    if (!job.placement.has_value()) continue;
    const std::int64_t milli = milli_cards_of(*job.placement);
    if (!job.request.is_preemptible && job.request.queue == started.request.queue) fixed += milli;
    for (std::string name = job.request.queue; !name.empty(); name = queues[name].parent) {
      all[name] += milli;
      of_chip[name] += job.placement->chip == chip ? milli : 0;
    }
  }
  for (std::string name = started.request.queue; !name.empty(); name = queues[name].parent) {
    const model::CardAmounts& limit = queues[name].limit;
    RC_ASSERT(limit.all.value < 0 || all[name] <= limit.all.value);
    RC_ASSERT(limit.of(chip).value < 0 || of_chip[name] <= limit.of(chip).value);
  }
  const model::CardAmounts& guarantee = queues[started.request.queue].guarantee;
  RC_ASSERT(started.request.is_preemptible || !has_guarantees || guarantee.all.value < 0 ||
            fixed <= guarantee.all.value);
}

// What starts on a reserved node is admitted, or sure to have ended before the window.
void check_windows(const Core& core, const JobView& started) {
  const JobRequest& request = started.request;
  const TimeMs end = core.now_ms() + core.policy().start_deadline_ms + request.time_limit_ms;
  for (const model::Reservation& reservation : core.reservations()) {
    const auto names = [](const auto& list, const auto& name) {
      return std::find(list.begin(), list.end(), name) != list.end();
    };
    if (names(reservation.users, request.user) || names(reservation.queues, request.queue)) continue;
    for (const model::TaskPlacement& task : started.placement->tasks) {
      RC_ASSERT(!names(reservation.nodes, task.node) || (request.time_limit_ms > 0 && end <= reservation.from_ms));
    }
  }
}

// When a gang starts: quota, array bound, level, and only nodes and cards in order.
void check_start(const Core& core, const Place& place) {
  const JobView started = *core.find_job(place.attempt.job);
  std::uint32_t group_running = 0;
  for (const model::JobId id : core.jobs()) {
    const JobView job = *core.find_job(id);
    if (!job.placement.has_value() && !job.held.has_value()) continue;
    group_running += job.request.group == started.request.group ? 1 : 0;
  }
  check_quota(core, started);
  RC_ASSERT(!started.request.group.is_valid() || group_running <= started.request.group_parallel);
  std::set<model::NodeId> nodes;
  std::set<std::vector<std::string>> leaves;
  for (const model::TaskPlacement& task : place.placement.tasks) {
    const model::Node& node = *core.find_node(task.node);
    nodes.insert(node.id);
    leaves.insert(node.fabric);
    RC_ASSERT(node.state == NodeState::kReady);
    for (const std::uint16_t card : task.cards) {
      RC_ASSERT(node.cards[card].health == model::CardHealth::kHealthy);
    }
  }
  check_windows(core, started);
  const model::TopologyRequest& topology = started.request.topology;
  if (topology.mode == model::TopologyRequest::Mode::kRequired) {
    RC_ASSERT(topology.level != "node" || nodes.size() == 1);
    RC_ASSERT(topology.level != "leaf" || leaves.size() == 1);
  }
}

// A property over streams that never get anywhere would prove nothing.
TEST(RandomStream, ReachesEveryKindOfDecision) {
  std::map<std::size_t, int> seen;
  std::map<StopReason, int> stops;
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    Player run(seed);
    for (int i = 0; i < kEvents; ++i) {
      for (const Decision& decision : run.step()) {
        ++seen[decision.index()];
        if (const Stop* stop = std::get_if<Stop>(&decision)) ++stops[stop->reason];
      }
    }
  }
  EXPECT_EQ(seen.size(), std::variant_size_v<Decision>);
  EXPECT_GT(seen[0], 200) << "places";
  for (const StopReason reason : {StopReason::kCancelled, StopReason::kTimeLimit, StopReason::kTaskFailed,
                                  StopReason::kLeaderDone, StopReason::kNodeLost, StopReason::kResized}) {
    EXPECT_GT(stops[reason], 0) << static_cast<int>(reason);
  }
}

// Those that it has stay as they are, and the new ones are on nodes and cards in order, within the quota.
void check_extension(const Core& before, const Core& core, const Extend& extend) {
  const JobView had = *before.find_job(extend.attempt.job);
  const JobView has = *core.find_job(extend.attempt.job);
  RC_ASSERT(has.attempt == extend.attempt);
  RC_ASSERT(has.request.is_live);
  check_quota(core, has);
  for (const model::TaskPlacement& task : extend.added.tasks) {
    const model::Node& node = *core.find_node(task.node);
    RC_ASSERT(node.state == NodeState::kReady);
    for (const std::uint16_t card : task.cards) {
      RC_ASSERT(node.cards[card].health == model::CardHealth::kHealthy);
    }
  }
  if (had.attempt != has.attempt || !had.placement.has_value()) return;
  RC_ASSERT(had.placement->tasks.size() < has.placement->tasks.size());
  RC_ASSERT(std::equal(had.placement->tasks.begin(), had.placement->tasks.end(), has.placement->tasks.begin()));
}

RC_GTEST_PROP(CoreProperty, NeverOverAllocatesAndKeepsGangsQuotasAndLevels, (std::uint64_t seed)) {
  Player run(seed);
  for (int i = 0; i < kEvents; ++i) {
    const Core before = run.core.fork();
    const auto decisions = run.step();
    check_resources(run.core);
    check_apart(run.core);
    // Places are last in a step, so all of them still hold.
    for (const Decision& decision : decisions) {
      if (const Place* place = std::get_if<Place>(&decision)) check_start(run.core, *place);
      if (const Extend* extend = std::get_if<Extend>(&decision)) check_extension(before, run.core, *extend);
    }
  }
}

RC_GTEST_PROP(CoreProperty, KeepsItsHashIncrementally, (std::uint64_t seed)) {
  Player run(seed);
  for (int i = 0; i < kEvents; ++i) {
    run.step();
    RC_ASSERT(run.core.state_hash() == run.core.recompute_hash());
  }
}

RC_GTEST_PROP(CoreProperty, RecoversTheSameStateFromRecordedDecisions, (std::uint64_t seed)) {
  Player run(seed);
  Core recovered = *Core::restore(run.core.snapshot());
  for (int i = 0; i < kEvents; ++i) {
    const Event event = run.stream.next(run.core);
    const auto decisions = run.apply(event);
    RC_ASSERT(recovered.apply_recorded(event, decisions).has_value());
    RC_ASSERT(recovered.state_hash() == run.core.state_hash());
    RC_ASSERT(recovered.next_wakeup() == run.core.next_wakeup());
  }
}

RC_GTEST_PROP(CoreProperty, BehavesTheSameAfterASnapshot, (std::uint64_t seed)) {
  Player run(seed);
  for (int i = 0; i < kEvents; ++i) {
    run.step();
  }
  auto restored = Core::restore(run.core.snapshot());
  RC_ASSERT(restored.has_value());
  RC_ASSERT(restored->state_hash() == run.core.state_hash());
  RC_ASSERT(restored->snapshot() == run.core.snapshot());
  for (int i = 0; i < kEvents; ++i) {
    const Event event = run.stream.next(run.core);
    RC_ASSERT(*restored->apply(event) == run.apply(event));
    RC_ASSERT(restored->state_hash() == run.core.state_hash());
  }
}

RC_GTEST_PROP(CoreProperty, ReplaysItsJournalIdentically, (std::uint64_t seed)) {
  Player run(seed);
  std::string file = encode_journal_header({.build_id = "test", .snapshot = run.core.snapshot()});
  for (std::uint64_t i = 1; i <= kEvents; ++i) {
    JournalRecord record = {.sequence = i, .event = run.stream.next(run.core)};
    record.decisions = run.apply(record.event);
    record.state_hash = run.core.state_hash();
    const std::string frame = encode_frame(record);
    RC_ASSERT(decode_frame(frame)->record == record);
    file += frame;
  }
  const auto report = replay_journal(file);
  RC_ASSERT(report.has_value());
  RC_ASSERT(report->is_identical);
  RC_ASSERT(report->steps == static_cast<std::uint64_t>(kEvents));
  RC_ASSERT(report->final_hash == run.core.state_hash());
}

// Added up anew from jobs and their claims; the same after a snapshot, history included.
RC_GTEST_PROP(CoreProperty, TheAccountsOfQueuesAddUp, (std::uint64_t seed)) {
  Player run(seed);
  for (int i = 0; i < kEvents; ++i) {
    run.step();
    if (i % 10 != 0) continue;
    std::map<std::string, std::map<std::string, std::int64_t>> used;
    std::map<std::string, std::uint32_t> running;
    std::map<std::string, std::string> parents;
    for (const model::Queue& queue : run.core.queues()) parents[queue.name] = queue.parent;
    for (const model::JobId id : run.core.jobs()) {
      const JobView job = *run.core.find_job(id);
      model::Placement held = job.placement.value_or(job.held.value_or(job.claim.value_or(model::Placement{})));
      if (job.claim.has_value() && milli_cards_of(*job.claim) > milli_cards_of(held)) held = *job.claim;
      for (std::string name = job.request.queue; !name.empty(); name = parents[name]) {
        used[name][held.chip] += milli_cards_of(held);
        running[name] += job.placement.has_value() ? 1 : 0;
      }
    }
    const std::vector<QueueView> views = run.core.queue_views();
    for (const QueueView& view : views) {
      std::int64_t all = 0;
      for (const auto& [chip, milli] : view.used_by_chip) {
        RC_ASSERT(milli.value == used[view.queue.name][chip]);
        all += milli.value;
      }
      for (const auto& [chip, milli] : used[view.queue.name]) all -= milli;
      RC_ASSERT(all == 0);
      RC_ASSERT(view.borrowed.value >= 0 && view.borrowed.value <= view.used.value);
      RC_ASSERT(view.running_jobs == running[view.queue.name]);
    }
    RC_ASSERT(Core::restore(run.core.snapshot())->queue_views() == views);
  }
}

// What is asked, and how often time is told to go by, changes nothing that is decided later.
RC_GTEST_PROP(CoreProperty, ExtraTicksAndQuestionsChangeNoDecision, (std::uint64_t seed)) {
  Player run(seed);
  Core other = *Core::restore(run.core.snapshot());
  testing::Dice dice(seed);
  for (int i = 0; i < kEvents; ++i) {
    const Event event = run.stream.next(run.core);
    // Ticks that the core asked for may decide; all others must not.
    const TimeMs until = std::min(event.time_ms, run.core.next_wakeup().value_or(event.time_ms)) - 1;
    for (TimeMs at = other.now_ms(); at < until && dice.chance(90); at += 1 + static_cast<TimeMs>(dice.roll(9'000))) {
      RC_ASSERT(other.apply({.time_ms = at})->empty());
      (void)other.queue_views();
      for (const model::JobId id : other.jobs()) {
        if (dice.chance(5)) (void)other.why(id);
      }
    }
    RC_ASSERT(*other.apply(event) == run.apply(event));
    RC_ASSERT(other.state_hash() == run.core.state_hash());
  }
}

RC_GTEST_PROP(CoreProperty, ForksAreIndependent, (std::uint64_t seed)) {
  Player run(seed);
  for (int i = 0; i < kEvents; ++i) {
    run.step();
    if (i % 50 != 0) continue;
    const std::uint64_t before = run.core.state_hash();
    Player other(seed + 1);
    other.core = run.core.fork();
    other.stream = run.stream;
    for (int k = 0; k < 40; ++k) {
      other.step();
    }
    RC_ASSERT(run.core.state_hash() == before);
    RC_ASSERT(run.core.recompute_hash() == before);
    RC_ASSERT(other.core.state_hash() == other.core.recompute_hash());
  }
}

RC_GTEST_PROP(CoreProperty, BringsEveryFeasibleJobToAnEnd, (std::uint64_t seed)) {
  Player run(seed);
  for (int i = 0; i < kEvents; ++i) {
    run.step();
  }
  const auto is_waiting_for_hardware = [&](model::JobId id) {
    const std::string constraint = run.core.why(id)->constraint;
    return constraint == "infeasible" || constraint == "dependency";
  };
  for (int i = 0; i < 20'000; ++i) {
    const auto jobs = run.core.jobs();
    if (i % 64 == 0 && std::all_of(jobs.begin(), jobs.end(), is_waiting_for_hardware)) return;
    run.apply(run.stream.next_to_end(run.core));
  }
  RC_FAIL("jobs wait although nothing is in their way");
}

RC_GTEST_PROP(CoreProperty, WhatWhyProposesStartsTheJob, (std::uint64_t seed)) {
  Player run(seed);
  for (int i = 0; i < kEvents; ++i) {
    run.step();
  }
  int asked = 0;
  for (const model::JobId id : run.core.jobs()) {
    if (++asked > 8) break;
    const Why why = *run.core.why(id);
    RC_ASSERT(run.core.find_job(id)->placement.has_value() ==
              (why.state != model::JobState::kQueued && why.state != model::JobState::kBlocked));
    for (const ChangeSet& change : why.changes) {
      if (change.kind != "jobs_ending") continue;
      Core fork = run.core.fork();
      for (const model::JobId ending : change.jobs) {
        const auto view = fork.find_job(ending);
        if (!view.has_value() || !view->placement.has_value()) continue;  // Evicted meanwhile.
        RC_ASSERT(fork.apply({.body = JobCancelled{.job = ending}}).has_value());
        RC_ASSERT(fork.apply({.body = GangGone{.attempt = view->attempt}}).has_value());
      }
      RC_ASSERT(fork.find_job(id)->placement.has_value());
    }
  }
}

}  // namespace
}  // namespace busbar::sched
