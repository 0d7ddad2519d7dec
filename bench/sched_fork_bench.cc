#include <benchmark/benchmark.h>

#include <string>
#include <vector>

#include "base/check.h"
#include "sched/core.h"

// 1,250 nodes of 8 cards in leaves of 16, 90 % in use, 5,000 jobs waiting: the state whose fork must take < 1 ms.
namespace {

using busbar::sched::Core;
using busbar::sched::Decision;
using busbar::sched::Event;
using busbar::sched::JobCancelled;
using busbar::sched::JobRequest;
using busbar::sched::JobSubmitted;
using busbar::sched::NodeJoined;

void apply(Core& core, busbar::sched::EventBody body) {
  CHECK(core.apply({.time_ms = core.now_ms() + 1, .body = std::move(body)}).has_value(), "event refused");
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

JobRequest make_job(std::uint64_t id, std::uint32_t nodes, std::int64_t cards) {
  JobRequest job = {.id = {id}, .min_nodes = nodes, .max_nodes = nodes};
  job.accelerators = {{.chip = "h100", .per_node = {cards * 1000}}};
  job.cpus = {4'000};
  job.memory = {std::int64_t{1} << 33};
  return job;
}

Core make_core() {
  Core core{busbar::sched::Policy{}};
  for (std::uint64_t id = 1; id <= 1'250; ++id) {
    apply(core, NodeJoined{.node = make_node(id)});
  }
  std::uint64_t next = 1;
  // 9,000 cards: gangs of 32, 8, 4 and 1.
  for (int i = 0; i < 150; ++i) apply(core, JobSubmitted{.job = make_job(next++, 4, 8)});
  for (int i = 0; i < 300; ++i) apply(core, JobSubmitted{.job = make_job(next++, 1, 8)});
  for (int i = 0; i < 300; ++i) apply(core, JobSubmitted{.job = make_job(next++, 1, 4)});
  for (int i = 0; i < 600; ++i) apply(core, JobSubmitted{.job = make_job(next++, 1, 1)});
  // Of 40 shapes, none of which fits: the largest gangs that the cluster could hold.
  for (int i = 0; i < 5'000; ++i) {
    apply(core, JobSubmitted{.job = make_job(next++, static_cast<std::uint32_t>(1'200 + i % 40), 8)});
  }
  return core;
}

const Core& shared_core() {
  static const Core core = make_core();
  return core;
}

void fork(benchmark::State& state) {
  const Core& core = shared_core();
  for (auto _ : state) {
    Core copy = core.fork();
    benchmark::DoNotOptimize(copy.now_ms());
  }
}
BENCHMARK(fork)->Unit(benchmark::kMicrosecond);

// What a what-if question pays: a fork, one event on it (whose writes copy what they touch), and its end.
void fork_and_cancel(benchmark::State& state) {
  const Core& core = shared_core();
  const busbar::model::JobId last = core.jobs().back();
  for (auto _ : state) {
    Core copy = core.fork();
    apply(copy, JobCancelled{.job = last});
  }
}
BENCHMARK(fork_and_cancel)->Unit(benchmark::kMicrosecond);

// A job of `cards` on `nodes` nodes is submitted, starts and is taken away again, beside 5,000 that wait.
void submit_place_cancel_gone(benchmark::State& state) {
  Core core = make_core();
  std::uint64_t next = 1'000'000;
  for (auto _ : state) {
    JobRequest job = make_job(++next, static_cast<std::uint32_t>(state.range(0)), state.range(1));
    job.priority = 1;
    apply(core, JobSubmitted{.job = std::move(job)});
    const busbar::model::AttemptId attempt = core.find_job({next})->attempt;
    CHECK(attempt.number == 1, "the job did not start");
    apply(core, JobCancelled{.job = {next}});
    apply(core, busbar::sched::GangGone{.attempt = attempt});
  }
}
BENCHMARK(submit_place_cancel_gone)
    ->Args({1, 1})
    ->Args({1, 8})
    ->Args({16, 8})
    ->Args({100, 8})
    ->Unit(benchmark::kMicrosecond);

// A waiting job that cannot start yet: the answer with its verified changes.
void why(benchmark::State& state) {
  const Core& core = shared_core();
  const busbar::model::JobId last = core.jobs().back();
  for (auto _ : state) {
    benchmark::DoNotOptimize(core.why(last));
  }
}
BENCHMARK(why)->Unit(benchmark::kMillisecond);

// 1,000 short jobs at once on a machine with two cards, from the first submission to the last end.
void thousand_short_jobs(benchmark::State& state) {
  for (auto _ : state) {
    Core core{busbar::sched::Policy{}};
    busbar::model::Node node = make_node(1);
    node.cards.resize(2);
    apply(core, NodeJoined{.node = std::move(node)});
    for (std::uint64_t id = 1; id <= 1'000; ++id) {
      apply(core, JobSubmitted{.job = make_job(id, 1, 1)});
    }
    for (std::uint64_t id = 1; id <= 1'000; ++id) {
      const busbar::model::AttemptId attempt = core.find_job({id})->attempt;
      apply(core, busbar::sched::GangStarted{.attempt = attempt});
      apply(core, busbar::sched::TaskExited{.task = {.attempt = attempt, .rank = 0}});
      apply(core, busbar::sched::GangGone{.attempt = attempt});
    }
  }
}
BENCHMARK(thousand_short_jobs)->Unit(benchmark::kMillisecond);

}  // namespace
