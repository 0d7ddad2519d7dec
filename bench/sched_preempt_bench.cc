#include <benchmark/benchmark.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/hash.h"
#include "sched/core.h"

// 10,000 cards that are full, 5,000 jobs waiting at mixed priorities: what an event costs when everybody who waits
// looks for somebody to stop, and what an answer to `why` costs.
namespace {

using busbar::mix64;
using busbar::sched::Core;
using busbar::sched::Decision;
using busbar::sched::JobCancelled;
using busbar::sched::JobRequest;
using busbar::sched::JobSubmitted;

constexpr std::uint64_t kNodes = 1'250;
constexpr std::uint64_t kQueues = 8;
constexpr int kWaiting = 5'000;

std::vector<Decision> apply(Core& core, busbar::sched::EventBody body) {
  auto decisions = core.apply({.time_ms = core.now_ms() + 1, .body = std::move(body)});
  CHECK(decisions.has_value(), "event refused");
  return *std::move(decisions);
}

busbar::model::Node make_node(std::uint64_t id) {
  busbar::model::Node node = {.id = {id}};
  node.name = "n" + std::to_string(id);
  node.cpus = {128'000};
  node.memory = {std::int64_t{1} << 40};
  node.fabric = {"leaf-" + std::to_string(id / 16), "spine-" + std::to_string(id / 256)};
  for (std::uint16_t i = 0; i < 8; ++i) {
    node.cards.push_back({.index = i, .chip = "h100", .link_group = static_cast<std::uint16_t>(i / 4)});
  }
  return node;
}

JobRequest make_job(std::uint64_t id, std::uint32_t nodes, std::int64_t cards, std::int32_t priority) {
  JobRequest job = {.id = {id}, .priority = priority, .min_nodes = nodes, .max_nodes = nodes};
  job.queue = "team-" + std::to_string(mix64(id) % kQueues);
  job.accelerators = {{.chip = "h100", .per_node = {cards * 1000}}};
  job.cpus = {4'000};
  job.memory = {std::int64_t{1} << 33};
  return job;
}

/// What those who run are like for those who wait.
enum Runners : std::int64_t {
  kProtected,  ///< Of lower priority, but within their minimum run time.
  kTooFew,     ///< A few of lower priority, not enough for any who waits.
  kBorrowed,   ///< Against two guarantees, but not enough for any of the gangs that could reclaim.
};

struct Loaded {
  Core core{busbar::sched::Policy{}};
  std::uint64_t next = 1;
  std::vector<busbar::model::JobId> waiting = {};
};

Loaded make_loaded(std::int64_t runners) {
  Loaded loaded;
  for (std::uint64_t queue = 0; queue < kQueues; ++queue) {
    busbar::model::Queue made = {.name = "team-" + std::to_string(queue)};
    if (runners == kBorrowed && queue < 2) made.guarantee.all = {std::int64_t{20'000} * 1000};
    apply(loaded.core, busbar::sched::QueueChanged{.queue = std::move(made)});
  }
  for (std::uint64_t id = 1; id <= kNodes; ++id) apply(loaded.core, busbar::sched::NodeJoined{.node = make_node(id)});
  // 10,000 cards: gangs of 32, single nodes, parts of nodes.
  const auto run = [&](int count, std::uint32_t nodes, std::int64_t cards) {
    for (int i = 0; i < count; ++i) {
      const bool is_low = runners == kProtected ? i % 2 == 0 : runners == kTooFew && nodes == 1 && i % 50 == 0;
      JobRequest job = make_job(loaded.next++, nodes, cards, is_low ? 0 : 10);
      job.min_run_time_ms = runners == kProtected ? 3'600'000 : 0;
      const auto decisions = apply(loaded.core, JobSubmitted{.job = job});
      CHECK(!decisions.empty(), "no room while it fills");
    }
  };
  run(150, 4, 8);
  run(300, 1, 8);
  run(500, 1, 4);
  run(800, 1, 1);
  // Forty sizes at five priorities in eight queues.
  for (int i = 0; i < kWaiting; ++i) {
    const std::uint32_t smallest = runners == kProtected ? 2 : runners == kTooFew ? 700 : 1'100;
    const JobRequest job = make_job(loaded.next++, smallest + static_cast<std::uint32_t>(i % 40), 8, 1 + i % 5);
    loaded.waiting.push_back(job.id);
    apply(loaded.core, JobSubmitted{.job = job});
  }
  return loaded;
}

Loaded& shared_load(std::int64_t runners) {
  static Loaded all[3] = {make_loaded(kProtected), make_loaded(kTooFew), make_loaded(kBorrowed)};
  return all[runners];
}

// A small job that runs is cancelled and gone: cards are free, so everybody is looked at again.
void end_of_a_small_job(benchmark::State& state) {
  Core core = shared_load(state.range(0)).core.fork();
  std::uint64_t id = 950;  // Of the jobs with one card.
  for (auto _ : state) {
    const busbar::model::JobId job = {++id};
    const auto view = core.find_job(job);
    if (!view.has_value() || !view->placement.has_value()) {
      state.SkipWithError("all small jobs have ended");
      break;
    }
    apply(core, JobCancelled{.job = job});
    apply(core, busbar::sched::GangGone{.attempt = view->attempt});
  }
}
BENCHMARK(end_of_a_small_job)->DenseRange(0, 2)->Unit(benchmark::kMillisecond)->Iterations(20);

// Another job comes and has to wait.
void submit_one_more(benchmark::State& state) {
  Loaded& load = shared_load(state.range(0));
  Core core = load.core.fork();
  std::uint64_t next = 1'000'000;
  for (auto _ : state) {
    apply(core, JobSubmitted{.job = make_job(++next, state.range(0) == kProtected ? 20 : 1'120, 8, 3)});
  }
}
BENCHMARK(submit_one_more)->DenseRange(0, 2)->Unit(benchmark::kMillisecond)->Iterations(20);

void why(benchmark::State& state) {
  Loaded& load = shared_load(state.range(0));
  std::size_t at = 0;
  for (auto _ : state) {
    at = (at + 997) % load.waiting.size();
    benchmark::DoNotOptimize(load.core.why(load.waiting[at]));
  }
}
BENCHMARK(why)->DenseRange(0, 2)->Unit(benchmark::kMillisecond)->Iterations(20);

// The reason alone.
void why_reason(benchmark::State& state) {
  Loaded& load = shared_load(state.range(0));
  std::size_t at = 0;
  for (auto _ : state) {
    at = (at + 997) % load.waiting.size();
    benchmark::DoNotOptimize(load.core.why(load.waiting[at], busbar::sched::WhyDepth::kReason));
  }
}
BENCHMARK(why_reason)->DenseRange(0, 2)->Unit(benchmark::kMillisecond)->Iterations(100);

}  // namespace
