#include <array>
#include <optional>
#include <string_view>

#include "model/cluster.h"
#include "model/job.h"

namespace busbar::model {
namespace {

template <class Enum>
struct Named {
  Enum value;
  std::string_view name;
};

constexpr std::array kJobTypes = {Named<JobType>{JobType::kJob, "job"}, Named<JobType>{JobType::kService, "service"},
                                  Named<JobType>{JobType::kDev, "dev"}};
constexpr std::array kLaunchers = {
    Named<Launcher>{Launcher::kTorchrun, "torchrun"}, Named<Launcher>{Launcher::kDirect, "direct"},
    Named<Launcher>{Launcher::kMpirun, "mpirun"}, Named<Launcher>{Launcher::kNone, "none"}};
constexpr std::array kElastics = {Named<Elastic>{Elastic::kRestart, "restart"}, Named<Elastic>{Elastic::kLive, "live"}};
constexpr std::array kExitClasses = {Named<ExitClass>{ExitClass::kSuccess, "success"},
                                     Named<ExitClass>{ExitClass::kUser, "user"},
                                     Named<ExitClass>{ExitClass::kOutOfMemory, "oom"},
                                     Named<ExitClass>{ExitClass::kTimeLimit, "time_limit"},
                                     Named<ExitClass>{ExitClass::kCancelled, "cancelled"},
                                     Named<ExitClass>{ExitClass::kPreempted, "preempted"},
                                     Named<ExitClass>{ExitClass::kInfrastructure, "infrastructure"}};
constexpr std::array kJobStates = {
    Named<JobState>{JobState::kQueued, "queued"},     Named<JobState>{JobState::kBlocked, "blocked"},
    Named<JobState>{JobState::kStarting, "starting"}, Named<JobState>{JobState::kRunning, "running"},
    Named<JobState>{JobState::kStopping, "stopping"}, Named<JobState>{JobState::kSucceeded, "succeeded"},
    Named<JobState>{JobState::kFailed, "failed"},     Named<JobState>{JobState::kCancelled, "cancelled"}};
constexpr std::array kNodeStates = {
    Named<NodeState>{NodeState::kReady, "ready"}, Named<NodeState>{NodeState::kDrained, "drained"},
    Named<NodeState>{NodeState::kUnreachable, "unreachable"}, Named<NodeState>{NodeState::kFailed, "failed"}};
constexpr std::array kCardHealths = {Named<CardHealth>{CardHealth::kHealthy, "healthy"},
                                     Named<CardHealth>{CardHealth::kUnhealthy, "unhealthy"}};

template <class Table, class Enum>
std::string_view name_of(const Table& table, Enum value) {
  for (const auto& entry : table) {
    if (entry.value == value) {
      return entry.name;
    }
  }
  return "unknown";
}

template <class Table>
auto value_of(const Table& table, std::string_view name) -> std::optional<decltype(table[0].value)> {
  for (const auto& entry : table) {
    if (entry.name == name) {
      return entry.value;
    }
  }
  return std::nullopt;
}

}  // namespace

std::string_view job_type_name(JobType type) {
  return name_of(kJobTypes, type);
}
std::optional<JobType> job_type_from_name(std::string_view name) {
  return value_of(kJobTypes, name);
}
std::string_view launcher_name(Launcher launcher) {
  return name_of(kLaunchers, launcher);
}
std::optional<Launcher> launcher_from_name(std::string_view name) {
  return value_of(kLaunchers, name);
}
std::string_view elastic_name(Elastic elastic) {
  return name_of(kElastics, elastic);
}
std::optional<Elastic> elastic_from_name(std::string_view name) {
  return value_of(kElastics, name);
}
std::string_view exit_class_name(ExitClass exit_class) {
  return name_of(kExitClasses, exit_class);
}
std::optional<ExitClass> exit_class_from_name(std::string_view name) {
  return value_of(kExitClasses, name);
}
std::string_view job_state_name(JobState state) {
  return name_of(kJobStates, state);
}
std::optional<JobState> job_state_from_name(std::string_view name) {
  return value_of(kJobStates, name);
}
std::string_view node_state_name(NodeState state) {
  return name_of(kNodeStates, state);
}
std::optional<NodeState> node_state_from_name(std::string_view name) {
  return value_of(kNodeStates, name);
}
std::string_view card_health_name(CardHealth health) {
  return name_of(kCardHealths, health);
}
std::optional<CardHealth> card_health_from_name(std::string_view name) {
  return value_of(kCardHealths, name);
}

}  // namespace busbar::model
