#include "cli/describe.h"

#include <gtest/gtest.h>

#include "cli/progress.h"
#include "cli/submit.h"
#include "cli/test_support.h"

namespace busbar::cli {
namespace {

using testing::expect_golden;
using testing::finished_job;
using testing::kNow;
using testing::sample_job;

constexpr Look kPipe{.now_ms = kNow};

/// What comes over the wire is what is shown: golden inputs go through JSON.
template <class T>
T over_the_wire(const T& value) {
  return *api::from_json<T>(*parse_json(api::to_json(value).dump()));
}

api::JobStatus waiting_job() {
  return {.id = {18},
          .name = "big-one",
          .user = "grace",
          .queue = "default",
          .state = model::JobState::kQueued,
          .reason = "waits for 8 cards of chip H100; 3 are free",
          .nodes = 8,
          .cards = "8x8 H100",
          .submitted_ms = kNow - 3'700'000};
}

api::JobStatus array_member() {
  api::JobStatus job = finished_job(model::ExitClass::kTimeLimit, 143);
  job.id = {9};
  job.name = "sweep";
  job.array = {8};
  job.array_index = 3;
  job.nodes = 1;
  job.efficiency = {.milli_card_ms = {{"start", 45'000}, {"compute", 12'300'000}}, .total_milli_card_ms = 12'345'000};
  return job;
}

TEST(Describe, AJobThatRuns) {
  expect_golden("describe-running.txt", describe_job(over_the_wire(sample_job()), kPipe));
}

TEST(Describe, AJobThatWaits) {
  expect_golden("describe-queued.txt", describe_job(over_the_wire(waiting_job()), kPipe));
}

TEST(Describe, AMemberOfAnArrayThatFailed) {
  expect_golden("describe-array.txt", describe_job(over_the_wire(array_member()), {.width = 80, .now_ms = kNow}));
}

TEST(Describe, TheSummaryOfAWatchedJob) {
  expect_golden("summary.txt", summarise_job(over_the_wire(finished_job()), kPipe));
}

TEST(Describe, Why) {
  const api::WhyAnswer why{.id = {18},
                           .state = "queued",
                           .constraint = "capacity",
                           .text = "8 nodes with 8 free H100 are needed, 3 are there",
                           .position = 2,
                           .changes = {{.kind = "fewer_nodes", .text = "ask for 3 nodes instead of 8"},
                                       {.kind = "jobs_ending", .text = "job 17 ends", .jobs = {{17}}}}};
  expect_golden("why.txt", describe_why(over_the_wire(why), kPipe));
}

TEST(Listings, JobsOnAPipeAreNotShortened) {
  expect_golden("ps-pipe.txt", jobs_table({sample_job(), waiting_job(), array_member()}, kPipe));
}

TEST(Listings, JobsFitATerminalOf80Columns) {
  const std::string text =
      jobs_table({sample_job(), waiting_job(), array_member()}, {.width = 80, .has_colour = false, .now_ms = kNow});
  expect_golden("ps-80.txt", text);
}

TEST(Listings, NodesCardsQueuesSecretsAndEvents) {
  const api::CardStatus cpu{.index = 0,
                            .node = "node-1",
                            .chip = "cpu",
                            .device = "cpu:0",
                            .health = "healthy",
                            .used_milli = 1000,
                            .jobs = {{17}}};
  const api::CardStatus gpu{.index = 1,
                            .node = "node-1",
                            .chip = "H100",
                            .device = "pci:0000:3b:00.0",
                            .health = "unhealthy",
                            .used_milli = 500,
                            .jobs = {{17}, {18}},
                            .memory_bytes = std::int64_t{80} << 30,
                            .numa_node = 1,
                            .link_group = 2,
                            .health_detail = "Xid 79"};
  const api::NodeStatus node{.id = 1,
                             .name = "node-1",
                             .state = "ready",
                             .milli_cpus = 2000,
                             .memory_bytes = std::int64_t{8} << 30,
                             .cards = {cpu, gpu},
                             .labels = {{"zone", "a"}},
                             .fabric = {"leaf-1", "spine-1"},
                             .running_tasks = 2};
  std::string text = nodes_table({node}, kPipe) + "\n" + cards_table({cpu, gpu}, kPipe);
  text += "\n" + queues_table({{.name = "default"},
                               {.name = "research",
                                .guarantee_milli_cards = 48'000,
                                .limit_milli_cards = 64'000,
                                .limit_by_chip = {{"H100", 8'000}},
                                .weight = 2,
                                .priority = 10,
                                .used_milli_cards = 2500,
                                .borrowed_milli_cards = 500,
                                .share_ppm = 123'456,
                                .past_share_ppm = 45'000,
                                .running_jobs = 1,
                                .queued_jobs = 4},
                               {.name = "vision", .parent = "research", .used_milli_cards = 2500}},
                              kPipe);
  text += "\n" + secrets_table({{.name = "hub-token", .changed_ms = kNow - 86'400'000}}, kPipe);
  text +=
      "\n" + event_line({.id = 5, .time_ms = kNow, .job = {17}, .kind = "placed", .text = "on node-1"}, kPipe) + "\n";
  expect_golden("listings.txt", text);
}

TEST(Listings, QueueDiffAndUsage) {
  const api::QueueDiff diff{.jobs = {{.job = {17},
                                      .name = "digits",
                                      .queue = "default",
                                      .change = "stops",
                                      .text = "for job 18: queue \"vision\" gets back what it is guaranteed"},
                                     {.job = {18}, .name = "seg", .queue = "vision", .change = "claims"}},
                            .after = {{.name = "default", .used_milli_cards = 8'000, .borrowed_milli_cards = 8'000}}};
  const api::UsageList by_user{.rows = {{.user = "ada",
                                         .jobs = 3,
                                         .allocated_milli_card_ms = std::int64_t{36} * 3'600'000'000 / 10,
                                         .busy_milli_card_ms = std::int64_t{3} * 3'600'000'000,
                                         .lost_milli_card_ms = 3'600'000'000 / 4},
                                        {.user = "grace, \"g\"", .jobs = 1}}};
  const api::UsageList by_job{.rows = {{.queue = "default", .user = "ada", .job = {17}, .name = "digits", .jobs = 1}}};
  expect_golden("usage.txt", queue_diff_text(diff, kPipe) + "\n" + usage_table(by_user, kPipe) + "\n" +
                                 usage_table(by_job, kPipe) + "\n" + usage_csv(by_user) + "\n" + usage_csv(by_job));
}

TEST(DryRun, ShowsJobEnvironmentAndEdits) {
  const auto json = parse_json(R"({"members": 3, "job": {"name": "digits"}, "placement": {"chip": "cpu"},
    "tasks": [{"rank": 0, "hostname": "digits-0", "argv": ["/bin/sh", "/run/busbar/launch.sh"], "workdir": "/work",
               "env": {"NNODES": "2", "GREETING": "hello world"}, "edits": {"devices": []}, "oci_config": {"a": 1}}]})");
  ASSERT_TRUE(json);
  expect_golden("dry-run.txt", describe_dry_run(*json));
}

/// Everything that was written, with the escape sequences of the status line spelled out.
struct Screen {
  std::string text;
  Output output;
  explicit Screen(int width)
      : output([this](std::string_view part) { text += part; }, {.is_terminal = width > 0, .width = width}) {}
};

TEST(Progress, APipeGetsALineForEachStateAndEachTenth) {
  Screen screen(0);
  ProgressLine line(screen.output, false);
  api::JobStatus job = waiting_job();
  job.id = {17};
  line.show(job, kNow);
  line.show(job, kNow + 1000);
  job = sample_job();
  for (int step = 0; step <= 600; step += 10) {
    job.progress.step = step;
    line.show(job, kNow);
  }
  line.show(finished_job(), kNow);
  expect_golden("progress-pipe.txt", screen.text);
}

TEST(Progress, ATerminalHasOneLineThatIsDrawnAgain) {
  Screen screen(100);
  {
    ProgressLine line(screen.output, false);
    line.show(sample_job(), kNow);
    line.show(sample_job(), kNow + 100);
    EXPECT_EQ(
        screen.text,
        "17 digits running (attempt 2) [####................]  20 %  step 120/600, loss 0.4119, 1,235 sampl\u2026");
    screen.text.clear();
    line.clear();
    EXPECT_EQ(screen.text, "\r\x1b[K");
    line.redraw();
    EXPECT_LE(display_width(screen.text.substr(4)), 99);
    screen.text.clear();
  }
  EXPECT_EQ(screen.text, "\r\x1b[K") << "the line is taken away at the end";
}

TEST(Progress, QuietSaysNothing) {
  Screen screen(0);
  ProgressLine line(screen.output, true);
  line.show(sample_job(), kNow);
  EXPECT_EQ(screen.text, "");
}

TEST(Progress, PercentIsUnknownWithoutATotalAndBounded) {
  EXPECT_EQ(progress_percent({.step = 5}), std::nullopt);
  EXPECT_EQ(progress_percent({.step = 5, .total_steps = 4}), 100);
  EXPECT_EQ(progress_percent({.step = -5, .total_steps = 4}), 0);
}

}  // namespace
}  // namespace busbar::cli
