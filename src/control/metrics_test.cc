#include "control/metrics.h"

#include <gtest/gtest.h>

#include <set>
#include <thread>

#include "control/internal/golden_section.h"

namespace busbar::control {
namespace {

constexpr std::span<const MetricDefinition> kNone;
const MetricDefinition kHits{
    .name = "busbar_test_hits_total", .kind = MetricKind::kCounter, .help = "Hits,\nback\\slash."};
const MetricDefinition kLevel{.name = "busbar_test_level", .kind = MetricKind::kGauge, .help = "Level."};
const MetricDefinition kTime{
    .name = "busbar_test_seconds", .kind = MetricKind::kHistogram, .help = "Time.", .lowest = 0.1, .decades = 1};

TEST(Metrics, WritesCountersAndGaugesWithHelpAndType) {
  const MetricDefinition definitions[] = {kHits, kLevel};
  Metrics metrics(definitions);
  metrics.add("busbar_test_hits_total", 2);
  metrics.add("busbar_test_hits_total", 3);
  metrics.set("busbar_test_level", 1.5);
  EXPECT_EQ(metrics.render(),
            "# HELP busbar_test_hits_total Hits,\\nback\\\\slash.\n"
            "# TYPE busbar_test_hits_total counter\n"
            "busbar_test_hits_total 5\n"
            "# HELP busbar_test_level Level.\n"
            "# TYPE busbar_test_level gauge\n"
            "busbar_test_level 1.5\n");
}

TEST(Metrics, EscapesLabelValues) {
  Metrics metrics(kNone);
  metrics.set("busbar_test_level", 0, {{"path", "a\"b\\c\nd"}, {"other", ""}});
  EXPECT_EQ(metrics.render(),
            "# TYPE busbar_test_level gauge\n"
            "busbar_test_level{path=\"a\\\"b\\\\c\\nd\",other=\"\"} 0\n");
}

TEST(Metrics, WritesCumulativeHistograms) {
  const MetricDefinition definitions[] = {kTime};
  Metrics metrics(definitions);
  for (const double value : {0.05, 0.1, 0.15, 0.5, 0.9, 7.0}) {
    metrics.observe("busbar_test_seconds", value, {{"op", "x"}});
  }
  EXPECT_EQ(metrics.render(),
            "# HELP busbar_test_seconds Time.\n"
            "# TYPE busbar_test_seconds histogram\n"
            "busbar_test_seconds_bucket{op=\"x\",le=\"0.1\"} 2\n"
            "busbar_test_seconds_bucket{op=\"x\",le=\"0.2\"} 3\n"
            "busbar_test_seconds_bucket{op=\"x\",le=\"0.5\"} 4\n"
            "busbar_test_seconds_bucket{op=\"x\",le=\"1\"} 5\n"
            "busbar_test_seconds_bucket{op=\"x\",le=\"+Inf\"} 6\n"
            "busbar_test_seconds_sum{op=\"x\"} 8.7\n"
            "busbar_test_seconds_count{op=\"x\"} 6\n");
}

TEST(Metrics, QuantilesAreTheBoundAboveTheObservation) {
  Metrics metrics(kNone);
  EXPECT_EQ(metrics.quantile("busbar_test_seconds", 0.5), 0);
  for (int i = 1; i <= 100; ++i) {
    metrics.observe("busbar_test_seconds", i / 1000.0, {{"op", i % 2 == 0 ? "even" : "odd"}});
  }
  EXPECT_DOUBLE_EQ(metrics.quantile("busbar_test_seconds", 0.5), 0.05);
  EXPECT_DOUBLE_EQ(metrics.quantile("busbar_test_seconds", 0.99), 0.1);
  EXPECT_DOUBLE_EQ(metrics.quantile("busbar_test_seconds", 0), 0.001);
}

TEST(Metrics, CountsFurtherLabelSetsTogether) {
  Metrics metrics(kNone, 2);
  for (const char* user : {"a", "b", "c", "d", "a"}) {
    metrics.add("busbar_test_hits_total", 1, {{"user", user}});
  }
  EXPECT_EQ(metrics.render(),
            "# TYPE busbar_test_hits_total counter\n"
            "busbar_test_hits_total{user=\"a\"} 2\n"
            "busbar_test_hits_total{user=\"b\"} 1\n"
            "busbar_test_hits_total{user=\"other\"} 2\n");
}

TEST(Metrics, LosesNoCountBetweenThreads) {
  Metrics metrics(kNone);
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&metrics] {
      for (int n = 0; n < 1'000; ++n) {
        metrics.add("busbar_test_hits_total", 1);
        metrics.observe("busbar_test_seconds", 1);
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  const std::string text = metrics.render();
  EXPECT_NE(text.find("busbar_test_hits_total 4000\n"), std::string::npos) << text;
  EXPECT_NE(text.find("busbar_test_seconds_count 4000\n"), std::string::npos) << text;
}

TEST(MetricsDeathTest, RefusesNamesThatBreakTheHouseRule) {
  Metrics metrics(kNone);
  EXPECT_DEATH(metrics.add("hits_total", 1), "hits_total");
  EXPECT_DEATH(metrics.add("busbar_test_hits", 1), "busbar_test_hits");
  metrics.set("busbar_test_level", 1);
  EXPECT_DEATH(metrics.observe("busbar_test_level", 1), "busbar_test_level");
}

TEST(Metrics, TheDocumentListsEveryMetric) {
  expect_section("docs/metrics.md", "metrics", metrics_reference());
}

}  // namespace
}  // namespace busbar::control
