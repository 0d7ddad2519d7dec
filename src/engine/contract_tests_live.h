#pragma once

#include <csignal>
#include <map>

#include "engine/contract_tests.h"

/// The part of the contract that speaks of live gangs: tasks that come to an attempt that runs, and leave it.
namespace busbar::engine {

TEST_P(EngineContract, ALiveGangTakesTasksInWhileItRuns) {
  AttemptLaunch launch = launch_of(40, {shell("sleep 1000")});
  launch.is_live = true;
  start_and_release(launch);
  const AttemptLaunch larger = launch_of(40, {{}, shell("echo joined; exit 3"), shell("sleep 1000")});
  const Extension more{.attempt = launch.id, .tasks = {larger.tasks[1], larger.tasks[2]}};
  ASSERT_TRUE(engine_->extend(more).has_value());
  ASSERT_TRUE(engine_->extend(more).has_value());
  ASSERT_TRUE(facts_->wait_for<TasksAdded>()) << first_detail();
  EXPECT_EQ(facts_->all<TasksAdded>().at(0).tasks, 3U);
  ASSERT_TRUE(facts_->wait_for<TaskEnded>());
  EXPECT_EQ(facts_->all<TaskEnded>().at(0).task.rank, 1U);
  EXPECT_EQ(facts_->all<TaskEnded>().at(0).exit_code, 3);
  EXPECT_EQ(log_text(*engine_, {launch.id, 1}), "joined\n");
  stop_and_wait(launch.id);
  EXPECT_EQ(facts_->all<TaskEnded>().size(), 3U);
  EXPECT_EQ(facts_->all<TasksAdded>().size(), 1U);
  EXPECT_EQ(engine_->extend(more).error().code, ErrorCode::kNotFound);
}

TEST_P(EngineContract, ALiveGangLetsItsLastTasksGo) {
  AttemptLaunch launch = launch_of(41, {shell("sleep 1000"), shell("sleep 1000"),
                                        shell("trap '' TERM; echo deaf >> /run/busbar/report.jsonl; sleep 1000")});
  launch.is_live = true;
  start_and_release(launch);
  ASSERT_TRUE(facts_->wait_for<ReportLines>());
  ASSERT_TRUE(engine_->shrink({.attempt = launch.id, .kept = 1, .grace_ms = 300}).has_value());
  ASSERT_TRUE(facts_->wait_for<TasksRemoved>());
  EXPECT_EQ(facts_->all<TasksRemoved>().at(0).kept, 1U);
  std::map<std::uint32_t, TaskEnded> by_rank;
  for (const TaskEnded& ended : facts_->all<TaskEnded>()) by_rank[ended.task.rank] = ended;
  ASSERT_EQ(by_rank.size(), 2U);
  EXPECT_EQ(by_rank[1].exit_class, model::ExitClass::kCancelled);
  EXPECT_EQ(by_rank[1].exit_code, 128 + SIGTERM);
  EXPECT_EQ(by_rank[2].exit_code, 128 + SIGKILL);
  EXPECT_TRUE(facts_->all<AttemptGone>().empty());
  EXPECT_GE(engine_->stats({launch.id, 0}).value().processes, 1U);
  EXPECT_FALSE(engine_->stats({launch.id, 1}).has_value());
  // Once more: the server may not have heard of it.
  ASSERT_TRUE(engine_->shrink({.attempt = launch.id, .kept = 1}).has_value());
  ASSERT_TRUE(facts_->wait_for<TasksRemoved>(2));
  stop_and_wait(launch.id);
  EXPECT_EQ(facts_->all<TaskEnded>().size(), 3U);
}

TEST_P(EngineContract, ARankIsGivenAgainAndOnlyItsNewTaskIsAdopted) {
  AttemptLaunch launch = launch_of(42, {shell("sleep 1000"), shell("sleep 1000")});
  launch.is_live = true;
  start_and_release(launch);
  ASSERT_TRUE(engine_->shrink({.attempt = launch.id, .kept = 1}).has_value());
  ASSERT_TRUE(facts_->wait_for<TasksRemoved>());
  ASSERT_TRUE(engine_->extend({.attempt = launch.id, .tasks = {launch.tasks[1]}}).has_value());
  ASSERT_TRUE(facts_->wait_for<TasksAdded>()) << first_detail();
  reopen({launch});
  ASSERT_TRUE(facts_->wait_for<TasksAdded>());
  EXPECT_TRUE(facts_->all<TaskEnded>().empty()) << "the former task's end is history";
  EXPECT_GE(engine_->stats({launch.id, 1}).value().processes, 1U);
  stop_and_wait(launch.id);
  EXPECT_EQ(facts_->all<TaskEnded>().size(), 2U);
}

TEST_P(EngineContract, TasksThatWereDecidedButNeverAddedWaitToBeAskedForAgain) {
  AttemptLaunch launch = launch_of(43, {shell("sleep 1000")});
  launch.is_live = true;
  start_and_release(launch);
  AttemptLaunch larger = launch_of(43, {shell("sleep 1000"), shell("sleep 1000")});
  larger.is_live = true;
  larger.tasks[1].is_awaited = true;
  reopen({larger});
  ASSERT_TRUE(facts_->wait_for<GangReleased>());
  ASSERT_TRUE(engine_->extend({.attempt = launch.id, .tasks = {larger.tasks[1]}}).has_value());
  ASSERT_TRUE(facts_->wait_for<TasksAdded>()) << first_detail();
  EXPECT_TRUE(facts_->all<TaskEnded>().empty());
  // Told, but not written down by the server: it is there, and is not made twice.
  reopen({larger});
  ASSERT_TRUE(facts_->wait_for<TasksAdded>());
  ASSERT_TRUE(engine_->extend({.attempt = launch.id, .tasks = {larger.tasks[1]}}).has_value());
  EXPECT_GE(engine_->stats({launch.id, 1}).value().processes, 1U);
  stop_and_wait(launch.id);
  EXPECT_EQ(facts_->all<TaskEnded>().size(), 2U);
  EXPECT_EQ(facts_->all<TasksAdded>().size(), 1U);
}

TEST_P(EngineContract, ARankThatWasGivenUpAndIsAwaitedAgainHasNoFormerEnd) {
  AttemptLaunch launch = launch_of(45, {shell("sleep 1000"), shell("sleep 1000")});
  launch.is_live = true;
  start_and_release(launch);
  ASSERT_TRUE(engine_->shrink({.attempt = launch.id, .kept = 1}).has_value());
  ASSERT_TRUE(facts_->wait_for<TasksRemoved>());
  launch.tasks[1].is_awaited = true;
  reopen({launch});
  ASSERT_TRUE(facts_->wait_for<GangReleased>());
  ASSERT_TRUE(engine_->extend({.attempt = launch.id, .tasks = {launch.tasks[1]}}).has_value());
  ASSERT_TRUE(facts_->wait_for<TasksAdded>()) << first_detail();
  EXPECT_TRUE(facts_->all<TaskEnded>().empty());
  EXPECT_TRUE(facts_->all<TasksRemoved>().empty());
  EXPECT_EQ(facts_->all<TasksAdded>().size(), 1U);
  stop_and_wait(launch.id);
  EXPECT_EQ(facts_->all<TaskEnded>().size(), 2U);
}

TEST_P(EngineContract, TasksThatWereToldToLeaveAreGoneAfterARestart) {
  AttemptLaunch launch =
      launch_of(44, {shell("sleep 1000"), shell("trap '' TERM; echo deaf >> /run/busbar/report.jsonl; sleep 1000")});
  launch.is_live = true;
  start_and_release(launch);
  ASSERT_TRUE(facts_->wait_for<ReportLines>());
  ASSERT_TRUE(engine_->shrink({.attempt = launch.id, .kept = 1, .grace_ms = 300}).has_value());
  reopen({launch});
  ASSERT_TRUE(engine_->shrink({.attempt = launch.id, .kept = 1, .grace_ms = 300}).has_value());
  ASSERT_TRUE(facts_->wait_for<TasksRemoved>());
  EXPECT_EQ(facts_->all<TaskEnded>().at(0).exit_code, 128 + SIGKILL);
  EXPECT_TRUE(facts_->all<AttemptGone>().empty());
  stop_and_wait(launch.id);
}

}  // namespace busbar::engine
