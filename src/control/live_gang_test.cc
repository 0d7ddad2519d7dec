#include <gtest/gtest.h>

#include <algorithm>
#include <functional>

#include "control/controller_testing.h"

// Gangs that get tasks and give some up while they run, and servers that die in between.
namespace busbar::control {
namespace {

using model::JobState;

/// A live gang on one of four cards, beside a job on the other three.
class LiveGangTest : public ControllerTest {
 protected:
  void SetUp() override {
    options_.policy.live_resize_cost_ms = 0;
    options_.policy.live_resize_interval_ms = 0;
    boot();
    holder_ = submit("name: holder\nrun: sleep 1000\nresources: {accelerators: 'cpu:3'}\n")->jobs.front().id;
    gang_ = submit(
                "name: gang\nrun: sleep 1000\nnodes: 1..3\nelastic: live\nlauncher: none\ntime_limit: 1h\n"
                "resources: {accelerators: 'cpu:1'}\n")
                ->jobs.front()
                .id;
    listener_->wait(holder_, JobState::kRunning);
    listener_->wait(gang_, JobState::kRunning);
  }

  static bool has_tasks(const api::JobStatus& status, std::size_t tasks) {
    if (status.attempts.empty() || status.attempts.back().tasks.size() != tasks) return false;
    const auto& all = status.attempts.back().tasks;
    return std::all_of(all.begin(), all.end(), [](const api::TaskStatus& task) { return task.state == "running"; });
  }
  api::JobStatus wait_tasks(std::size_t tasks) {
    return listener_->wait_for(gang_, [=](const api::JobStatus& status) { return has_tasks(status, tasks); });
  }
  void end_holder() {
    machine_->end_task({{holder_, 1}, 0}, model::ExitClass::kSuccess, 0);
    listener_->wait(holder_, JobState::kSucceeded);
  }
  std::string urgent() const {
    return "name: urgent\nrun: sleep 1000\npriority: 5\nresources: {accelerators: 'cpu:2'}\n";
  }
  /// What a server does that dies between its commit and its orders.
  void decide_and_die(const std::function<void(Ledger&)>& decide) {
    crash();
    auto opened = store::open_sqlite_store({.path = dir_.path() + "/busbar.db", .is_synchronous_full = false});
    ASSERT_TRUE(opened);
    Ledger ledger(clock_, **opened, options_);
    ASSERT_TRUE(ledger.recover());
    decide(ledger);
    ASSERT_TRUE((*opened)->commit(ledger.take_step().transaction));
  }

