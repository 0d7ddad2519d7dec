#include "sim/recorder.h"

#include <gtest/gtest.h>

#include "sim/report.h"
#include "sim/test_trace.h"

namespace busbar::sim {
namespace {

using testing::kMinute;

Trace two_jobs() {
  return {.name = "two",
          .jobs = {{.work_ms = 10 * kMinute, .milli_per_node = 2000},
                   {.submit_ms = kMinute, .work_ms = 10 * kMinute, .milli_per_node = 1000, .queue = 1}},
          .queues = {"a", "b"},
          .users = {"u"}};
}

TEST(Recorder, ChargesEachMillisecondOfACardOnce) {
  const Trace trace = two_jobs();
  Recorder recorder(trace, 4000);
  recorder.submit(0, 0);
  recorder.start(0, 0);
  recorder.submit(1, kMinute);
  recorder.start(1, 2 * kMinute);
  recorder.stop(1, 5 * kMinute, {.lost_ms = kMinute, .is_preemption = true});
  recorder.finish(0, 10 * kMinute, 0);
  recorder.start(1, 10 * kMinute);
  recorder.finish(1, 19 * kMinute, kMinute);
  const RunResult result = recorder.take(20 * kMinute, "test");
  EXPECT_EQ(result.held_milli_ms, 2000 * 10 * kMinute + 1000 * 12 * kMinute);
  EXPECT_EQ(result.jobs[1].held_ms, 12 * kMinute);
  EXPECT_EQ(result.jobs[1].preemptions, 1U);
  double held = 0;
  for (std::size_t i = 0; i < result.held.size(); ++i) {
    held += result.held.mean(i) * static_cast<double>(result.held.span_ms());
  }
  EXPECT_EQ(held, static_cast<double>(result.held_milli_ms));

  const RunSummary summary = summarise(trace, result);
  EXPECT_EQ(summary.finished, 2U);
  EXPECT_DOUBLE_EQ(summary.utilisation_percent, 40);
  EXPECT_DOUBLE_EQ(summary.lost_percent, 1.25);
  EXPECT_DOUBLE_EQ(summary.restart_percent, 1.25);
  EXPECT_DOUBLE_EQ(summary.useful_percent, 37.5);
  EXPECT_DOUBLE_EQ(summary.preemptions_per_job, 0.5);
  EXPECT_DOUBLE_EQ(summary.wait.p99_s, 6 * 60) << "one minute at first, five after the preemption";
  EXPECT_DOUBLE_EQ(summary.completion.mean_s, (10 + 18) * 60 / 2.0);
  ASSERT_EQ(summary.queues.size(), 2U);
  EXPECT_EQ(summary.queues[0].name, "a");
  EXPECT_DOUBLE_EQ(summary.queues[0].held_percent, 62.5);
}

TEST(Recorder, TellsWhatWasInUseWhileJobsAskedForAllCards) {
  const Trace trace = two_jobs();
  Recorder recorder(trace, 3000);
  recorder.submit(0, 0);
  recorder.start(0, 0);
  recorder.submit(1, kMinute);
  recorder.start(1, 2 * kMinute);
  recorder.stop(1, 5 * kMinute, {.lost_ms = kMinute, .is_preemption = true});
  recorder.start(1, 6 * kMinute);
  recorder.finish(0, 9 * kMinute, 0);
  recorder.finish(1, 20 * kMinute, 2 * kMinute);
  const RunSummary summary = summarise(trace, recorder.take(20 * kMinute, "test"));
  EXPECT_DOUBLE_EQ(summary.saturated_time_percent, 40) << "from the first minute to the ninth";
  EXPECT_DOUBLE_EQ(summary.saturated_utilisation_percent, 100.0 * (2 + 9 + 2 + 9) / 24);
  EXPECT_DOUBLE_EQ(summary.saturated_useful_percent, 100.0 * (2 + 9 + 2 + 9 - 1) / 24) << "the restart was later";
}

TEST(Recorder, CountsTheWaitsOfJobsThatStillWait) {
  const Trace trace = two_jobs();
  Recorder recorder(trace, 4000);
  recorder.submit(0, 0);
  recorder.submit(1, kMinute);
  recorder.start(1, 2 * kMinute);
  const RunSummary summary = summarise(trace, recorder.take(100 * kMinute, "test"));
  EXPECT_EQ(summary.finished, 0U);
  EXPECT_DOUBLE_EQ(summary.wait.p99_s, 6000);
  EXPECT_DOUBLE_EQ(summary.wait.p50_s, 60);
}

TEST(TimeSeries, KeepsItsSumWhileSpansDouble) {
  TimeSeries series;
  double expected = 0;
  for (std::int64_t i = 0; i < 5000; ++i) {
    series.add(i * 47'000, (i + 1) * 47'000, i % 7);
    expected += static_cast<double>(i % 7) * 47'000;
  }
  EXPECT_LE(series.size(), TimeSeries::kMaxSpans);
  EXPECT_GT(series.size(), TimeSeries::kMaxSpans / 2);
  double sum = 0;
  for (std::size_t i = 0; i < series.size(); ++i) {
    sum += series.mean(i) * static_cast<double>(series.span_ms());
  }
  EXPECT_NEAR(sum, expected, 1);
}

}  // namespace
}  // namespace busbar::sim
