#include "control/controller.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "control/controller_testing.h"

namespace busbar::control {
namespace {

using model::JobState;

TEST_F(ControllerTest, RunsAJobToItsEndAndKeepsItsStory) {
  const auto outcome = submit("name: one\nrun: exit 0\n");
  ASSERT_TRUE(outcome) << outcome.error().to_string();
  const model::JobId id = outcome->jobs.front().id;
  listener_->wait(id, JobState::kSucceeded);
  const api::JobStatus done = status(id);
  EXPECT_EQ(done.exit_code, 0);
  ASSERT_EQ(done.attempts.size(), 1U);
  EXPECT_EQ(done.attempts.front().tasks.front().state, "ended");
  EXPECT_GT(done.ended_ms, 0);
  for (const char* kind : {"submitted", "placed", "started", "succeeded"})
    EXPECT_TRUE(listener_->has_seen(kind)) << kind;
}

TEST_F(ControllerTest, CardMillisecondsAddUpToTheJobsWholeLife) {
  const auto outcome = submit("name: one\nrun: exit 0\nnodes: 2\nresources: {accelerators: 'cpu:2'}\n");
  ASSERT_TRUE(outcome) << outcome.error().to_string();
  const model::JobId id = outcome->jobs.front().id;
  listener_->wait(id, JobState::kSucceeded);
  const api::JobStatus done = status(id);
  EXPECT_EQ(done.efficiency.total_milli_card_ms, (done.ended_ms - done.submitted_ms) * 4000);
}

TEST_F(ControllerTest, GivesTheSameJobForTheSameClientKeyAlsoAfterARestart) {
  const auto first = submit("name: one\nrun: exit 0\n", "key");
  ASSERT_TRUE(first);
  listener_->wait(first->jobs.front().id, JobState::kSucceeded);
  crash();
  boot();
  const auto again = submit("name: one\nrun: exit 0\n", "key");
  ASSERT_TRUE(again);
  EXPECT_TRUE(again->is_repeated);
  EXPECT_EQ(again->jobs.front().id, first->jobs.front().id);
}

TEST_F(ControllerTest, FindsAfterARestartTheExitThatHappenedInBetween) {
  const auto outcome = submit("name: one\nrun: sleep 1000\n");
  ASSERT_TRUE(outcome);
  const model::JobId id = outcome->jobs.front().id;
  listener_->wait(id, JobState::kRunning);
  crash();
  machine_->end_task({{id, 1}, 0}, model::ExitClass::kUser, 9);
  boot();
  listener_->wait(id, JobState::kFailed);
  const api::JobStatus done = status(id);
  EXPECT_EQ(done.exit_code, 9);
  EXPECT_EQ(machine_->started().size(), 1U) << "nothing may start twice";
}

TEST_F(ControllerTest, StartsAgainAnAttemptThatTheEngineNeverGot) {
  machine_->fail_next_start({.code = ErrorCode::kUnavailable, .message = "runtime away"});
  const auto outcome = submit("name: one\nrun: exit 0\n");
  ASSERT_TRUE(outcome);
  const api::JobStatus done = listener_->wait(outcome->jobs.front().id, JobState::kSucceeded);
  EXPECT_EQ(done.attempt, 2U);
  EXPECT_EQ(done.attempts.front().exit_class, "infrastructure");
}

TEST_F(ControllerTest, AServerThatDiesWhileItStartsAJobCostsTheJobNothing) {
  machine_ = std::make_shared<engine::FakeMachine>(engine::FakeMachineOptions{.creates_by_itself = false});
  crash();
  boot();
  const auto outcome = submit("name: one\nrun: sleep 1000\n");
  ASSERT_TRUE(outcome);
  const model::JobId id = outcome->jobs.front().id;
  for (int life = 0; life < 8; ++life) {  // more than the failures of the platform that a job is given
    crash();
    boot();
  }
  machine_->create_gang({id, 1});
  const api::JobStatus running = listener_->wait(id, JobState::kRunning);
  EXPECT_EQ(running.attempt, 1U);
}

TEST_F(ControllerTest, AStopThatNeverReachedTheEngineIsGivenAgain) {
  const auto outcome = submit("name: one\nrun: sleep 1000\n");
  ASSERT_TRUE(outcome);
  const model::JobId id = outcome->jobs.front().id;
  listener_->wait(id, JobState::kRunning);
  crash();
  {
    // What a server does that dies between its commit and its order.
    auto opened = store::open_sqlite_store({.path = dir_.path() + "/busbar.db", .is_synchronous_full = false});
    ASSERT_TRUE(opened);
    Ledger ledger(clock_, **opened, {});
    ASSERT_TRUE(ledger.recover());
    ASSERT_TRUE(ledger.cancel(id, std::nullopt, "ada", ""));
    ASSERT_TRUE((*opened)->commit(ledger.take_step().transaction));
  }
  boot();
  listener_->wait(id, JobState::kCancelled);
}

TEST_F(ControllerTest, RefusesWhatCanNeverFitWithTheProof) {
  const auto outcome = submit("name: big\nrun: exit 0\nresources: {accelerators: 'cpu:400'}\n");
  ASSERT_FALSE(outcome);
  EXPECT_EQ(outcome.error().code, ErrorCode::kInfeasible);
  EXPECT_NE(outcome.error().message.find("400"), std::string::npos) << outcome.error().message;
}

TEST_F(ControllerTest, CancelsAWaitingJobAtOnce) {
  const auto holder = submit("name: holder\nrun: sleep 1000\nresources: {accelerators: 'cpu:4'}\n");
  ASSERT_TRUE(holder);
  const auto waiting = submit("name: waiting\nrun: exit 0\nresources: {accelerators: 'cpu:1'}\n");
  ASSERT_TRUE(waiting);
  const model::JobId id = waiting->jobs.front().id;
  EXPECT_EQ(waiting->jobs.front().state, JobState::kQueued);
  ASSERT_TRUE(ask<bool>([id](Ledger& ledger) -> Result<bool> {
    TRY(ledger.cancel(id, std::nullopt, "ada", ""));
    return true;
  }));
  listener_->wait(id, JobState::kCancelled);
}

TEST_F(ControllerTest, KeepsReservedNodesFreeAcrossARestartUntilCancelled) {
  const auto made = ask<api::ReservationStatus>([](Ledger& ledger) {
    const std::string node = ledger.core().find_node(ledger.core().nodes().front())->name;
    return ledger.reserve({.name = "firmware", .nodes = {node}, .duration_ms = 3'600'000}, "root");
  });
  ASSERT_TRUE(made) << made.error().to_string();
  EXPECT_TRUE(made->is_active);
  const auto outcome = submit("name: one\nrun: exit 0\ntime_limit: 1m\n");
  ASSERT_TRUE(outcome) << outcome.error().to_string();
  EXPECT_EQ(outcome->jobs.front().state, JobState::kQueued);
  crash();
  boot();
  const auto list =
      ask<api::ReservationList>([](Ledger& ledger) -> Result<api::ReservationList> { return ledger.reservations(); });
  ASSERT_EQ(list->reservations.size(), 1U);
  EXPECT_EQ(list->reservations.front(), *made);
  EXPECT_EQ(status(outcome->jobs.front().id).state, JobState::kQueued);
  ASSERT_TRUE(ask<bool>([](Ledger& ledger) -> Result<bool> {
    TRY(ledger.cancel_reservation("firmware", "root"));
    return true;
  }));
  listener_->wait(outcome->jobs.front().id, JobState::kSucceeded);
}

TEST_F(ControllerTest, TheRulesOfTheConfigurationHoldFromItsStartOn) {
  const auto hold_ms = [&] {
    return *ask<std::int64_t>([](Ledger& ledger) -> Result<std::int64_t> { return ledger.core().policy().hold_ms; });
  };
  const auto sequence = [&] {
    return *ask<std::uint64_t>([](Ledger& ledger) -> Result<std::uint64_t> { return ledger.sequence(); });
  };
  ASSERT_EQ(hold_ms(), sched::Policy{}.hold_ms);
  crash();
  options_.policy.hold_ms = 77'000;
  boot();
  EXPECT_EQ(hold_ms(), 77'000);
  const std::uint64_t before = sequence();
  crash();
  boot();
  EXPECT_EQ(hold_ms(), 77'000);
  EXPECT_EQ(sequence(), before) << "what holds already is not recorded again";
}

TEST_F(ControllerTest, RefusesReservationsOfNodesAndQueuesThatDoNotExist) {
  const auto reserve = [this](api::ReservationRequest request) {
    return ask<api::ReservationStatus>([request](Ledger& ledger) { return ledger.reserve(request, "root"); });
  };
  const auto unknown_node = reserve({.name = "x", .nodes = {"nowhere"}, .duration_ms = 1'000});
  EXPECT_EQ(unknown_node.error().code, ErrorCode::kNotFound);
  EXPECT_EQ(reserve({.name = "x", .nodes = {}, .duration_ms = 1'000}).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(reserve({.name = "X Y", .duration_ms = 1'000}).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(reserve({.name = "x", .duration_ms = 0}).error().code, ErrorCode::kInvalidArgument);
}

TEST_F(ControllerTest, HoldsEverythingBackWhileTheStoreRefusesAndGoesOnAfter) {
  store_->is_full = true;
  const launch::ParsedJob parsed = launch::parse_job_file("name: one\nrun: exit 0\n");
  std::promise<std::pair<model::JobId, bool>> answered;
  controller_->post([&](Ledger& ledger) -> Controller::Reply {
    const auto outcome = ledger.submit({.members = {parsed.spec}, .user = "ada"});
    const model::JobId id = outcome->jobs.front().id;
    return [&, id](const Ledger&) { answered.set_value({id, controller_->is_degraded()}); };
  });
  const auto [id, is_unconfirmed] = answered.get_future().get();
  EXPECT_TRUE(is_unconfirmed);
  EXPECT_TRUE(machine_->started().empty()) << "nothing starts that is not on disk";
  store_->is_full = false;
  listener_->wait(id, JobState::kSucceeded);
  EXPECT_FALSE(controller_->is_degraded());
}

TEST_F(ControllerTest, ReportsBecomeProgressAndAreCountedOnce) {
  const auto outcome = submit("name: one\nrun: sleep 1000\n");
  ASSERT_TRUE(outcome);
  const model::JobId id = outcome->jobs.front().id;
  listener_->wait(id, JobState::kRunning);
  machine_->report({{id, 1}, 0}, {R"({"kind":"step","time_ms":1,"step":5,"total_steps":10,"loss":0.5})"});
  crash();
  boot();
  machine_->end_task({{id, 1}, 0}, model::ExitClass::kSuccess, 0);
  listener_->wait(id, JobState::kSucceeded);
  EXPECT_EQ(status(id).progress.step, 5);
  EXPECT_EQ(status(id).progress.total_steps, 10);
}

TEST_F(ControllerTest, ACardThatFailsIsToldWithItsReasonAndGetsNoMoreWork) {
  const auto card_of = [this](std::size_t index) {
    return *ask<api::CardStatus>(
        [index](Ledger& ledger) -> Result<api::CardStatus> { return ledger.node_statuses().at(0).cards.at(index); });
  };
  // What the engine saw at its start comes before the end of a job.
  const auto first = submit("name: first\nrun: exit 0\n");
  ASSERT_TRUE(first);
  listener_->wait(first->jobs.front().id, JobState::kSucceeded);
  const std::size_t cards = engine_->observe_nodes()->at(0).cards.size();
  const auto observe = [this](model::CardHealth health, const std::string& why) {
    engine::NodeObserved fact{.node = engine_->observe_nodes()->at(0)};
    fact.node.cards.at(0).health = health;
    if (!why.empty()) fact.health_details[0] = why;
    (void)ask<bool>([fact](Ledger& ledger) -> Result<bool> {
      ledger.on_fact({.time_ms = 1, .body = fact});
      return true;
    });
  };
  // Facts come in order: what the engine said of its node when it began is behind us once a job has run.
  listener_->wait(submit("name: first\nrun: exit 0\n")->jobs.front().id, JobState::kSucceeded);
  observe(model::CardHealth::kUnhealthy, "Xid 79");
  EXPECT_TRUE(listener_->has_seen("card_health"));
  EXPECT_EQ(card_of(0).health, "unhealthy");
  EXPECT_EQ(card_of(0).health_detail, "Xid 79");
  std::string text = "name: all\nrun: exit 0\nresources: {accelerators: 'cpu:" + std::to_string(cards) + "'}\n";
  const auto waiting = submit(text);
  ASSERT_TRUE(waiting) << waiting.error().to_string();
  EXPECT_EQ(waiting->jobs.front().state, JobState::kQueued);
  observe(model::CardHealth::kHealthy, "");
  EXPECT_EQ(card_of(0).health_detail, "");
  listener_->wait(waiting->jobs.front().id, JobState::kSucceeded);
}

TEST_F(ControllerTest, RunsAThousandJobsInOneQueue) {
  constexpr int kJobs = 1'000;
  std::vector<model::JobId> ids;
  for (int i = 0; i < kJobs; ++i) {
    const auto outcome = submit("name: short\nrun: exit 0\nresources: {accelerators: 'cpu:1'}\n");
    ASSERT_TRUE(outcome) << outcome.error().to_string();
    ids.push_back(outcome->jobs.front().id);
  }
  for (const model::JobId id : ids) listener_->wait(id, JobState::kSucceeded);
  EXPECT_TRUE(machine_->present().empty());
}

}  // namespace
}  // namespace busbar::control
