#include "launch/launch_plan.h"

#include <fmt/format.h>

#include <utility>

#include "launch/internal/launch_env.h"
#include "launch/internal/scripts.h"

namespace busbar::launch {
namespace {

using internal::GangShape;
using model::JobSpec;
using model::JobType;
using model::Launcher;

bool is_bare_shell(const JobSpec& spec) {
  return spec.type == JobType::kDev && spec.run.empty();
}

/// task.sh, and what it needs beside it, by launcher.
std::map<std::string, std::string> task_files(const LaunchInput& input, const GangShape& shape, std::uint32_t rank) {
  const JobSpec& spec = input.spec;
  std::map<std::string, std::string> files = {{"launch.sh", internal::launch_script()},
                                              {"hostfile", internal::hostfile(shape)}};
  if (!spec.setup.empty()) {
    files["setup"] = spec.setup;
  }
  if (is_bare_shell(spec)) {
    files["task.sh"] = internal::dev_script(spec);
    return files;
  }
  const bool is_mpi_host = spec.launcher == Launcher::kMpirun && rank > 0;
  if (!is_mpi_host) {
    files["run"] = spec.run;
  }
  switch (spec.launcher) {
    case Launcher::kTorchrun:
    case Launcher::kNone:
      files["task.sh"] = internal::task_script(spec);
      break;
    case Launcher::kDirect:
      files["process.sh"] = internal::process_script(spec);
      files["task.sh"] = internal::direct_script(spec, {.first_rank = shape.first_process[rank],
                                                        .count = shape.processes[rank],
                                                        .has_slurm_variables = spec.slurm_environment});
      break;
    case Launcher::kMpirun:
      files["task.sh"] = is_mpi_host
                             ? internal::mpi_host_script(spec)
                             : internal::mpi_leader_script(spec, {shape.hostnames.begin() + 1, shape.hostnames.end()});
      break;
  }
  return files;
}

}  // namespace

Result<std::string> members_text(const LaunchInput& input) {
  TRY_ASSIGN(const GangShape shape, internal::shape_of(input));
  return internal::members_json(input, shape);
}

Result<std::vector<TaskPlan>> plan_launch(const LaunchInput& input) {
  TRY_ASSIGN(const GangShape shape, internal::shape_of(input));
  const bool is_live = input.spec.elastic == model::Elastic::kLive;
  std::vector<TaskPlan> plans;
  for (std::uint32_t rank = 0; rank < shape.nodes.size(); ++rank) {
    const bool is_mpi = input.spec.launcher == Launcher::kMpirun;
    TaskPlan plan{.rank = rank,
                  .hostname = shape.hostnames[rank],
                  .argv = {"/bin/sh", "/run/busbar/launch.sh"},
                  .workdir = input.spec.workdir,
                  .files = task_files(input, shape, rank),
                  .ends_gang = (is_mpi || is_live) && rank == 0,
                  .is_host_only = is_mpi && rank > 0};
    if (is_live) {
      plan.files[kMembersFile] = internal::members_json(input, shape);
      plan.peers = internal::possible_hostnames(input);
    }
    TRY_ASSIGN(plan.env, internal::task_environment(input, shape, rank));
    plans.push_back(std::move(plan));
  }
  return plans;
}

model::JobSpec replica_spec(const model::JobSpec& service, std::uint64_t number) {
  model::JobSpec replica = service;
  replica.name = fmt::format("{}-{}", service.name, number);
  const std::uint16_t port = service.service ? service.service->port : std::uint16_t{0};
  replica.ports.insert(replica.ports.begin(), {.name = "service", .container_port = port});
  return replica;
}

std::vector<JobSpec> expand_array(const JobSpec& spec) {
  if (spec.array.empty()) {
    return {spec};
  }
  std::vector<JobSpec> members;
  for (const std::uint32_t index : spec.array) {
    JobSpec member = spec;
    member.array.clear();
    member.array_parallel = 0;
    member.array_index = index;
    members.push_back(std::move(member));
  }
  return members;
}

}  // namespace busbar::launch
