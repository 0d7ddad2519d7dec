#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <map>

#include "sched/journal.h"
#include "sched/random_stream.h"
#include "sched/test_cluster.h"

// Packing in the whole core: small tasks come and go until it has learnt what they look like, and longer.
namespace busbar::sched {
namespace {

using testing::Dice;

constexpr int kSmallEvents = 300;

struct SmallTasks {
  explicit SmallTasks(std::uint64_t seed) : dice(seed) {
    for (std::uint64_t i = 1; i <= 6; ++i) {
      model::Node node = {.id = {i * 5 % 7}};  // They do not join in the order of their ids.
      node.name = "n" + std::to_string(i);
      node.cpus = {static_cast<std::int64_t>(8 + dice.roll(24)) * 1000};
      node.memory = {static_cast<std::int64_t>(32 + dice.roll(64)) << 30};
      node.fabric = {i % 2 == 0 ? "leaf-1" : "leaf-2"};
      const std::uint64_t cards = i == 1 ? 0 : 1 + dice.roll(4);
      for (std::uint16_t card = 0; card < cards; ++card) {
        node.cards.push_back({.index = card, .chip = i % 3 == 0 ? "a100" : "h100"});
      }
      apply(core, {.time_ms = 1, .body = NodeJoined{.node = std::move(node)}});
    }
  }

  static std::vector<Decision> apply(Core& core, const Event& event) {
    auto decisions = core.apply(event);
    RC_ASSERT(decisions.has_value());
    return *std::move(decisions);
  }

  JobRequest make_job() {
    JobRequest job = {.id = {++jobs}, .user = "u"};
    job.cpus = {static_cast<std::int64_t>(1 + dice.roll(4)) * 1000};
    job.memory = {static_cast<std::int64_t>(dice.roll(4)) << 30};
    const std::uint64_t roll = dice.roll(10);
    if (roll > 1) {
      const char* chip = dice.chance(60) ? "" : dice.chance(50) ? "h100" : "a100";
      job.accelerators = {{.chip = chip, .per_node = {roll > 7 ? 1000 : 100 * static_cast<std::int64_t>(roll)}}};
    }
    return job;
  }

  // The oldest that runs ends, or another job comes.
  Event next(const Core& of) {
    std::vector<model::AttemptId> running;
    for (const model::JobId id : of.jobs()) {
      const JobView view = *of.find_job(id);
      if (view.placement.has_value()) running.push_back(view.attempt);
    }
    now_ms += 1000;
    if (!running.empty() && dice.chance(40)) {
      const model::AttemptId ending = running[dice.roll(running.size())];
      if (of.find_job(ending.job)->state == model::JobState::kStopping || dice.chance(50)) {
        return {.time_ms = now_ms, .body = GangGone{.attempt = ending}};
      }
      return {.time_ms = now_ms, .body = JobCancelled{.job = ending.job}};
    }
    return {.time_ms = now_ms, .body = JobSubmitted{.job = make_job()}};
  }

  Dice dice;
  Core core = Core(Policy{});
  std::uint64_t jobs = 0;
  TimeMs now_ms = 1000;
};

bool is_packed(const Decision& decision) {
  const Place* place = std::get_if<Place>(&decision);
  return place != nullptr && place->reason.starts_with("packed");
}

TEST(PackingInTheCore, IsReachedByTheRandomTasks) {
  SmallTasks tasks(1);
  int packed = 0;
  for (int i = 0; i < kSmallEvents; ++i) {
    for (const Decision& decision : SmallTasks::apply(tasks.core, tasks.next(tasks.core))) {
      packed += is_packed(decision) ? 1 : 0;
    }
  }
  EXPECT_GT(packed, 40);
}

RC_GTEST_PROP(PackingInTheCoreProperty, NeverOverAllocatesAndKeepsItsHash, (std::uint64_t seed)) {
  SmallTasks tasks(seed);
  for (int i = 0; i < kSmallEvents; ++i) {
    SmallTasks::apply(tasks.core, tasks.next(tasks.core));
    if (i % 5 != 0) continue;  // What is wrong stays wrong, and looking costs much more than deciding.
    RC_ASSERT(tasks.core.state_hash() == tasks.core.recompute_hash());
    std::map<model::NodeId, std::int64_t> cpus;
    std::map<model::NodeId, std::int64_t> memory;
    for (const model::JobId id : tasks.core.jobs()) {
      const JobView job = *tasks.core.find_job(id);
      for (const auto& task : job.placement.value_or(model::Placement{}).tasks) {
        cpus[task.node] += task.cpus.value;
        memory[task.node] += task.memory.value;
      }
    }
    for (const model::NodeId id : tasks.core.nodes()) {
      RC_ASSERT(cpus[id] <= tasks.core.find_node(id)->cpus.value);
      RC_ASSERT(memory[id] <= tasks.core.find_node(id)->memory.value);
      for (const MilliCards used : tasks.core.used_on(id)) RC_ASSERT(used.value <= 1000);
    }
  }
}

// Whatever has kept scores, a fork that looks everywhere, a core from a snapshot and a replay decide alike.
RC_GTEST_PROP(PackingInTheCoreProperty, ForksSnapshotsAndReplaysDecideAlike, (std::uint64_t seed)) {
  SmallTasks tasks(seed);
  const int before = static_cast<int>(tasks.dice.roll(kSmallEvents));
  for (int i = 0; i < before; ++i) SmallTasks::apply(tasks.core, tasks.next(tasks.core));
  const std::string snapshot = tasks.core.snapshot();
  auto restored = Core::restore(snapshot);
  RC_ASSERT(restored.has_value());
  RC_ASSERT(restored->state_hash() == tasks.core.state_hash());
  RC_ASSERT(restored->snapshot() == snapshot);
  std::string journal = encode_journal_header({.build_id = "test", .snapshot = snapshot});
  for (std::uint64_t i = 1; i <= 100; ++i) {
    const Event event = tasks.next(tasks.core);
    Core fork = tasks.core.fork();
    const auto decisions = SmallTasks::apply(tasks.core, event);
    RC_ASSERT(SmallTasks::apply(fork, event) == decisions);
    RC_ASSERT(SmallTasks::apply(*restored, event) == decisions);
    RC_ASSERT(fork.state_hash() == tasks.core.state_hash());
    RC_ASSERT(restored->state_hash() == tasks.core.state_hash());
    journal +=
        encode_frame({.sequence = i, .event = event, .decisions = decisions, .state_hash = tasks.core.state_hash()});
  }
  const auto report = replay_journal(journal);
  RC_ASSERT(report.has_value());
  RC_ASSERT(report->is_identical);
}

}  // namespace
}  // namespace busbar::sched
