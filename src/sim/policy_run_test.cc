#include "sim/policy_run.h"

#include <gtest/gtest.h>

#include "base/hash.h"
#include "sim/cluster_shape.h"
#include "sim/report.h"
#include "sim/test_trace.h"

namespace busbar::sim {
namespace {

using testing::kMinute;
using testing::trace_of;

/// Cards and minutes: (submission, work, cards).
TraceJob job(std::int64_t submit, std::int64_t work, std::int64_t cards, std::uint32_t queue = 0) {
  return {.submit_ms = submit * kMinute, .work_ms = work * kMinute, .milli_per_node = cards * 1000, .queue = queue};
}

RunResult run(const Trace& trace, PolicySpec policy, std::uint32_t cards = 8, RoomKind room = RoomKind::kCount) {
  auto result = run_policy(trace, make_nodes({.cards = cards}), room, policy, {}, {});
  EXPECT_TRUE(result.has_value()) << result.error().to_string();
  return *std::move(result);
}

std::vector<std::int64_t> starts(const RunResult& result) {
  std::vector<std::int64_t> minutes;
  for (const JobOutcome& outcome : result.jobs) {
    minutes.push_back(outcome.first_start_ms.value_or(-kMinute) / kMinute);
  }
  return minutes;
}

using Minutes = std::vector<std::int64_t>;

// 4 of 8 cards are busy until 100; 8 are asked for; then a short, a long and a long small job.
Trace crowded() {
  return trace_of({job(0, 100, 4), job(1, 50, 8), job(2, 30, 4), job(3, 200, 4), job(4, 10, 1)});
}

TEST(PolicyRun, FifoLetsNobodyPass) {
  EXPECT_EQ(starts(run(crowded(), {PolicyKind::kFifo})), (Minutes{0, 100, 150, 150, 180}));
}

TEST(PolicyRun, FirstFitStartsWhoeverFits) {
  EXPECT_EQ(starts(run(crowded(), {PolicyKind::kFirstFit})), (Minutes{0, 232, 2, 32, 100}));
}

TEST(PolicyRun, EasyBackfillsOnlyWhatDoesNotDelayTheFirst) {
  EXPECT_EQ(starts(run(crowded(), {PolicyKind::kEasy})), (Minutes{0, 100, 2, 150, 32}));
}

TEST(PolicyRun, OnTheFabricFreeCardsOfTwoNodesAreNoRoomForOneTask) {
  const Trace trace = trace_of({job(0, 100, 5), job(0, 100, 5), job(1, 10, 6), job(2, 200, 3)});
  EXPECT_EQ(starts(run(trace, {PolicyKind::kEasy}, 16, RoomKind::kCount)), (Minutes{0, 0, 1, 11}));
  EXPECT_EQ(starts(run(trace, {PolicyKind::kEasy}, 16, RoomKind::kFabric)), (Minutes{0, 0, 100, 2}))
      << "the last leaves the other node to the one before it";
}

TEST(PolicyRun, FairServesTheQueueThatHoldsTheLeast) {
  const Trace trace = trace_of({job(0, 10, 8), job(1, 10, 8), job(2, 10, 4), job(3, 10, 8, 1)});
  EXPECT_EQ(starts(run(trace, {PolicyKind::kFifo})), (Minutes{0, 10, 20, 30}));
  const Trace shared = trace_of({job(0, 20, 4), job(0, 10, 4, 1), job(1, 10, 4), job(2, 10, 4, 1)});
  EXPECT_EQ(starts(run(shared, {PolicyKind::kFair})), (Minutes{0, 0, 20, 10})) << "queue b holds nothing at 10";
}

TEST(PolicyRun, SjfTakesTheShortestAndNeverStopsOne) {
  const Trace trace = trace_of({job(0, 60, 8), job(1, 30, 8), job(2, 10, 8)});
  const RunResult result = run(trace, {PolicyKind::kSjf});
  EXPECT_EQ(starts(result), (Minutes{0, 70, 60}));
  EXPECT_EQ(summarise(trace, result).preemptions_per_job, 0);
}

TEST(PolicyRun, SrtfStopsALongerJobWhichLosesTheWorkSinceItsCheckpoint) {
  const Trace trace = trace_of({job(0, 100, 8), job(40, 10, 8)});
  const RunResult result = run(trace, {PolicyKind::kSrtf});
  EXPECT_EQ(starts(result), (Minutes{0, 40}));
  EXPECT_EQ(result.jobs[0].preemptions, 1U);
  EXPECT_EQ(result.jobs[0].lost_ms, 10 * kMinute) << "the checkpoint is at 30 minutes";
  EXPECT_EQ(result.jobs[0].restart_ms, kMinute);
  EXPECT_EQ(result.jobs[0].end_ms, (50 + 1 + 70) * kMinute);
}

TEST(PolicyRun, LasStopsJobsThatWereServedEnoughForThoseThatWereNot) {
  const Trace trace = trace_of({job(0, 100, 8), job(1, 10, 8)});
  const PolicySpec policy{.kind = PolicyKind::kLas, .las_threshold_card_ms = 8 * 30 * kMinute};
  const RunResult result = run(trace, policy);
  EXPECT_EQ(starts(result), (Minutes{0, 30})) << "30 minutes of 8 cards are the threshold";
  EXPECT_EQ(result.jobs[0].preemptions, 1U);
  EXPECT_EQ(result.jobs[1].end_ms.value() / kMinute, 40);
  EXPECT_NEAR(static_cast<double>(result.jobs[0].end_ms.value()) / kMinute, 40 + 1 + 70, 0.01);
}

TEST(PolicyRun, LearnedStopsALongJobForOneOfAKindThatEndsSoon) {
  std::vector<TraceJob> jobs;
  for (int i = 0; i < 30; ++i) {
    jobs.push_back(job(10 * i, 5, 8, 1));
  }
  jobs.push_back(job(400, 600, 8, 0));
  jobs.push_back(job(500, 5, 8, 1));
  const Trace trace = trace_of(std::move(jobs));
  const RunResult result = run(trace, {PolicyKind::kLearned});
  EXPECT_EQ(result.jobs[30].preemptions, 1U) << "jobs of queue 1 have ended in five minutes so far";
  EXPECT_EQ(result.jobs[31].end_ms, 505 * kMinute);
}

TEST(PolicyRun, EveryPolicyEndsEveryJobAndNeedsTheSameWork) {
  std::uint64_t state = 7;
  const auto roll = [&](std::uint64_t sides) { return static_cast<std::int64_t>(mix64(state++) % sides); };
  std::vector<TraceJob> jobs;
  for (int i = 0; i < 400; ++i) {
    jobs.push_back(job(roll(2000), 1 + roll(120), 1 + roll(8), static_cast<std::uint32_t>(roll(2))));
  }
  Trace trace = trace_of(std::move(jobs));
  normalise(trace);
  double useful = 0;
  for (int kind = 0; kind <= static_cast<int>(PolicyKind::kLas); ++kind) {
    SCOPED_TRACE(policy_kind_name(static_cast<PolicyKind>(kind)));
    const RunResult result = run(trace, {.kind = static_cast<PolicyKind>(kind)}, 16);
    const RunSummary summary = summarise(trace, result);
    EXPECT_EQ(summary.finished, 400U);
    const double work = summary.useful_percent * summary.makespan_s;
    EXPECT_NEAR(work, useful > 0 ? useful : work, 1e-3 * work);
    useful = work;
  }
}

TEST(PolicyRun, RefusesWhatFitsNoEmptyCluster) {
  const Trace trace = trace_of({job(0, 10, 9), job(0, 10, 8)});
  for (const RoomKind room : {RoomKind::kCount, RoomKind::kFabric}) {
    const RunResult result = run(trace, {PolicyKind::kEasy}, 8, room);
    EXPECT_TRUE(result.jobs[0].is_refused);
    EXPECT_EQ(result.jobs[1].end_ms, 10 * kMinute);
  }
}

TEST(PolicyRun, PreemptivePoliciesCountCards) {
  const auto result = run_policy(crowded(), make_nodes({.cards = 8}), RoomKind::kFabric, {PolicyKind::kLas}, {}, {});
  ASSERT_FALSE(result.has_value());
  EXPECT_EQ(result.error().code, ErrorCode::kInvalidArgument);
}

}  // namespace
}  // namespace busbar::sim
