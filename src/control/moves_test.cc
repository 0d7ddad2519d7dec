#include <gtest/gtest.h>

#include <array>

#include "control/controller_testing.h"

// A job that makes room for another by going on elsewhere, through the whole control plane. On a fake machine, since a
// local engine has one node.
namespace busbar::control {
namespace {

using model::JobState;

/// Two nodes of two cards, a job on one card of each.
class MovesTest : public ControllerTest {
 protected:
  void SetUp() override {
    engine::FakeMachineOptions machine;
    for (std::uint64_t id : {1, 2}) {
      machine.nodes.push_back({.id = {id},
                               .name = "n" + std::to_string(id),
                               .cards = {{.index = 0, .chip = "cpu"}, {.index = 1, .chip = "cpu"}}});
    }
    machine_ = std::make_shared<engine::FakeMachine>(std::move(machine));
    options_.policy.max_moves_per_hour = 1;
    options_.policy.restart_cost_ms = 0;
    boot();
    for (model::JobId& id : jobs_) {
      id = submit(small())->jobs.front().id;
      listener_->wait(id, JobState::kRunning);
    }
    // Two of the three share a node; one of those ends.
    const std::size_t extra = node_of(jobs_[0]) == node_of(jobs_[1]) || node_of(jobs_[0]) == node_of(jobs_[2]) ? 0 : 1;
    machine_->end_task({{jobs_[extra], 1}, 0}, model::ExitClass::kSuccess, 0);
    listener_->wait(jobs_[extra], JobState::kSucceeded);
    left_ = {jobs_[extra == 0 ? 1 : 0], jobs_[2]};
    ASSERT_NE(node_of(left_[0]), node_of(left_[1]));
  }

  static std::string small() { return "name: small\nrun: sleep 1000\nresources: {accelerators: 'cpu:1'}\n"; }
  std::string node_of(model::JobId id) { return status(id).attempts.back().tasks.front().node; }

  std::array<model::JobId, 3> jobs_ = {};
  std::array<model::JobId, 2> left_ = {};
};

TEST_F(MovesTest, ASmallJobGoesOnElsewhereAndTheLargeOneHasItsNode) {
  const auto large = submit("name: large\nrun: sleep 1000\nresources: {accelerators: 'cpu:2'}\n");
  ASSERT_TRUE(large) << large.error().to_string();
  const model::JobId id = large->jobs.front().id;
  listener_->wait(id, JobState::kRunning);
  EXPECT_EQ(node_of(left_[0]), node_of(left_[1]));
  EXPECT_NE(node_of(id), node_of(left_[0]));
  std::size_t moved = 0;
  for (const model::JobId one : left_) {
    const api::JobStatus now = listener_->wait(one, JobState::kRunning);
    moved += now.attempt == 2U ? 1 : 0;
    const auto charged = ask<std::uint32_t>(
        [one](Ledger& ledger) -> Result<std::uint32_t> { return ledger.core().find_job(one)->counted_restarts; });
    EXPECT_EQ(*charged, 0U) << "of restart.max";
  }
  EXPECT_EQ(moved, 1U);
}

TEST_F(MovesTest, GoesOnWhereItLeftOffAfterACrash) {
  const auto large = submit("name: large\nrun: sleep 1000\nresources: {accelerators: 'cpu:2'}\n");
  ASSERT_TRUE(large) << large.error().to_string();
  crash();
  boot();
  listener_->wait(large->jobs.front().id, JobState::kRunning);
  for (const model::JobId one : left_) {
    ASSERT_TRUE(ask<bool>([one](Ledger& ledger) -> Result<bool> {
      TRY(ledger.cancel(one, 0, "ada", ""));
      return true;
    }));
    const api::JobStatus over = listener_->wait(one, JobState::kCancelled);
    EXPECT_EQ(over.efficiency.total_milli_card_ms, (over.ended_ms - over.submitted_ms) * 1000);
  }
}

}  // namespace
}  // namespace busbar::control