  model::JobId holder_ = {};
  model::JobId gang_ = {};
};

TEST_F(LiveGangTest, GrowsAndShrinksWithinOneAttempt) {
  end_holder();
  const api::JobStatus grown = wait_tasks(3);
  EXPECT_EQ(grown.attempt, 1U);
  EXPECT_TRUE(grown.reason.starts_with("grown from 1 to 3 tasks: 3 tasks instead of 1 save about")) << grown.reason;
  const auto other = submit(urgent());
  ASSERT_TRUE(other);
  listener_->wait(other->jobs.front().id, JobState::kRunning);
  const api::JobStatus shrunk = wait_tasks(2);
  EXPECT_EQ(shrunk.attempt, 1U);
  EXPECT_EQ(shrunk.state, JobState::kRunning);
  for (const char* kind : {"grown", "shrinking", "shrunk"}) EXPECT_TRUE(listener_->has_seen(kind)) << kind;
  machine_->end_task({{gang_, 1}, 0}, model::ExitClass::kSuccess, 0);
  listener_->wait(gang_, JobState::kSucceeded);
}

TEST_F(LiveGangTest, TasksThatMustGoDoSoEvenIfTheOthersCannotBeTold) {
  end_holder();
  wait_tasks(3);
  builder_.knows_no_members = true;
  const auto other = submit(urgent());
  ASSERT_TRUE(other);
  listener_->wait(other->jobs.front().id, JobState::kRunning);
  EXPECT_EQ(wait_tasks(2).attempt, 1U);
  EXPECT_EQ(machine_->present().size(), 2U) << "the gang runs on, and its cards are not given twice";
}

TEST_F(LiveGangTest, CardMillisecondsAddUpThoughTheCardsChange) {
  end_holder();
  wait_tasks(3);
  machine_->end_task({{gang_, 1}, 0}, model::ExitClass::kSuccess, 0);
  listener_->wait(gang_, JobState::kSucceeded);
  const api::JobStatus done = status(gang_);
  // What it asked for until it was placed, one card until it grew, then three: only the time of the growth is open.
  const TimeMs placed_ms = done.attempts.front().placed_ms;
  const std::int64_t had =
      done.efficiency.total_milli_card_ms - (placed_ms - done.submitted_ms) * 3000 - (done.ended_ms - placed_ms) * 1000;
  EXPECT_EQ(had % 2000, 0);
  const TimeMs grown_ms = done.ended_ms - had / 2000;
  EXPECT_GE(grown_ms, placed_ms);
  const auto events = store_->events(gang_, 0, 100);
  ASSERT_TRUE(events);
  for (const store::EventRow& event : *events) {
    if (event.kind == "grown") {
      EXPECT_LE(grown_ms, event.time_ms);
    } else if (event.kind == "placed") {
      EXPECT_GE(grown_ms, event.time_ms - 1);
    }
  }
}

TEST_F(LiveGangTest, TasksThatWereDecidedAndNeverReachedTheEngineAreMadeOnce) {
  decide_and_die([&](Ledger& ledger) {
    ledger.on_fact({.body = engine::TaskEnded{.task = {{holder_, 1}, 0}}});
    ledger.on_fact({.body = engine::AttemptGone{.attempt = {holder_, 1}}});
    EXPECT_EQ(ledger.job_status(gang_)->attempts.back().tasks.size(), 3U);
  });
  EXPECT_EQ(machine_->launch_of({gang_, 1})->tasks.size(), 1U);
  boot();
  const api::JobStatus grown = wait_tasks(3);
  EXPECT_EQ(grown.attempt, 1U);
  EXPECT_EQ(machine_->launch_of({gang_, 1})->tasks.size(), 3U);
  crash();
  boot();
  EXPECT_EQ(status(gang_).attempts.back().tasks.size(), 3U);
  EXPECT_EQ(machine_->launch_of({gang_, 1})->tasks.size(), 3U);
}

TEST_F(LiveGangTest, ARankThatIsGivenAgainByAServerThatDiesIsANewTask) {
  end_holder();
  wait_tasks(3);
  const model::JobId other = submit(urgent())->jobs.front().id;
  listener_->wait(other, JobState::kRunning);
  wait_tasks(2);
  decide_and_die([&](Ledger& ledger) {
    ledger.on_fact({.body = engine::TaskEnded{.task = {{other, 1}, 0}}});
    ledger.on_fact({.body = engine::AttemptGone{.attempt = {other, 1}}});
    EXPECT_EQ(ledger.job_status(gang_)->attempts.back().tasks.size(), 3U);
  });
  boot();
  const api::JobStatus grown = wait_tasks(3);
  EXPECT_EQ(grown.attempt, 1U);
  EXPECT_EQ(machine_->launch_of({gang_, 1})->tasks.size(), 3U);
}

TEST_F(LiveGangTest, TasksThatWereToldToLeaveAndNeverHeardItAreToldAgain) {
  end_holder();
  wait_tasks(3);
  model::JobId other;
  decide_and_die([&](Ledger& ledger) {
    const launch::ParsedJob parsed = launch::parse_job_file(urgent());
    const auto outcome = ledger.submit({.members = {parsed.spec}, .user = "ada"});
    ASSERT_TRUE(outcome);
    other = outcome->jobs.front().id;
    EXPECT_EQ(ledger.job_status(gang_)->attempts.back().tasks.back().state, "leaving");
  });
  boot();
  listener_->wait(other, JobState::kRunning);
  EXPECT_EQ(wait_tasks(2).attempt, 1U);
  EXPECT_EQ(machine_->launch_of({gang_, 1})->tasks.size(), 2U);
}

}  // namespace
}  // namespace busbar::control
