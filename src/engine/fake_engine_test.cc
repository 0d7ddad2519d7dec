#include "engine/fake_engine.h"

#include <gtest/gtest.h>

#include "engine/contract_tests.h"

namespace busbar::engine {
namespace {

class FakeFixture final : public EngineFixture {
 public:
  std::unique_ptr<Engine> open() override { return std::make_unique<FakeEngine>(machine_, clock_); }

 private:
  std::shared_ptr<FakeMachine> machine_ = std::make_shared<FakeMachine>();
  FakeClock clock_;
};

INSTANTIATE_TEST_SUITE_P(Fake, EngineContract,
                         ::testing::Values(EngineContractParam{"Fake", [] { return std::make_unique<FakeFixture>(); }}),
                         [](const auto& instance) { return instance.param.name; });

TEST(FakeEngine, DeliversByHandIncludingFactsThatTheSinkCauses) {
  const auto machine = std::make_shared<FakeMachine>();
  const FakeClock clock;
  FakeEngine engine(machine, clock, FakeDelivery::kByHand);
  std::size_t ended = 0;
  ASSERT_TRUE(engine
                  .adopt({},
                         [&](const Fact& fact) {
                           if (const auto* created = std::get_if<GangCreated>(&fact.body)) {
                             EXPECT_TRUE(engine.release(created->attempt).has_value());
                           }
                           ended += std::holds_alternative<TaskEnded>(fact.body) ? 1 : 0;
                         })
                  .has_value());
  ASSERT_TRUE(engine.start(launch_of(1, {shell("exit 0")})).has_value());
  EXPECT_EQ(ended, 0U);
  engine.deliver();
  EXPECT_EQ(ended, 1U);
  EXPECT_EQ(engine.deliver(), 0U);
}

TEST(FakeEngine, FactsByHandWaitForTheTest) {
  const auto machine =
      std::make_shared<FakeMachine>(FakeMachineOptions{.creates_by_itself = false, .runs_by_itself = false});
  const FakeClock clock;
  FakeEngine engine(machine, clock, FakeDelivery::kByHand);
  FactLog facts;
  ASSERT_TRUE(engine.adopt({}, facts.sink()).has_value());
  const AttemptLaunch launch = launch_of(1, {shell("exit 0")});
  ASSERT_TRUE(engine.start(launch).has_value());
  engine.deliver();
  EXPECT_TRUE(facts.all<GangCreated>().empty());
  machine->create_gang(launch.id);
  ASSERT_TRUE(engine.release(launch.id).has_value());
  engine.deliver();
  EXPECT_TRUE(facts.all<TaskEnded>().empty());
  machine->end_task({launch.id, 0}, model::ExitClass::kOutOfMemory, 137, "over its limit");
  engine.deliver();
  EXPECT_EQ(facts.all<TaskEnded>().at(0).exit_class, model::ExitClass::kOutOfMemory);
  EXPECT_EQ(facts.all<AttemptGone>().size(), 1U);
  EXPECT_TRUE(machine->present().empty());
}

TEST(FakeEngine, AStartCanBeMadeToFailOnce) {
  const auto machine = std::make_shared<FakeMachine>();
  const FakeClock clock;
  FakeEngine engine(machine, clock, FakeDelivery::kByHand);
  ASSERT_TRUE(engine.adopt({}, [](const Fact&) {}).has_value());
  machine->fail_next_start({.code = ErrorCode::kUnavailable, .message = "no disk"});
  EXPECT_EQ(engine.start(launch_of(1, {shell("exit 0")})).error().code, ErrorCode::kUnavailable);
  EXPECT_TRUE(engine.start(launch_of(1, {shell("exit 0")})).has_value());
  EXPECT_EQ(machine->started().size(), 1U);
}

TEST(FakeEngine, PortsAreFreeAgainWhenTheAttemptIsGone) {
  const auto machine = std::make_shared<FakeMachine>();
  const FakeClock clock;
  FakeEngine engine(machine, clock, FakeDelivery::kByHand);
  ASSERT_TRUE(engine.adopt({}, [](const Fact&) {}).has_value());
  const AttemptLaunch launch = launch_of(1, {shell("sleep 1000")});
  ASSERT_TRUE(engine.lease_ports(launch.id, 2).has_value());
  ASSERT_TRUE(engine.start(launch).has_value());
  EXPECT_EQ(machine->leased_ports(), 2U);
  ASSERT_TRUE(engine.stop(launch.id, 0, 0).has_value());
  EXPECT_EQ(machine->leased_ports(), 0U);
}

}  // namespace
}  // namespace busbar::engine
