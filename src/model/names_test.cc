#include <gtest/gtest.h>

#include <array>

#include "model/cluster.h"
#include "model/job.h"

namespace busbar::model {
namespace {

TEST(Names, EveryJobStateRoundTrips) {
  for (const JobState state : {JobState::kQueued, JobState::kBlocked, JobState::kStarting, JobState::kRunning,
                               JobState::kStopping, JobState::kSucceeded, JobState::kFailed, JobState::kCancelled}) {
    SCOPED_TRACE(job_state_name(state));
    EXPECT_NE(job_state_name(state), "unknown");
    EXPECT_EQ(job_state_from_name(job_state_name(state)), state);
  }
}

TEST(Names, EveryExitClassRoundTrips) {
  for (const ExitClass exit_class :
       {ExitClass::kSuccess, ExitClass::kUser, ExitClass::kOutOfMemory, ExitClass::kTimeLimit, ExitClass::kCancelled,
        ExitClass::kPreempted, ExitClass::kInfrastructure}) {
    SCOPED_TRACE(exit_class_name(exit_class));
    EXPECT_NE(exit_class_name(exit_class), "unknown");
    EXPECT_EQ(exit_class_from_name(exit_class_name(exit_class)), exit_class);
  }
}

TEST(Names, UnknownNamesAreNullopt) {
  EXPECT_FALSE(job_state_from_name("sleeping"));
  EXPECT_FALSE(exit_class_from_name(""));
  EXPECT_FALSE(launcher_from_name("Torchrun"));
  EXPECT_EQ(elastic_from_name(elastic_name(Elastic::kLive)), Elastic::kLive);
  EXPECT_FALSE(elastic_from_name("Live"));
  EXPECT_FALSE(job_type_from_name("task"));
  EXPECT_FALSE(node_state_from_name("gone"));
  EXPECT_FALSE(card_health_from_name("ok"));
}

TEST(Names, LaunchersAndTypesRoundTrip) {
  for (const Launcher launcher : {Launcher::kTorchrun, Launcher::kDirect, Launcher::kMpirun, Launcher::kNone}) {
    EXPECT_EQ(launcher_from_name(launcher_name(launcher)), launcher);
  }
  for (const JobType type : {JobType::kJob, JobType::kService, JobType::kDev}) {
    EXPECT_EQ(job_type_from_name(job_type_name(type)), type);
  }
  for (const NodeState state : {NodeState::kReady, NodeState::kDrained, NodeState::kUnreachable, NodeState::kFailed}) {
    EXPECT_EQ(node_state_from_name(node_state_name(state)), state);
  }
  for (const CardHealth health : {CardHealth::kHealthy, CardHealth::kUnhealthy}) {
    EXPECT_EQ(card_health_from_name(card_health_name(health)), health);
  }
}

}  // namespace
}  // namespace busbar::model
