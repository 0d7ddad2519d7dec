#include "control/internal/service_plan.h"

#include <gtest/gtest.h>

namespace busbar::control {
namespace {

using enum ReplicaPhase;

Replica replica(std::uint64_t number, std::uint32_t revision, ReplicaPhase phase) {
  return {
      .number = number, .revision = revision, .phase = phase, .ready_ms = phase == kStarting ? TimeMs{0} : TimeMs{1}};
}

ServiceRecord service(std::uint32_t desired, std::uint32_t revision, std::vector<Replica> replicas) {
  ServiceRecord record;
  record.current.number = revision;
  record.current.spec.service.emplace();
  record.desired = desired;
  record.replicas = std::move(replicas);
  if (revision > 1) record.stable = ServiceRevision{.number = 1, .spec = record.current.spec};
  return record;
}

TEST(ServicePlan, StartsWhatIsMissingAndDrainsWhatIsTooMuch) {
  EXPECT_EQ(plan_service(service(2, 1, {}), 0).start_current, 2u);
  EXPECT_EQ(plan_service(service(2, 1, {replica(1, 1, kStarting)}), 0).start_current, 1u);
  const auto less = service(1, 1, {replica(1, 1, kStarting), replica(2, 1, kReady), replica(3, 1, kReady)});
  EXPECT_EQ(plan_service(less, 0), (ServicePlan{.drain = {3, 1}}));
}

TEST(ServicePlan, TakesADrainingReplicaBackBeforeItStartsOne) {
  const auto more = service(2, 1, {replica(1, 1, kDraining), replica(2, 1, kStopping)});
  EXPECT_EQ(plan_service(more, 0), (ServicePlan{.start_current = 1, .take_back = {1}}));
}

ServiceRecord warm_service(std::uint32_t desired, std::uint32_t warm, std::vector<Replica> replicas) {
  ServiceRecord record = service(desired, 1, std::move(replicas));
  record.current.spec.service->min_replicas = 0;
  record.current.spec.service->max_replicas = 4;
  record.current.spec.service->warm = warm;
  return record;
}

TEST(ServicePlan, KeepsReplicasWarmBeyondThoseThatAreNeeded) {
  EXPECT_EQ(plan_service(warm_service(1, 2, {}), 0).start_current, 3u);
  EXPECT_EQ(plan_service(warm_service(3, 2, {}), 0).start_current, 4u) << "not beyond the bound";
  EXPECT_EQ(plan_service(warm_service(0, 1, {replica(1, 1, kStarting)}), 0), ServicePlan{});
  EXPECT_EQ(plan_service(warm_service(0, 1, {replica(1, 1, kPaused)}), 0), ServicePlan{});
  EXPECT_EQ(plan_service(warm_service(0, 1, {replica(1, 1, kDraining)}), 0), ServicePlan{}) << "is paused after it";
  EXPECT_EQ(plan_service(warm_service(0, 1, {replica(1, 1, kReady), replica(2, 1, kStarting)}), 0),
            (ServicePlan{.drain = {1, 2}}));
  EXPECT_EQ(plan_service(warm_service(1, 0, {replica(1, 1, kReady), replica(2, 1, kPaused)}), 0),
            (ServicePlan{.drain = {2}}));
}

TEST(ServicePlan, KeepsAsManyWarmAsAreExpected) {
  const ServiceRecord record = warm_service(1, 1, {replica(1, 1, kReady), replica(2, 1, kPaused)});
  EXPECT_EQ(plan_service(record, 0, 0), ServicePlan{});
  EXPECT_EQ(plan_service(record, 0, 3), (ServicePlan{.start_current = 1}));
  EXPECT_EQ(plan_service(record, 0, 100), (ServicePlan{.start_current = 2})) << "not beyond the bound";
  EXPECT_EQ(plan_service(warm_service(1, 0, {replica(1, 1, kReady)}), 0, 3), ServicePlan{}) << "only where asked for";
}

TEST(ServicePlan, ResumesBeforeItStarts) {
  EXPECT_EQ(plan_service(warm_service(1, 1, {replica(1, 1, kPaused)}), 0),
            (ServicePlan{.start_current = 1, .resume = {1}}));
  EXPECT_EQ(plan_service(warm_service(1, 1, {replica(1, 1, kPaused), replica(2, 1, kDraining)}), 0),
            (ServicePlan{.take_back = {2}}));
  EXPECT_EQ(plan_service(warm_service(4, 1, {replica(1, 1, kPaused)}), 0),
            (ServicePlan{.start_current = 3, .resume = {1}}));
}

TEST(ServicePlan, AnUpdateGivesUpWhatIsPaused) {
  ServiceRecord record = warm_service(0, 1, {replica(1, 1, kPaused)});
  record.stable = record.current;
  record.current.number = 2;
  EXPECT_EQ(plan_service(record, 0), (ServicePlan{.drain = {1}}));
  EXPECT_TRUE(is_update_done(record));
}

TEST(ServicePlan, UpdatesAQuarterAtATimeAndKeepsWhatServes) {
  std::vector<Replica> replicas;
  for (std::uint64_t i = 1; i <= 8; ++i) replicas.push_back(replica(i, 1, kReady));
  EXPECT_EQ(plan_service(service(8, 2, replicas), 0), (ServicePlan{.start_current = 2}));
  replicas.push_back(replica(9, 2, kReady));
  replicas.push_back(replica(10, 2, kStarting));
  EXPECT_EQ(plan_service(service(8, 2, replicas), 0), (ServicePlan{.start_current = 1, .drain = {8}}));
}

TEST(ServicePlan, NeverHasFewerReadyDuringAnUpdate) {
  auto record = service(4, 2, {});
  for (std::uint64_t i = 1; i <= 4; ++i) record.replicas.push_back(replica(i, 1, kReady));
  std::uint64_t number = 4;
  for (int step = 0; step < 20 && !is_update_done(record); ++step) {
    const ServicePlan plan = plan_service(record, 0);
    for (const std::uint64_t gone : plan.drain) {
      std::erase_if(record.replicas, [gone](const Replica& one) { return one.number == gone; });
    }
    for (std::uint32_t i = 0; i < plan.start_current; ++i) record.replicas.push_back(replica(++number, 2, kStarting));
    ASSERT_GE(record.ready_count(), 4u) << "step " << step;
    ASSERT_LE(record.replicas.size(), 6u);
    for (Replica& one : record.replicas) {
      if (one.phase == kStarting) {
        one = replica(one.number, 2, kReady);
        break;
      }
    }
  }
  EXPECT_TRUE(is_update_done(record));
  EXPECT_EQ(record.replicas.size(), 4u);
}

TEST(ServicePlan, ARevisionThatDoesNotGetReadyLeavesTheOldOneWhole) {
  auto record = service(2, 2, {replica(1, 1, kReady), replica(3, 2, kStarting)});
  EXPECT_EQ(plan_service(record, 0), ServicePlan{});
  record.failures = 1;
  EXPECT_EQ(plan_service(record, 0).start_stable, 1u);
}

TEST(ServicePlan, ACanaryStandsBesideAllOldOnes) {
  auto record = service(2, 2, {replica(1, 1, kReady), replica(2, 1, kReady)});
  record.canary_until_ms = 100;
  EXPECT_EQ(plan_service(record, 0), (ServicePlan{.start_current = 1}));
  record.replicas.push_back(replica(3, 2, kReady));
  EXPECT_EQ(plan_service(record, 99), ServicePlan{});
  EXPECT_EQ(plan_service(record, 100), (ServicePlan{.start_current = 1, .drain = {2}}));
}

TEST(ServicePlan, AFixedPortIsFreeBeforeTheNextListens) {
  auto record = service(1, 2, {replica(1, 1, kReady)});
  record.current.spec.service->port = 8080;
  EXPECT_EQ(plan_service(record, 0), (ServicePlan{.drain = {1}}));
  record.replicas.front().phase = kStopping;
  EXPECT_EQ(plan_service(record, 0), ServicePlan{});
  record.replicas.clear();
  EXPECT_EQ(plan_service(record, 0), (ServicePlan{.start_current = 1}));
}

TEST(ServicePlan, GivesUpAtOnceWhatNobodyWantsAndDoesNotServe) {
  auto record = service(1, 3, {replica(1, 1, kReady), replica(2, 2, kStarting)});
  EXPECT_EQ(plan_service(record, 0), (ServicePlan{.start_current = 1, .drain = {2}}));
}

TEST(ServicePlan, ADeletedServiceDrainsAll) {
  auto record = service(2, 1, {replica(1, 1, kReady), replica(2, 1, kStarting)});
  record.is_deleted = true;
  EXPECT_EQ(plan_service(record, 0), (ServicePlan{.drain = {1, 2}}));
}

}  // namespace
}  // namespace busbar::control
