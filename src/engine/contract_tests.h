#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "engine/test_support.h"

/// The contract of `Engine` as tests: each implementation instantiates the suite once, with a fixture of its own
/// (fake_engine_test.cc, local/local_contract_test.cc). Include it in one file of a test binary only.
namespace busbar::engine {

class EngineContract : public ::testing::TestWithParam<EngineContractParam> {
 protected:
  void SetUp() override {
    fixture_ = GetParam().make();
    if (const std::string reason = fixture_->skip_reason(); !reason.empty()) {
      GTEST_SKIP() << reason;
    }
    reopen({});
  }

  void TearDown() override {
    if (engine_ && HasFailure()) {
      reopen({});  // an engine that is asked for no attempt removes them all
    }
    if (engine_) {
      engine_->shutdown();
    }
  }

  /// Restarts the server's side.
  void reopen(const std::vector<AttemptLaunch>& active) {
    if (engine_) {
      engine_->shutdown();
      engine_.reset();
    }
    facts_ = std::make_unique<FactLog>();
    engine_ = fixture_->open();
    const auto adopted = engine_->adopt(active, facts_->sink());
    ASSERT_TRUE(adopted.has_value()) << adopted.error().to_string();
    not_begun_ = *adopted;
  }

  void start_and_release(const AttemptLaunch& launch) {
    const auto started = engine_->start(launch);
    ASSERT_TRUE(started.has_value()) << started.error().to_string();
    ASSERT_TRUE(facts_->wait_for<GangCreated>()) << first_detail();
    ASSERT_TRUE(engine_->release(launch.id).has_value());
    ASSERT_TRUE(facts_->wait_for<GangReleased>()) << first_detail();
  }

  void stop_and_wait(model::AttemptId attempt) {
    ASSERT_TRUE(engine_->stop(attempt, 0, 0).has_value());
    ASSERT_TRUE(facts_->wait_for<AttemptGone>());
  }

  std::string first_detail() const {
    const auto ended = facts_->all<TaskEnded>();
    return ended.empty() ? "no task has ended" : ended.front().detail;
  }

