#include <set>
#include <vector>

#include "control/services_testing.h"

// Replicas that are kept warm: started, found ready, then paused.
namespace busbar::control {
namespace {

using model::JobState;
using WarmReplicas = ServicesTest;

TEST_F(WarmReplicas, KeepsAReplicaPausedAndLetsItServeAtOnce) {
  model::JobSpec job = spec(0, 3);
  job.service->warm = 1;
  apply(job);
  EXPECT_EQ(jobs_.live(), Names{"vad-1"});
  become_ready(1);
  EXPECT_EQ(find(1).phase, ReplicaPhase::kPaused);
  EXPECT_EQ(routed(), Names{});
  EXPECT_EQ(jobs_.paused, std::set{find(1).job});

  tell({.waiting = 1, .arrivals = 1});
  EXPECT_EQ(routed(), Names{"vad-1"}) << "no health check in between";
  EXPECT_TRUE(jobs_.paused.empty());
  EXPECT_EQ(jobs_.live(), (Names{"vad-1", "vad-2"})) << "another one is kept warm";
  become_ready(2);
  EXPECT_EQ(find(2).phase, ReplicaPhase::kPaused);
  end(1, JobState::kFailed, "killed");
  EXPECT_EQ(routed(), Names{"vad-2"}) << "what is warm stands in for it";

  become_ready(3);
  tell({.finished = 1, .busy_us = 1'000});
  later(62'000);
  EXPECT_EQ(routed(), Names{"vad-2 draining"});
  later(1'000);
  EXPECT_EQ(find(2).phase, ReplicaPhase::kStopping) << "one is paused already";
  EXPECT_EQ(jobs_.paused, std::set{find(3).job});
}

TEST_F(WarmReplicas, KeepsMoreReplicasWarmWhileRequestsGrow) {
  model::JobSpec job = spec(1, 8);
  job.service->warm = 1;
  apply(job);
  later(60'000);  // so long takes a start
  become_ready(1);
  become_ready(2);
  const auto load = [this](std::int64_t for_ms, std::uint64_t arrivals) {
    for (std::int64_t at_ms = 0; at_ms < for_ms; at_ms += 250) {
      later(250);
      tell({.running = static_cast<std::uint32_t>(arrivals * 4 / 5),
            .arrivals = arrivals,
            .finished = arrivals,
            .busy_us = arrivals * 200'000});
    }
  };
  load(30'000, 2);
  EXPECT_EQ(jobs_.live().size(), 2u);
  load(2'000, 8);  // 32 a second of 200 ms each: two replicas; four if they grow on for a minute
  EXPECT_EQ(record().desired, 2u);
  EXPECT_EQ(jobs_.live().size(), 4u);
}

TEST_F(WarmReplicas, PausesWhatHasDrained) {
  model::JobSpec job = spec(0, 1);
  job.service->warm = 1;
  apply(job);
  become_ready(1);
  tell({.waiting = 1, .arrivals = 1});
  tell({.finished = 1, .busy_us = 1'000});
  later(62'000);
  later(1'000);
  EXPECT_EQ(find(1).phase, ReplicaPhase::kPaused);
  EXPECT_EQ(jobs_.live(), Names{"vad-1"});
  ASSERT_TRUE(services_->remove("vad", now_ms_));
  run();
  EXPECT_EQ(find(1).phase, ReplicaPhase::kStopping);
}

TEST_F(WarmReplicas, TellsTheEngineAgainWhatIsPausedAfterADeathOfTheServer) {
  model::JobSpec job = spec(1, 3);
  job.service->warm = 1;
  apply(job);
  become_ready(1);
  become_ready(2);
  const model::JobId serving = find(1).job;
  const model::JobId warm = find(2).job;
  jobs_.paused = {serving};  // what the engine heard last
  std::vector<store::ServiceRow> rows;
  for (const auto& [name, row] : rows_) rows.push_back(row);
  boot(rows, 10);
  EXPECT_EQ(jobs_.paused, std::set{warm});
  EXPECT_EQ(find(2).phase, ReplicaPhase::kPaused);
}

TEST_F(WarmReplicas, RemembersWhatCouldNotBePausedUntilThatGoesOnOrEnds) {
  model::JobSpec job = spec(0, 3);
  job.service->warm = 1;
  apply(job);
  become_ready(1);
  const model::JobId first = find(1).job;
  services_->on_pause_refused({first, 2}, "of another attempt");
  EXPECT_EQ(services_->pause_refusal(first), "");
  services_->on_pause_refused({first, 1}, "no freezer");
  EXPECT_EQ(services_->pause_refusal(first), "no freezer");
  EXPECT_TRUE(jobs_.notes.contains("pause_refused"));
  tell({.waiting = 1, .arrivals = 1});
  EXPECT_EQ(services_->pause_refusal(first), "");
  // It was needed again before the refusal came.
  services_->on_pause_refused({first, 1}, "no freezer");
  EXPECT_EQ(services_->pause_refusal(first), "");

  become_ready(2);
  const model::JobId second = find(2).job;
  services_->on_pause_refused({second, 1}, "no freezer");
  end(2, JobState::kFailed, "killed");
  EXPECT_EQ(services_->pause_refusal(second), "");
}

}  // namespace
}  // namespace busbar::control
