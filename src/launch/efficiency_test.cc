#include "launch/efficiency.h"

#include <gtest/gtest.h>

#include <numeric>
#include <random>
#include <string>

namespace busbar::launch {
namespace {

using model::ExitClass;

constexpr TimeMs kStartMs = 1'000'000;

Report step(TimeMs at_ms, std::int64_t number) {
  return {.kind = Report::Kind::kStep,
          .time_ms = at_ms,
          .step = number,
          .total_steps = 100,
          .samples = number * 32,
          .tokens = number * 1000,
          .loss = 0.5,
          .has_loss = true};
}
Report event(Report::Kind kind, TimeMs at_ms) {
  return {.kind = kind, .time_ms = at_ms, .text = "/ckpt/1"};
}

std::int64_t of(const EfficiencyAccount& account, Bucket bucket, TimeMs now_ms) {
  return account.totals(now_ms)[static_cast<std::size_t>(bucket)];
}
std::int64_t sum(const EfficiencyAccount& account, TimeMs now_ms) {
  const auto totals = account.totals(now_ms);
  return std::accumulate(totals.begin(), totals.end(), std::int64_t{0});
}

/// Placed after 10 ms, image 20 ms, start 30 ms; released 60 ms after submission.
EfficiencyAccount running() {
  EfficiencyAccount account(kStartMs, 2000);
  account.placed(kStartMs + 10);
  account.image_ready(kStartMs + 30);
  account.started(kStartMs + 60);
  return account;
}

TEST(EfficiencyAccount, PhasesOfASilentJob) {
  EfficiencyAccount account = running();
  account.attempt_ended(kStartMs + 100, ExitClass::kSuccess);
  account.finished(kStartMs + 100);
  const TimeMs later = kStartMs + 10'000;
  EXPECT_EQ(of(account, Bucket::kQueue, later), 10 * 2000);
  EXPECT_EQ(of(account, Bucket::kImage, later), 20 * 2000);
  EXPECT_EQ(of(account, Bucket::kStart, later), 30 * 2000);
  EXPECT_EQ(of(account, Bucket::kCompute, later), 40 * 2000);
  EXPECT_EQ(sum(account, later), 100 * 2000);
}

TEST(EfficiencyAccount, TimeBeforeTheFirstStepIsStart) {
  EfficiencyAccount account = running();
  EXPECT_EQ(of(account, Bucket::kCompute, kStartMs + 80), 20 * 2000);
  account.report(step(kStartMs + 100, 1));
  EXPECT_EQ(of(account, Bucket::kStart, kStartMs + 100), 70 * 2000);
  EXPECT_EQ(of(account, Bucket::kCompute, kStartMs + 150), 50 * 2000);
}

TEST(EfficiencyAccount, WorkAfterTheLastCheckpointOfAFailedAttemptIsLost) {
  EfficiencyAccount account = running();
  account.report(step(kStartMs + 100, 1));
  account.report(event(Report::Kind::kCheckpointBegin, kStartMs + 200));
  account.report(event(Report::Kind::kCheckpointEnd, kStartMs + 250));
  account.report(step(kStartMs + 300, 2));
  account.stopping(kStartMs + 400);
  account.attempt_ended(kStartMs + 420, ExitClass::kPreempted);
  const TimeMs now = kStartMs + 500;
  EXPECT_EQ(of(account, Bucket::kCompute, now), 100 * 2000);
  EXPECT_EQ(of(account, Bucket::kCheckpoint, now), 50 * 2000);
  EXPECT_EQ(of(account, Bucket::kLost, now), (150 + 20) * 2000);
  EXPECT_EQ(of(account, Bucket::kQueue, now), (10 + 80) * 2000);
  EXPECT_EQ(sum(account, now), 500 * 2000);
  EXPECT_EQ(account.progress().last_checkpoint, "/ckpt/1");
}

TEST(EfficiencyAccount, AStepEndsACheckpointThatFailed) {
  EfficiencyAccount account = running();
  account.report(step(kStartMs + 100, 1));
  account.report(event(Report::Kind::kCheckpointBegin, kStartMs + 200));
  account.report(step(kStartMs + 300, 2));
  account.attempt_ended(kStartMs + 350, ExitClass::kUser);
  EXPECT_EQ(of(account, Bucket::kCheckpoint, kStartMs + 350), 100 * 2000);
  EXPECT_EQ(of(account, Bucket::kLost, kStartMs + 350), 150 * 2000);
}

TEST(EfficiencyAccount, ACancelledAttemptLosesNothing) {
  EfficiencyAccount account = running();
  account.report(step(kStartMs + 100, 1));
  account.attempt_ended(kStartMs + 200, ExitClass::kCancelled);
  EXPECT_EQ(of(account, Bucket::kLost, kStartMs + 200), 0);
}

TEST(EfficiencyAccount, LongSilenceOfAReportingJobIsIdle) {
  EfficiencyAccount account = running();
  account.report(step(kStartMs + 100, 1));
  account.report(step(kStartMs + 200, 2));
  const TimeMs later = kStartMs + 200 + kIdleAfterMs + 500;
  EXPECT_EQ(of(account, Bucket::kIdle, later), 500 * 2000);
  account.report(step(later, 3));
  EXPECT_EQ(of(account, Bucket::kIdle, later + 10), 500 * 2000);
  EXPECT_EQ(sum(account, later + 10), (later + 10 - kStartMs) * 2000);
}

TEST(EfficiencyAccount, RatesComeFromTheLastReports) {
  EfficiencyAccount account = running();
  account.report(step(kStartMs + 1000, 10));
  account.report(step(kStartMs + 3000, 20));
  const auto progress = account.progress();
  EXPECT_DOUBLE_EQ(progress.steps_per_second.value(), 5.0);
  EXPECT_DOUBLE_EQ(progress.samples_per_second.value(), 160.0);
  EXPECT_EQ(progress.eta_ms, 16'000);
  EXPECT_EQ(progress.total_steps, 100);
}

TEST(EfficiencyAccount, CountsTheCardsThatItHasNotThoseOfBefore) {
  EfficiencyAccount account(kStartMs, 3000);
  account.placed(kStartMs + 1000);
  account.resized(kStartMs + 1000, 1000);
  account.started(kStartMs + 1000);
  account.resized(kStartMs + 3000, 2000);
  account.attempt_ended(kStartMs + 7000, ExitClass::kPreempted);
  const auto totals = account.totals(kStartMs + 8000);
  EXPECT_EQ(totals[static_cast<std::size_t>(Bucket::kQueue)], 3'000'000 + 3'000'000) << "what it asks for";
  EXPECT_EQ(totals[static_cast<std::size_t>(Bucket::kLost)], 2 * 1'000'000 + 4 * 2'000'000);
}

TEST(EfficiencyAccount, SumsAreExactAndStoredExactlyUnderAnyOrderOfFacts) {
  for (std::uint32_t seed = 1; seed <= 100; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    const std::int64_t milli_cards = random() % 20'000;
    EfficiencyAccount account(kStartMs, milli_cards);
    TimeMs now = kStartMs;
    std::int64_t had = 0;
    for (int fact = 0; fact < 60; ++fact) {
      const TimeMs before = now;
      now += random() % 8 == 0 ? random() % 200'000 : random() % 3'000;
      had += (now - before) * account.milli_cards();
      switch (random() % 10) {
        case 0:
          account.placed(now);
          break;
        case 1:
          account.image_ready(now);
          break;
        case 2:
          account.started(now);
          break;
        case 3:
          account.stopping(now);
          break;
        case 4:
          account.attempt_ended(now, static_cast<ExitClass>(random() % 7));
          break;
        case 5:
          account.report(event(Report::Kind::kCheckpointBegin, now));
          break;
        case 6:
          account.report(event(Report::Kind::kCheckpointEnd, now));
          break;
        case 7:
          account.resized(now, random() % 20'000);
          break;
        default:
          account.report(step(now, fact));
          break;
      }
      ASSERT_EQ(sum(account, now), had);
      const auto text = parse_json(account.to_json().dump());
      ASSERT_TRUE(text);
      const auto stored = EfficiencyAccount::from_json(*text);
      ASSERT_TRUE(stored) << stored.error().to_string();
      ASSERT_EQ(*stored, account);
      for (const std::int64_t amount : account.totals(now + 70'000)) {
        ASSERT_GE(amount, 0);
      }
    }
    account.finished(now);
    EXPECT_EQ(sum(account, now + 1'000'000), had);
  }
}

TEST(ReportLine, ReadsWhatTheSdkWrites) {
  const auto report = parse_report_line(
      R"({"kind":"step","time_ms":1700000000000,"step":7,"total_steps":100,"samples":64,"loss":0.25,"metrics":{"lr":0.1}})");
  ASSERT_TRUE(report) << report.error().to_string();
  EXPECT_EQ(report->step, 7);
  EXPECT_TRUE(report->has_loss);
  EXPECT_EQ(report->metrics, (std::vector<std::pair<std::string, double>>{{"lr", 0.1}}));
}

TEST(ReportLine, RefusesWhatIsNotOurs) {
  for (const std::string& line :
       {std::string(""), std::string("hello"), std::string("[]"), std::string("{}"), std::string(R"({"kind":"x"})"),
        std::string(R"({"kind":"step"})"), std::string(R"({"kind":"step","time_ms":-1})"),
        std::string(R"({"kind":"step","time_ms":1,"step":-1})"),
        std::string(R"({"kind":"step","time_ms":1,"step":1.5})"),
        std::string(R"({"kind":"metric","time_ms":1,"metrics":{"a":"b"}})"), std::string(70'000, ' ')}) {
    SCOPED_TRACE(line.substr(0, 60));
    EXPECT_FALSE(parse_report_line(line));
  }
}

TEST(Mfu, ComparesWithTheDensePeak) {
  model::JobSpec spec{.precision = "bf16", .efficiency = {.parameters = 1'000'000'000}};
  EfficiencyAccount::Progress progress;
  EXPECT_FALSE(model_flops_utilisation(spec, progress, 989'000, 8000));
  progress.tokens_per_second = 100'000;
  const auto mfu = model_flops_utilisation(spec, progress, 1'000'000, 8000);
  ASSERT_TRUE(mfu);
  EXPECT_NEAR(mfu->value, 6e9 * 1e5 / (1e15 * 8), 1e-12);
  EXPECT_EQ(mfu->denominator, "nominal-dense bf16");
  EXPECT_FALSE(model_flops_utilisation(spec, progress, 0, 8000));
}

}  // namespace
}  // namespace busbar::launch