  std::unique_ptr<EngineFixture> fixture_;
  std::unique_ptr<FactLog> facts_;
  std::vector<model::AttemptId> not_begun_;
  std::unique_ptr<Engine> engine_;
};

TEST_P(EngineContract, ATaskRunsToItsEndAndItsFactsComeInOrder) {
  const AttemptLaunch launch = launch_of(1, {shell("exit 0")});
  start_and_release(launch);
  ASSERT_TRUE(facts_->wait_for<AttemptGone>());

  const auto ended = facts_->all<TaskEnded>();
  ASSERT_EQ(ended.size(), 1U);
  EXPECT_EQ(ended[0].exit_class, model::ExitClass::kSuccess);
  EXPECT_EQ(ended[0].exit_code, 0);
  EXPECT_LT(facts_->first_index<ImageReady>(), facts_->first_index<GangCreated>());
  EXPECT_LT(facts_->first_index<GangCreated>(), facts_->first_index<GangReleased>());
  EXPECT_LT(facts_->first_index<GangReleased>(), facts_->first_index<TaskEnded>());
  EXPECT_LT(facts_->first_index<TaskEnded>(), facts_->first_index<AttemptGone>());
}

TEST_P(EngineContract, NodesAreObservedFirst) {
  ASSERT_TRUE(facts_->wait_for<NodeObserved>());
  EXPECT_EQ(facts_->first_index<NodeObserved>(), 0);
  const auto nodes = engine_->observe_nodes();
  ASSERT_TRUE(nodes.has_value());
  ASSERT_FALSE(nodes->empty());
  EXPECT_FALSE(nodes->front().cards.empty());
  EXPECT_FALSE(nodes->front().name.empty());
}

TEST_P(EngineContract, ExitCodesComeThroughForEachTask) {
  const AttemptLaunch launch = launch_of(2, {shell("exit 7"), shell("exit 0"), shell("exit 9")});
  start_and_release(launch);
  ASSERT_TRUE(facts_->wait_for<AttemptGone>());

  std::map<std::uint32_t, TaskEnded> by_rank;
  for (const TaskEnded& ended : facts_->all<TaskEnded>()) {
    by_rank[ended.task.rank] = ended;
  }
  ASSERT_EQ(by_rank.size(), 3U);
  EXPECT_EQ(by_rank[0].exit_code, 7);
  EXPECT_EQ(by_rank[0].exit_class, model::ExitClass::kUser);
  EXPECT_EQ(by_rank[1].exit_code, 0);
  EXPECT_EQ(by_rank[2].exit_code, 9);
}

TEST_P(EngineContract, NothingRunsBeforeTheRelease) {
  const AttemptLaunch launch = launch_of(3, {shell("echo ran; exit 3")});
  ASSERT_TRUE(engine_->start(launch).has_value());
  ASSERT_TRUE(facts_->wait_for<GangCreated>()) << first_detail();
  EXPECT_EQ(log_text(*engine_, {launch.id, 0}), "");
  EXPECT_TRUE(facts_->all<TaskEnded>().empty());

  ASSERT_TRUE(engine_->release(launch.id).has_value());
  ASSERT_TRUE(facts_->wait_for<AttemptGone>());
  EXPECT_EQ(log_text(*engine_, {launch.id, 0}), "ran\n");
}

TEST_P(EngineContract, AReleaseBeforeTheGangIsCreatedIsKept) {
  const AttemptLaunch launch = launch_of(4, {shell("exit 0")});
  ASSERT_TRUE(engine_->start(launch).has_value());
  ASSERT_TRUE(engine_->release(launch.id).has_value());
  ASSERT_TRUE(facts_->wait_for<AttemptGone>());
  EXPECT_EQ(facts_->all<GangReleased>().size(), 1U);
}

TEST_P(EngineContract, ASecondStartAndReleaseDoNothing) {
  const AttemptLaunch launch = launch_of(5, {shell("exit 0")});
  ASSERT_TRUE(engine_->start(launch).has_value());
  ASSERT_TRUE(engine_->start(launch).has_value());
  ASSERT_TRUE(engine_->release(launch.id).has_value());
  ASSERT_TRUE(engine_->release(launch.id).has_value());
  ASSERT_TRUE(facts_->wait_for<AttemptGone>());
  ASSERT_TRUE(engine_->start(launch).has_value());
  EXPECT_EQ(facts_->all<GangCreated>().size(), 1U);
  EXPECT_EQ(facts_->all<GangReleased>().size(), 1U);
  EXPECT_EQ(facts_->all<TaskEnded>().size(), 1U);
}

TEST_P(EngineContract, CallsForAnUnknownAttemptAreNotFound) {
  const model::AttemptId id{.job = {404}, .number = 1};
  EXPECT_EQ(engine_->release(id).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(engine_->stop(id, 0, 0).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(engine_->pause(id).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(engine_->resume(id).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(engine_->logs({id, 0}).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(engine_->signal({id, 0}, SIGTERM).error().code, ErrorCode::kFailedPrecondition);
  EXPECT_TRUE(engine_->forget(id).has_value());
}

TEST_P(EngineContract, StopEndsEveryTaskOfTheGang) {
  const AttemptLaunch launch = launch_of(6, {{"/bin/sleep", "1000"}, shell("sleep 1000")});
  start_and_release(launch);
  ASSERT_TRUE(engine_->stop(launch.id, 20'000, 0).has_value());
  ASSERT_TRUE(facts_->wait_for<AttemptGone>());

  const auto ended = facts_->all<TaskEnded>();
  ASSERT_EQ(ended.size(), 2U);
  for (const TaskEnded& each : ended) {
    EXPECT_EQ(each.exit_class, model::ExitClass::kCancelled);
    EXPECT_EQ(each.exit_code, 128 + SIGTERM);
  }
  EXPECT_TRUE(engine_->stop(launch.id, 0, 0).has_value());
}

TEST_P(EngineContract, StopKillsWhatIgnoresSigterm) {
  const AttemptLaunch launch =
      launch_of(7, {shell("trap '' TERM; echo ready >> /run/busbar/report.jsonl; sleep 1000")});
  start_and_release(launch);
  ASSERT_TRUE(facts_->wait_for<ReportLines>());
  ASSERT_TRUE(engine_->stop(launch.id, 0, 0).has_value());
  ASSERT_TRUE(facts_->wait_for<AttemptGone>());
  EXPECT_EQ(facts_->all<TaskEnded>().at(0).exit_code, 128 + SIGKILL);
  EXPECT_EQ(facts_->all<TaskEnded>().at(0).exit_class, model::ExitClass::kCancelled);
}

TEST_P(EngineContract, StopBeforeTheReleaseLeavesNothing) {
  const AttemptLaunch launch = launch_of(8, {shell("exit 0"), shell("exit 0")});
  ASSERT_TRUE(engine_->start(launch).has_value());
  ASSERT_TRUE(engine_->stop(launch.id, 0, 0).has_value());
  ASSERT_TRUE(facts_->wait_for<AttemptGone>());
  EXPECT_EQ(facts_->all<TaskEnded>().size(), 2U);
  EXPECT_TRUE(facts_->all<GangReleased>().empty());
}

TEST_P(EngineContract, SignalsReachTheTask) {
  const AttemptLaunch launch = launch_of(9, {{"/bin/sleep", "1000"}});
  start_and_release(launch);
  ASSERT_TRUE(engine_->signal({launch.id, 0}, SIGTERM).has_value());
  ASSERT_TRUE(facts_->wait_for<AttemptGone>());
  EXPECT_EQ(facts_->all<TaskEnded>().at(0).exit_code, 128 + SIGTERM);
  EXPECT_EQ(facts_->all<TaskEnded>().at(0).exit_class, model::ExitClass::kUser);
}

TEST_P(EngineContract, PausedTasksCanBeResumedAndStopped) {
  const AttemptLaunch launch = launch_of(10, {{"/bin/sleep", "1000"}});
  start_and_release(launch);
  ASSERT_TRUE(engine_->pause(launch.id).has_value());
  ASSERT_TRUE(engine_->resume(launch.id).has_value());
  ASSERT_TRUE(engine_->pause(launch.id).has_value());
  stop_and_wait(launch.id);
}

TEST_P(EngineContract, OutputIsInTheLogFilesAlsoAfterTheEnd) {
  const AttemptLaunch launch = launch_of(11, {shell("echo hello; exit 0"), shell("echo other; exit 0")});
  start_and_release(launch);
  ASSERT_TRUE(facts_->wait_for<AttemptGone>());
  EXPECT_EQ(log_text(*engine_, {launch.id, 0}), "hello\n");
  EXPECT_EQ(log_text(*engine_, {launch.id, 1}), "other\n");
}

TEST_P(EngineContract, ReportsComeWithTheOffsetAfterThem) {
  const std::string line = R"({"step":1})";
  const AttemptLaunch launch = launch_of(12, {shell("echo '" + line + "' >> /run/busbar/report.jsonl; exit 0")});
  start_and_release(launch);
  ASSERT_TRUE(facts_->wait_for<AttemptGone>());
  const auto reports = facts_->all<ReportLines>();
  ASSERT_EQ(reports.size(), 1U);
  EXPECT_EQ(reports[0].lines, std::vector<std::string>{line});
  EXPECT_EQ(reports[0].offset, line.size() + 1);
  EXPECT_LT(facts_->first_index<ReportLines>(), facts_->first_index<AttemptGone>());
}

TEST_P(EngineContract, ReportsAreDeliveredAgainAfterARestartUnlessTheServerHasThem) {
  const std::string line = R"({"step":1})";
  AttemptLaunch launch = launch_of(13, {shell("echo '" + line + "' >> /run/busbar/report.jsonl; sleep 1000")});
  start_and_release(launch);
  ASSERT_TRUE(facts_->wait_for<ReportLines>());

  reopen({launch});
  ASSERT_TRUE(facts_->wait_for<ReportLines>());
  EXPECT_EQ(facts_->all<ReportLines>().at(0).lines, std::vector<std::string>{line});

  launch.tasks[0].report_offset = line.size() + 1;
  reopen({launch});
  stop_and_wait(launch.id);
  EXPECT_TRUE(facts_->all<ReportLines>().empty());
}

TEST_P(EngineContract, RunningAttemptsAreAdopted) {
  const AttemptLaunch launch = launch_of(14, {{"/bin/sleep", "1000"}});
  start_and_release(launch);
  reopen({launch});
  ASSERT_TRUE(facts_->wait_for<GangReleased>());
  EXPECT_TRUE(facts_->all<TaskEnded>().empty());
  ASSERT_TRUE(engine_->start(launch).has_value());
  EXPECT_GE(engine_->stats({launch.id, 0}).value().processes, 1U);
  stop_and_wait(launch.id);
  EXPECT_EQ(facts_->all<TaskEnded>().size(), 1U);
}

TEST_P(EngineContract, AGangAtTheBarrierIsAdoptedAndReleased) {
  const AttemptLaunch launch = launch_of(15, {shell("exit 4")});
  ASSERT_TRUE(engine_->start(launch).has_value());
  ASSERT_TRUE(facts_->wait_for<GangCreated>()) << first_detail();
  reopen({launch});
  ASSERT_TRUE(facts_->wait_for<GangCreated>());
  EXPECT_TRUE(facts_->all<GangReleased>().empty());
  ASSERT_TRUE(engine_->release(launch.id).has_value());
  ASSERT_TRUE(facts_->wait_for<AttemptGone>());
  EXPECT_EQ(facts_->all<TaskEnded>().at(0).exit_code, 4);
}

TEST_P(EngineContract, FactsOfAnAttemptThatIsOverAreDeliveredAgain) {
  const AttemptLaunch launch = launch_of(16, {shell("exit 5")});
  start_and_release(launch);
  ASSERT_TRUE(facts_->wait_for<AttemptGone>());
  reopen({launch});
  ASSERT_TRUE(facts_->wait_for<AttemptGone>());
  EXPECT_EQ(facts_->all<TaskEnded>().at(0).exit_code, 5);
  EXPECT_EQ(facts_->all<TaskEnded>().at(0).exit_class, model::ExitClass::kUser);
}

TEST_P(EngineContract, AnAttemptThatWasNeverMadeIsReportedAsLost) {
  reopen({launch_of(17, {shell("exit 0"), shell("exit 0")})});
  ASSERT_TRUE(facts_->wait_for<AttemptGone>());
  const auto ended = facts_->all<TaskEnded>();
  ASSERT_EQ(ended.size(), 2U);
  EXPECT_EQ(ended[0].exit_class, model::ExitClass::kInfrastructure);
  EXPECT_NE(ended[0].detail.find("lost while the server was down"), std::string::npos);
}

TEST_P(EngineContract, AnAttemptThatMayBeginAgainAndWasNeverMadeWaitsForItsStart) {
  AttemptLaunch launch = launch_of(30, {shell("exit 6")});
  launch.may_begin_again = true;
  reopen({launch});
  EXPECT_EQ(not_begun_, std::vector{launch.id});
  start_and_release(launch);
  ASSERT_TRUE(facts_->wait_for<AttemptGone>());
  ASSERT_EQ(facts_->all<TaskEnded>().size(), 1U);
  EXPECT_EQ(facts_->all<TaskEnded>().at(0).exit_code, 6);
}

TEST_P(EngineContract, AGangAtTheBarrierDoesNotBeginAgainThoughItMight) {
  AttemptLaunch launch = launch_of(31, {shell("exit 4")});
  launch.may_begin_again = true;
  ASSERT_TRUE(engine_->start(launch).has_value());
  ASSERT_TRUE(facts_->wait_for<GangCreated>()) << first_detail();
  reopen({launch});
  EXPECT_TRUE(not_begun_.empty());
  ASSERT_TRUE(facts_->wait_for<GangCreated>());
  stop_and_wait(launch.id);
}

TEST_P(EngineContract, AttemptsThatTheServerDoesNotKnowAreRemoved) {
  const AttemptLaunch launch = launch_of(18, {{"/bin/sleep", "1000"}});
  start_and_release(launch);
  reopen({});
  EXPECT_EQ(engine_->stats({launch.id, 0}).error().code, ErrorCode::kFailedPrecondition);
  EXPECT_EQ(engine_->release(launch.id).error().code, ErrorCode::kNotFound);
}

TEST_P(EngineContract, ExecRunsInsideTheTask) {
  const AttemptLaunch launch = launch_of(19, {{"/bin/sleep", "1000"}});
  start_and_release(launch);
  SessionLog log;
  const auto session = engine_->exec({.task = {launch.id, 0}, .argv = shell("echo inside; exit 6")}, log.callbacks());
  ASSERT_TRUE(session.has_value()) << session.error().to_string();
  ASSERT_TRUE(log.wait_for_exit());
  EXPECT_EQ(log.output(), "inside\n");
  EXPECT_EQ(log.exit_code(), 6);
  stop_and_wait(launch.id);
}

TEST_P(EngineContract, ExecWithATerminalKeepsTheExitCode) {
  const AttemptLaunch launch = launch_of(27, {{"/bin/sleep", "1000"}});
  start_and_release(launch);
  SessionLog log;
  const auto session = engine_->exec(
      {.task = {launch.id, 0}, .argv = shell("echo inside; exit 6"), .has_terminal = true, .rows = 30, .columns = 90},
      log.callbacks());
  ASSERT_TRUE(session.has_value()) << session.error().to_string();
  ASSERT_TRUE(log.wait_for_exit());
  EXPECT_NE(log.output().find("inside"), std::string::npos);
  EXPECT_EQ(log.exit_code(), 6);
  stop_and_wait(launch.id);
}

TEST_P(EngineContract, ExecAndStatsNeedARunningTask) {
  const AttemptLaunch launch = launch_of(20, {shell("exit 0")});
  start_and_release(launch);
  ASSERT_TRUE(facts_->wait_for<AttemptGone>());
  const auto session = engine_->exec({.task = {launch.id, 0}, .argv = {"/bin/true"}}, {});
  ASSERT_FALSE(session.has_value());
  EXPECT_EQ(session.error().code, ErrorCode::kFailedPrecondition);
  EXPECT_EQ(engine_->stats({launch.id, 0}).error().code, ErrorCode::kFailedPrecondition);
}

TEST_P(EngineContract, AttachNeedsATerminal) {
  const AttemptLaunch launch = launch_of(21, {{"/bin/sleep", "1000"}});
  start_and_release(launch);
  const auto session = engine_->attach({launch.id, 0}, {});
  ASSERT_FALSE(session.has_value());
  EXPECT_EQ(session.error().code, ErrorCode::kFailedPrecondition);
  stop_and_wait(launch.id);
}

TEST_P(EngineContract, AttachGivesTheTasksOwnTerminal) {
  AttemptLaunch launch = launch_of(22, {{"/bin/sh"}});
  launch.has_terminal = true;
  start_and_release(launch);
  SessionLog log;
  const auto session = engine_->attach({launch.id, 0}, log.callbacks());
  ASSERT_TRUE(session.has_value()) << session.error().to_string();
  (*session)->resize(40, 100);
  (*session)->write_input("echo typed\n");
  ASSERT_TRUE(log.wait_for_output("typed"));
  (*session)->write_input("exit 3\n");
  ASSERT_TRUE(log.wait_for_exit());
  EXPECT_EQ(log.exit_code(), 3);
  ASSERT_TRUE(facts_->wait_for<AttemptGone>());
  EXPECT_EQ(facts_->all<TaskEnded>().at(0).exit_code, 3);
}

TEST_P(EngineContract, PortsAreLeasedOnce) {
  const model::AttemptId first{.job = {23}, .number = 1};
  const model::AttemptId second{.job = {24}, .number = 1};
  auto ports = engine_->lease_ports(first, 3).value();
  const auto more = engine_->lease_ports(second, 3).value();
  EXPECT_EQ(engine_->leased_ports(first), ports);
  EXPECT_TRUE(engine_->leased_ports({.job = {25}, .number = 1}).empty());
  ports.insert(ports.end(), more.begin(), more.end());
  std::sort(ports.begin(), ports.end());
  EXPECT_EQ(ports.size(), 6U);
  EXPECT_EQ(std::adjacent_find(ports.begin(), ports.end()), ports.end());
  EXPECT_GT(ports.front(), 1023);
}

TEST_P(EngineContract, PreviewShowsEachTaskAndStartsNothing) {
  const AttemptLaunch launch = launch_of(25, {shell("exit 0"), {"/bin/true"}});
  const auto configs = engine_->preview(launch);
  ASSERT_TRUE(configs.has_value()) << configs.error().to_string();
  ASSERT_EQ(configs->size(), 2U);
  EXPECT_EQ((*configs)[1]["hostname"].as_string(), "task-1");
  EXPECT_NE((*configs)[1].dump().find("/bin/true"), std::string::npos);
  EXPECT_EQ(engine_->release(launch.id).error().code, ErrorCode::kNotFound);
}

TEST_P(EngineContract, ForgetTakesOnlyWhatIsGone) {
  const AttemptLaunch launch = launch_of(26, {{"/bin/sleep", "1000"}});
  start_and_release(launch);
  EXPECT_EQ(engine_->forget(launch.id).error().code, ErrorCode::kFailedPrecondition);
  stop_and_wait(launch.id);
  EXPECT_TRUE(engine_->logs({launch.id, 0}).has_value());
  EXPECT_TRUE(engine_->forget(launch.id).has_value());
  EXPECT_EQ(engine_->logs({launch.id, 0}).error().code, ErrorCode::kNotFound);
  EXPECT_TRUE(engine_->forget(launch.id).has_value()) << "once more";
}

TEST_P(EngineContract, KeepsTheFilesOfWhatIsGoneUntilTheyAreForgotten) {
  const AttemptLaunch running = launch_of(28, {{"/bin/sleep", "1000"}});
  start_and_release(running);
  EXPECT_TRUE(engine_->kept()->empty()) << "what runs is not gone";
  const AttemptLaunch first = launch_of(29, {shell("echo a line of its log; exit 0")});
  const AttemptLaunch second = launch_of(30, {shell("exit 3")});
  for (const AttemptLaunch* launch : {&first, &second}) {
    ASSERT_TRUE(engine_->start(*launch).has_value());
    ASSERT_TRUE(engine_->release(launch->id).has_value());
  }
  ASSERT_TRUE(facts_->wait_for<AttemptGone>(2));
  EXPECT_EQ(engine_->kept().value(), (std::vector{first.id, second.id}));
  EXPECT_GE(engine_->kept_bytes(first.id).value, 18);

  reopen({running});
  EXPECT_EQ(engine_->kept().value(), (std::vector{first.id, second.id})) << "also after a restart";
  ASSERT_TRUE(engine_->forget(first.id).has_value());
  EXPECT_EQ(engine_->kept().value(), std::vector{second.id});
  EXPECT_EQ(engine_->kept_bytes(first.id).value, 0);
  ASSERT_TRUE(engine_->forget(second.id).has_value());
  ASSERT_TRUE(engine_->stop(running.id, 0, 0).has_value());
  ASSERT_TRUE(facts_->wait_for<AttemptGone>());
}

}  // namespace busbar::engine

#include "engine/contract_tests_live.h"  // Of the same suite.
