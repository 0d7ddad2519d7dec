#include "sim/core_run.h"

#include <gtest/gtest.h>

#include "base/hash.h"
#include "sched/journal.h"
#include "sim/cluster_shape.h"
#include "sim/report.h"
#include "sim/test_trace.h"

namespace busbar::sim {
namespace {

using testing::kMinute;
using testing::trace_of;

/// Numbers from a seed.
Trace random_trace(std::uint64_t seed, std::size_t count) {
  std::uint64_t state = seed;
  const auto roll = [&](std::uint64_t sides) { return static_cast<std::int64_t>(mix64(state++) % sides); };
  std::vector<TraceJob> jobs;
  for (std::size_t i = 0; i < count; ++i) {
    const std::int64_t work_ms = (1 + roll(60)) * kMinute;
    jobs.push_back({.submit_ms = roll(600) * kMinute,
                    .work_ms = work_ms,
                    .nodes = static_cast<std::uint32_t>(1 + roll(3)),
                    .milli_per_node = (1 + roll(8)) * 1000,
                    .queue = static_cast<std::uint32_t>(roll(2)),
                    .time_limit_ms = roll(3) == 0 ? 0 : work_ms * (1 + roll(3)) - roll(2)});
  }
  Trace trace = trace_of(std::move(jobs));
  normalise(trace);
  return trace;
}

TEST(CoreRun, RunsJobsForTheTimeThatTheLoadSays) {
  const Trace trace = trace_of({{.work_ms = 10 * kMinute, .milli_per_node = 8000},
                                {.submit_ms = kMinute, .work_ms = 5 * kMinute, .nodes = 2, .milli_per_node = 4000}});
  const auto result = run_core(trace, make_nodes({.cards = 8}), {}, {}, {});
  ASSERT_TRUE(result.has_value()) << result.error().to_string();
  EXPECT_EQ(result->jobs[0].end_ms, 10 * kMinute);
  EXPECT_EQ(result->jobs[1].first_start_ms, 10 * kMinute);
  EXPECT_EQ(result->jobs[1].end_ms, 15 * kMinute);
  EXPECT_DOUBLE_EQ(summarise(trace, *result).utilisation_percent, 100);
}

TEST(CoreRun, EndsJobsAtTheirTimeLimitAndRefusesWhatDoesNotFit) {
  const Trace trace = trace_of({{.submit_ms = kMinute, .work_ms = 10 * kMinute, .time_limit_ms = 4 * kMinute},
                                {.submit_ms = kMinute, .work_ms = kMinute, .nodes = 3, .milli_per_node = 8000}});
  const auto result = run_core(trace, make_nodes({.cards = 8}), {}, {}, {});
  ASSERT_TRUE(result.has_value()) << result.error().to_string();
  EXPECT_EQ(result->jobs[0].end_ms, 5 * kMinute);
  EXPECT_TRUE(result->jobs[0].is_abandoned);
  EXPECT_TRUE(result->jobs[1].is_refused);
  const RunSummary summary = summarise(trace, *result);
  EXPECT_EQ(summary.abandoned, 1U);
  EXPECT_EQ(summary.refused, 1U);
  EXPECT_EQ(summary.finished, 0U);
}

TEST(CoreRun, StopsAtTheGivenTimeWithJobsUnderWay) {
  const Trace trace = trace_of({{.work_ms = 100 * kMinute}, {.submit_ms = 50 * kMinute, .work_ms = kMinute}});
  const auto result = run_core(trace, make_nodes({.cards = 8}), {}, {}, {.until_ms = 10 * kMinute});
  ASSERT_TRUE(result.has_value()) << result.error().to_string();
  EXPECT_EQ(result->end_ms, 10 * kMinute);
  EXPECT_EQ(result->jobs[0].held_ms, 10 * kMinute);
  EXPECT_EQ(summarise(trace, *result).jobs, 1U) << "the second was not submitted yet";
}

TEST(CoreRun, TheSameSeedGivesTheSameRun) {
  const Trace trace = random_trace(3, 300);
  const auto first = run_core(trace, make_nodes({.cards = 64}), {}, {}, {});
  const auto second = run_core(trace, make_nodes({.cards = 64}), {}, {}, {});
  ASSERT_TRUE(first.has_value() && second.has_value());
  EXPECT_EQ(to_json(summarise(trace, *first)).dump(), to_json(summarise(trace, *second)).dump());
  EXPECT_EQ(summarise(trace, *first).finished + summarise(trace, *first).abandoned, 300U);
}

TEST(CoreRun, TheJournalOfARunReplaysToTheSameHashes) {
  const Trace trace = random_trace(5, 200);
  std::string journal;
  sched::Policy policy;
  policy.backfill_patience_ms = 20 * kMinute;
  const auto result = run_core(trace, make_nodes({.cards = 32}), policy, {.start_ms = 1500, .stop_ms = 700},
                               {.on_journal = [&](std::string_view bytes) { journal.append(bytes); }});
  ASSERT_TRUE(result.has_value()) << result.error().to_string();
  const auto report = sched::replay_journal(journal);
  ASSERT_TRUE(report.has_value()) << report.error().to_string();
  EXPECT_TRUE(report->is_identical) << report->difference;
  EXPECT_EQ(report->steps, result->events);
  EXPECT_GT(report->steps, 800U);
}

}  // namespace
}  // namespace busbar::sim
