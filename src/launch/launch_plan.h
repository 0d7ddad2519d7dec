#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/error.h"
#include "model/cluster.h"
#include "model/job.h"
#include "model/spec_text.h"

namespace busbar::launch {

/// What is known of a node when a gang starts there.
struct NodeFacts {
  model::NodeId id = {};
  std::string name = {};
  std::string address = "127.0.0.1";     ///< Where other tasks of the gang reach it.
  std::string network_interface = "lo";  ///< For NCCL, gloo and OpenMPI.
};

/// Facts found by probing the image, which change the environment.
struct ImageFacts {
  /// Debian's torchrun 1.13 on Python 3.11 crashes on its redirect defaults; then PET_REDIRECTS and PET_TEE are set.
  bool torchrun_needs_redirects = false;
};

/// All of it is needed to make the plan; nothing else enters it.
struct LaunchInput {
  const model::JobSpec& spec;
  model::AttemptId attempt = {};
  const model::Placement& placement;
  std::vector<NodeFacts> nodes = {};  ///< One per distinct node of the placement.
  /// Ports leased on the first task's node: [0] is the rendezvous. One more per requested port of each task.
  std::uint16_t rendezvous_port = 0;
  std::vector<std::vector<std::uint16_t>> task_ports = {};  ///< [rank][index in spec.ports]
  ImageFacts image = {};
  std::string user = {};
  std::string api_url = {};
  /// Of a live gang: how often its tasks have changed in this attempt, from 1.
  std::uint32_t generation = 1;
  /// Nothing is leased for a dry run: ports may be 0 and are shown as such.
  bool is_preview = false;
};

/// One process tree to start: one container.
struct TaskPlan {
  std::uint32_t rank = 0;
  std::string hostname = {};
  std::vector<std::string> argv = {};
  std::map<std::string, std::string> env = {};
  std::string workdir = {};
  /// Files to place below /run/busbar: name -> content (hostfile, run script).
  std::map<std::string, std::string> files = {};
  /// Of a live gang: the names of all tasks that it may ever have, which each of them must find.
  std::vector<std::string> peers = {};
  bool ends_gang = false;     ///< When this task exits the gang is done: mpirun's leader, and that of a live gang.
  bool is_host_only = false;  ///< Waits for work from the leader (mpirun's other tasks); its exit means nothing.
};

/// The launch environment of every task (design §8, docs/job-file.md "Launchers"): torchrun, direct, mpirun, none.
/// For `direct` the run text is started once per process inside the task by a small supervisor script.
/// Pure. kInvalidArgument if placement and spec do not belong together.
Result<std::vector<TaskPlan>> plan_launch(const LaunchInput& input);

/// Of a live gang, in each task's /run/busbar: who belongs to it now. Written anew whenever that changes.
inline constexpr const char* kMembersFile = "members.json";
/// Its content: attempt, generation, members (rank, hostname, address). Errors as above.
Result<std::string> members_text(const LaunchInput& input);

/// The members that an array job stands for, in index order; a job that is no array gives itself.
std::vector<model::JobSpec> expand_array(const model::JobSpec& spec);

/// The job that one replica of a service is: called NAME-NUMBER, with the service's port first among its ports, so that
/// $PORT is where it has to listen.
model::JobSpec replica_spec(const model::JobSpec& service, std::uint64_t number);

/// Slurm's "0-7", "1,3,5-9:2", "0-99%4" and a bare count "8" (0..7). At most 10,000 indices.
using model::ArrayRange;
using model::parse_array;

}  // namespace busbar::launch
