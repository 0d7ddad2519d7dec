#include "control/services.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "control/services_testing.h"

namespace busbar::control {
namespace {

using model::JobState;

TEST_F(ServicesTest, StartsReplicasAndRoutesToThoseThatAreReady) {
  apply(spec(2, 2));
  EXPECT_EQ(jobs_.live(), (Names{"vad-1", "vad-2"}));
  EXPECT_EQ(routed(), Names{});
  const std::uint64_t version = services_->table().version;
  become_ready(2);
  EXPECT_EQ(routed(), Names{"vad-2"});
  EXPECT_EQ(services_->table().version, version + 1);
  EXPECT_EQ(jobs_.jobs.at({1}).spec.ports.front().name, "service");
  apply(spec(2, 2));
  EXPECT_EQ(services_->table().version, version + 1);
}

TEST_F(ServicesTest, StartsFromZeroWhenARequestWaitsAndGoesBackAfterTheHold) {
  apply(spec(0, 3));
  EXPECT_EQ(jobs_.live(), Names{});
  EXPECT_TRUE(services_->table().services.at(0).can_start);
  tell({.waiting = 1, .arrivals = 1});
  EXPECT_EQ(jobs_.live(), Names{"vad-1"});
  later(200);
  become_ready(1);
  EXPECT_EQ(services_->table().services.at(0).start_ms, 200);
  tell({.finished = 1, .busy_us = 1'000});
  ASSERT_TRUE(services_->next_wakeup());
  later(59'000);
  EXPECT_EQ(routed(), Names{"vad-1"});
  later(3'000);
  EXPECT_EQ(routed(), Names{"vad-1 draining"});
  later(1'000);
  EXPECT_EQ(jobs_.jobs.at({1}).job.state, JobState::kStopping);
}

TEST_F(ServicesTest, StopsADrainingReplicaWhenGatewaysThatKnowItHaveNothingOnIt) {
  apply(spec(2, 2));
  become_ready(1);
  become_ready(2);
  later(5'000);
  tell({.running = 1, .replicas = {{"vad-2", 1}}}, services_->table().version);
  ASSERT_TRUE(services_->scale("vad", 1, 1, now_ms_));
  run();
  const std::uint64_t version = services_->table().version;
  EXPECT_EQ(routed(), (Names{"vad-1", "vad-2 draining"}));
  tell({.running = 1, .replicas = {{"vad-2", 1}}}, version);
  tell({}, version - 1);  // says that it has nothing, but may still send something
  EXPECT_EQ(find(2).phase, ReplicaPhase::kDraining);
  tell({}, version);
  EXPECT_EQ(find(2).phase, ReplicaPhase::kStopping);
  EXPECT_EQ(routed(), Names{"vad-1"});
  end(2, JobState::kCancelled, "");
  EXPECT_EQ(record().replicas.size(), 1u);
}

TEST_F(ServicesTest, StopsADrainingReplicaAtTheLatestAfterItsTime) {
  apply(spec(1, 1));
  become_ready(1);
  later(5'000);
  ASSERT_TRUE(services_->remove("vad", now_ms_));
  tell({.running = 1, .replicas = {{"vad-1", 1}}});
  later(9'000);
  tell({.running = 1, .replicas = {{"vad-1", 1}}});
  EXPECT_EQ(find(1).phase, ReplicaPhase::kDraining);
  later(9'000);
  tell({.running = 1, .replicas = {{"vad-1", 1}}});
  later(9'000);
  tell({.running = 1, .replicas = {{"vad-1", 1}}});
  ASSERT_EQ(services_->next_wakeup(), find(1).phase_ms + 30'000);
  later(3'000);
  EXPECT_EQ(find(1).phase, ReplicaPhase::kStopping);
  end(1, JobState::kCancelled, "");
  EXPECT_TRUE(services_->all().empty());
  EXPECT_TRUE(services_->table().services.empty());
}

TEST_F(ServicesTest, ReplacesWhatEndsByItselfAndWaitsLongerEachTime) {
  apply(spec(1, 1));
  start(1);
  end(1, JobState::kFailed, "exit code 3");
  EXPECT_EQ(jobs_.live(), Names{"vad-2"});  // the first time at once
  start(2);
  end(2, JobState::kFailed, "exit code 3");
  EXPECT_EQ(jobs_.live(), Names{});
  EXPECT_EQ(services_->next_wakeup(), now_ms_ + 500);
  EXPECT_EQ(record().last_error, "vad-2 ended: exit code 3");
  later(500);
  EXPECT_EQ(jobs_.live(), Names{"vad-3"});
  start(3);
  end(3, JobState::kFailed, "exit code 3");
  EXPECT_EQ(services_->next_wakeup(), now_ms_ + 1'000);
  EXPECT_FALSE(services_->table().services.at(0).can_start);
  later(1'000);
  become_ready(4);
  later(10'000);
  EXPECT_EQ(record().failures, 0u);
  EXPECT_TRUE(services_->table().services.at(0).can_start);
}

TEST_F(ServicesTest, AReplicaThatServedForLongIsReplacedAtOnce) {
  apply(spec(1, 1));
  become_ready(1);
  later(60'000);
  end(1, JobState::kFailed, "killed");
  EXPECT_EQ(jobs_.live(), Names{"vad-2"});
  EXPECT_EQ(record().failures, 0u);
}

TEST_F(ServicesTest, TakesASickReplicaOutAndReplacesItWhenItStaysSo) {
  apply(spec(1, 1));
  become_ready(1);
  services_->on_health("vad-1", false, "no answer", now_ms_);
  run();
  EXPECT_EQ(routed(), Names{});
  services_->on_health("vad-1", true, "", now_ms_);
  run();
  EXPECT_EQ(routed(), Names{"vad-1"});
  services_->on_health("vad-1", false, "no answer", now_ms_);
  run();
  later(30'000);
  EXPECT_EQ(find(1).phase, ReplicaPhase::kStopping);
  EXPECT_EQ(find(2).phase, ReplicaPhase::kStarting);
  EXPECT_NE(record().last_error.find("no answer"), std::string::npos);
}

TEST_F(ServicesTest, AnotherAttemptIsAnotherEndpoint) {
  apply(spec(1, 1));
  become_ready(1);
  auto& job = jobs_.jobs.at({1}).job;
  job.state = JobState::kQueued;
  job.is_attempt_over = true;
  services_->on_job({1});
  run();
  EXPECT_EQ(routed(), Names{});
  become_ready(1);
  EXPECT_EQ(routed(), Names{"vad-1.2"});
}

TEST_F(ServicesTest, AnUpdateServesAllTheWay) {
  apply(spec(2, 2));
  become_ready(1);
  become_ready(2);
  later(5'000);
  apply(spec(2, 2, "serve better"));
  EXPECT_EQ(record().current.number, 2u);
  EXPECT_EQ(routed(), (Names{"vad-1", "vad-2"}));
  become_ready(3);
  EXPECT_EQ(routed(), (Names{"vad-1", "vad-2 draining", "vad-3"}));
  become_ready(4);
  EXPECT_EQ(routed(), (Names{"vad-1 draining", "vad-2 draining", "vad-3", "vad-4"}));
  EXPECT_FALSE(record().stable);
  EXPECT_EQ(record().previous->number, 1u);
  ASSERT_TRUE(services_->roll_back("vad", now_ms_));
  run();
  EXPECT_EQ(record().current.number, 1u);
  EXPECT_EQ(record().stable->number, 2u);
}

TEST_F(ServicesTest, ARevisionThatFailsLeavesTheOldServingAndCanBeTakenBack) {
  apply(spec(1, 1));
  become_ready(1);
  apply(spec(1, 1, "exit 7"));
  for (std::uint64_t number = 2; number < 6; ++number) {
    start(number);
    end(number, JobState::kFailed, "exit code 7");
    later(60'000);
  }
  EXPECT_EQ(routed(), Names{"vad-1"});
  EXPECT_EQ(record().failures, 4u);
  ASSERT_TRUE(services_->roll_back("vad", now_ms_));
  run();
  EXPECT_EQ(record().current.number, 1u);
  EXPECT_EQ(routed(), Names{"vad-1"});
  EXPECT_FALSE(services_->roll_back("vad", now_ms_));
}

TEST_F(ServicesTest, OtherBoundsAndRoutesMakeNoRevision) {
  apply(spec(1, 1));
  model::JobSpec changed = spec(1, 4);
  changed.service->hosts = {"vad.example"};
  apply(changed);
  EXPECT_EQ(record().current.number, 1u);
  EXPECT_EQ(services_->table().services.at(0).hosts, Names{"vad.example"});
  model::JobSpec other = changed;
  other.name = "other";
  const auto refused = services_->apply(other, "ada", now_ms_);
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("vad.example"), std::string::npos);
}

TEST_F(ServicesTest, ACanaryIsTakenBackWhenItsRequestsFail) {
  apply(spec(1, 1));
  become_ready(1);
  model::JobSpec next = spec(1, 1, "serve badly");
  next.service->canary = model::CanaryPolicy{.weight = 10, .abort_above_permille = 50, .hold_ms = 60'000};
  apply(next);
  become_ready(2);
  EXPECT_EQ(services_->table().services.at(0).endpoints.at(0).weight, 9'000u);
  EXPECT_EQ(services_->table().services.at(0).endpoints.at(1).weight, 1'000u);
  tell({.revisions = {{.revision = 2, .finished = 19, .failed = 19}}});
  EXPECT_EQ(record().current.number, 2u);  // too few to judge
  tell({.revisions = {{.revision = 2, .finished = 1, .failed = 0}}});
  EXPECT_EQ(record().current.number, 1u);
  EXPECT_EQ(routed(), (Names{"vad-1", "vad-2 draining"}));
  EXPECT_NE(record().last_error.find("19 of 20"), std::string::npos);
}

TEST_F(ServicesTest, TellsGatewaysHowManyTheyAre) {
  apply(spec(1, 1));
  const std::uint64_t version = services_->table().version;
  EXPECT_EQ(services_->table().gateways, 1u);
  for (const char* name : {"g1", "g2"}) {
    services_->on_demand({.gateway = name, .table_version = 1, .interval_ms = 250, .services = {{.name = "vad"}}},
                         now_ms_);
    run();
  }
  EXPECT_EQ(services_->table().gateways, 2u);
  EXPECT_GT(services_->table().version, version);
  later(60'000);
  EXPECT_EQ(services_->table().gateways, 1u);
}

TEST_F(ServicesTest, ACanaryIsTakenBackWhenItIsSlow) {
  apply(spec(1, 1));
  become_ready(1);
  model::JobSpec next = spec(1, 1, "serve slowly");
  next.service->canary = model::CanaryPolicy{.abort_above_latency_permille = 1'500, .hold_ms = 60'000};
  apply(next);
  become_ready(2);
  const auto bucket = [](std::uint64_t us) { return static_cast<std::uint32_t>(route::LatencySketch::bucket_of(us)); };
  const auto took = [&](std::uint32_t revision, std::uint64_t us, std::uint64_t count) {
    tell({.revisions = {{.revision = revision, .finished = count, .latency = {{bucket(us), count}}}}});
  };
  took(1, 10'000, 1'000);
  took(2, 30'000, 199);
  EXPECT_EQ(record().current.number, 2u);  // too few to judge
  took(2, 30'000, 1);
  EXPECT_EQ(record().current.number, 1u);
  EXPECT_EQ(routed(), (Names{"vad-1", "vad-2 draining"}));
  EXPECT_NE(record().last_error.find("99 % of its answers"), std::string::npos) << record().last_error;
}

TEST_F(ServicesTest, ACanaryThatIsALittleSlowerStays) {
  apply(spec(1, 1));
  become_ready(1);
  model::JobSpec next = spec(1, 1, "serve");
  next.service->canary = model::CanaryPolicy{.abort_above_latency_permille = 1'500, .hold_ms = 60'000};
  next.env = {{"VERSION", "2"}};
  apply(next);
  become_ready(2);
  const auto bucket = [](std::uint64_t us) { return static_cast<std::uint32_t>(route::LatencySketch::bucket_of(us)); };
  tell({.revisions = {{.revision = 1, .finished = 500, .latency = {{bucket(10'000), 500}}},
                      {.revision = 2, .finished = 500, .latency = {{bucket(12'000), 500}}}}});
  EXPECT_EQ(record().current.number, 2u);
}

TEST_F(ServicesTest, ACanarysHeaderLeadsToItWhileItIsWatched) {
  apply(spec(1, 1));
  become_ready(1);
  model::JobSpec next = spec(1, 1, "serve better");
  next.service->canary = model::CanaryPolicy{.hold_ms = 60'000, .header = "x-canary", .header_value = "yes"};
  apply(next);
  become_ready(2);
  EXPECT_EQ(services_->table().services.at(0).rules,
            (std::vector<route::HeaderRule>{{.header = "x-canary", .value = "yes", .revision = 2}}));
  later(60'000);
  EXPECT_TRUE(services_->table().services.at(0).rules.empty());
}

TEST_F(ServicesTest, ACanaryThatServesWellIsFollowedByTheOthers) {
  apply(spec(2, 2));
  become_ready(1);
  become_ready(2);
  model::JobSpec next = spec(2, 2, "serve better");
  next.service->canary = model::CanaryPolicy{.hold_ms = 60'000};
  apply(next);
  later(300'000);  // it takes its time; the hold begins when it is ready
  become_ready(3);
  later(59'999);
  EXPECT_EQ(record().replicas.size(), 3u);
  later(1);
  become_ready(4);
  EXPECT_EQ(record().previous->number, 1u);
}

TEST_F(ServicesTest, GoesOnAfterARestartAsIfNothingHadHappened) {
  apply(spec(2, 2));
  become_ready(1);
  become_ready(2);
  const ServiceRecord before = record();
  const std::uint64_t version = services_->table().version;
  boot({rows_.at("vad")}, version);
  EXPECT_EQ(record(), before);
  EXPECT_EQ(routed(), (Names{"vad-1", "vad-2"}));
  EXPECT_GT(services_->table().version, version);
  EXPECT_EQ(jobs_.jobs.size(), 2u);
}

TEST_F(ServicesTest, AsksForTheAddressThatTheLastLifeDidNotWriteDown) {
  apply(spec(1, 1));
  jobs_.jobs.at({1}).job = {.state = JobState::kRunning, .attempt = 1};
  boot({rows_.at("vad")}, 1);
  EXPECT_EQ(services_->without_endpoint(), (std::vector<model::AttemptId>{{{1}, 1}}));
  services_->on_endpoint({{1}, 1}, "127.0.0.1", 20'001, now_ms_);
  EXPECT_TRUE(services_->without_endpoint().empty());
}

TEST_F(ServicesTest, SaysWhyNoReplicaCouldBeStartedAndTriesAgain) {
  jobs_.refusal = Error{.code = ErrorCode::kResourceExhausted, .message = "queue \"x\" is full"};
  apply(spec(1, 1));
  EXPECT_NE(record().last_error.find("queue \"x\" is full"), std::string::npos);
  jobs_.refusal.reset();
  later(1'000);
  EXPECT_EQ(jobs_.live(), Names{"vad-1"});
}

TEST_F(ServicesTest, NamesTheServiceThatWasMeant) {
  apply(spec(1, 1));
  const auto missing = services_->find("vadd");
  ASSERT_FALSE(missing);
  EXPECT_NE(missing.error().message.find("did you mean \"vad\"?"), std::string::npos);
}

}  // namespace
}  // namespace busbar::control
