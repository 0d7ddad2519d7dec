#include "sim/page.h"

#include <gtest/gtest.h>

#include "sim/cluster_shape.h"
#include "sim/core_run.h"
#include "sim/internal/plot.h"
#include "sim/policy_run.h"

namespace busbar::sim {
namespace {

TEST(Page, ShowsEveryPolicyAndQueueAndNeedsNothingFromOutside) {
  const Trace trace{.name = "a<b>",
                    .jobs = {{.work_ms = 3'600'000, .milli_per_node = 8000},
                             {.submit_ms = 1000, .work_ms = 7'200'000, .milli_per_node = 4000, .queue = 1}},
                    .queues = {"vision", "speech"},
                    .users = {"u"}};
  std::vector<PageRun> runs;
  const auto nodes = make_nodes({.cards = 8});
  for (const PolicyKind kind : {PolicyKind::kFifo, PolicyKind::kEasy}) {
    RunResult result = run_policy(trace, nodes, RoomKind::kFabric, {.kind = kind}, {}, {}).value();
    RunSummary summary = summarise(trace, result);
    runs.push_back({.summary = std::move(summary), .result = std::move(result)});
  }
  const std::string page = make_page(trace, runs);
  for (const char* part : {"fifo", "easy", "vision", "speech", "a&lt;b&gt;", "Cards in use", "Waits by size"}) {
    EXPECT_NE(page.find(part), std::string::npos) << part;
  }
  EXPECT_EQ(page.find("http"), std::string::npos) << "self-contained";
  EXPECT_EQ(page.find("nan"), std::string::npos);
}

TEST(Plot, RoundsAxesUpToNumbersThatPeopleRead) {
  using internal::round_up;
  EXPECT_DOUBLE_EQ(round_up(0), 1);
  EXPECT_DOUBLE_EQ(round_up(93), 100);
  EXPECT_DOUBLE_EQ(round_up(100), 100);
  EXPECT_DOUBLE_EQ(round_up(101), 200);
  EXPECT_DOUBLE_EQ(round_up(0.21), 0.25);
}

}  // namespace
}  // namespace busbar::sim
