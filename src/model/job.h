#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/units.h"
#include "model/card_list.h"
#include "model/ids.h"
#include "model/service.h"

namespace busbar::model {

enum class JobType { kJob, kService, kDev };
enum class Launcher { kTorchrun, kDirect, kMpirun, kNone };
/// How a gang of changing size gets to another one.
enum class Elastic {
  kRestart,  ///< It is stopped, and goes on from its checkpoint with another number of tasks.
  kLive,     ///< Tasks come and go while it runs: its framework takes them in and lets them go.
};

/// `restart.on`: why an attempt ended, as far as restarting goes.
enum class ExitClass {
  kSuccess,         ///< Exit code 0.
  kUser,            ///< The program's own failure: non-zero exit code or a signal it caused.
  kOutOfMemory,     ///< The kernel's OOM killer, by the container's limit.
  kTimeLimit,       ///< We stopped it at `time_limit`.
  kCancelled,       ///< A user stopped it.
  kPreempted,       ///< The core took the cards away.
  kInfrastructure,  ///< Container runtime, conmon, image, node: not the job's fault, never charged to `restart.max`.
};

/// A chip by name or kind, and how many milli-cards of it each node of the gang needs.
struct AcceleratorRequest {
  std::string chip = {};  ///< As the user wrote it, or an id of the catalogue. Empty: any but "cpu". "cpu": CPU cards.
  MilliCards per_node = {};
  /// What it must compute in: "fp8"; chooses among the chips that a name means. Empty: the job's own.
  std::string precision = {};
  friend bool operator==(const AcceleratorRequest&, const AcceleratorRequest&) = default;
};

struct Resources {
  std::optional<AcceleratorRequest> accelerators = {};
  MilliCpus cpus = {};  ///< Per task; 0: follows from the cards (1 CPU per CPU card), else 1.
  Bytes memory = {};    ///< Per task limit; 0: no limit.
  Bytes shm_size = {};  ///< /dev/shm; 0: 64 MiB, as container runtimes do.
  Bytes disk = {};      ///< Scratch, the private writable layer; 0: no limit.
  // What each card must be known to have, by the chip catalogue; 0: no matter.
  Bytes min_card_memory = {};
  std::int64_t min_card_gflops = 0;     ///< Dense, at the job's precision.
  std::int64_t min_card_link_mbps = 0;  ///< Between cards, both directions, MB/s.
  friend bool operator==(const Resources&, const Resources&) = default;
};

struct RestartPolicy {
  std::uint32_t max = 0;  ///< Restarts after the first attempt that count (infrastructure does not).
  /// Classes that restart; kInfrastructure and kPreempted always do (infrastructure: at most 5 times in a row).
  std::vector<ExitClass> on = {ExitClass::kUser, ExitClass::kOutOfMemory};
  friend bool operator==(const RestartPolicy&, const RestartPolicy&) = default;
};

struct CheckpointPolicy {
  std::string path = {};
  std::int64_t every_ms = 0;
  std::string signal = {};         ///< Sent before a stop so that the job may save: "SIGUSR1". Empty: SIGTERM only.
  std::int64_t grace_ms = 10'000;  ///< Between SIGTERM and SIGKILL.
  friend bool operator==(const CheckpointPolicy&, const CheckpointPolicy&) = default;
};

struct VolumeMount {
  std::string source = {};  ///< Host path.
  std::string target = {};  ///< Absolute path in the container.
  bool is_read_only = false;
  friend bool operator==(const VolumeMount&, const VolumeMount&) = default;
};

struct SecretRef {
  std::string name = {};  ///< In the server's secret store.
  std::string env = {};   ///< Also given as this variable if not empty; the file is /run/secrets/<name>.
  friend bool operator==(const SecretRef&, const SecretRef&) = default;
};

struct PortRequest {
  std::string name = {};
  std::uint16_t container_port = 0;  ///< 0: leased by the engine, told by BUSBAR_PORT_<NAME>.
  friend bool operator==(const PortRequest&, const PortRequest&) = default;
};

struct EfficiencyHint {
  std::int64_t flops_per_token = 0;   ///< Forward and backward; 0: not given.
  std::int64_t flops_per_sample = 0;  ///< Same, per sample.
  std::int64_t parameters = 0;        ///< Gives 6 x parameters FLOPs a token (Kaplan et al. 2020, section 2.1).
  std::string precision = {};         ///< Which peak to compare with; empty: the job's `precision`, else fp32.
  friend bool operator==(const EfficiencyHint&, const EfficiencyHint&) = default;
};

struct TopologyRequest {
  enum class Mode { kNone, kRequired, kPreferred };
  Mode mode = Mode::kNone;
  std::string level = {};  ///< "node", "leaf", "spine".
  friend bool operator==(const TopologyRequest&, const TopologyRequest&) = default;
};

/// The effective job: what a job file says after aliases and defaults. A plain value; `launch/job_file.h` makes it
/// from text and has checked it, `model/job_json.h` writes and reads it.
struct JobSpec {
  std::string name = {};
  JobType type = JobType::kJob;
  std::string image = "host";  ///< "host", or "oci:PATH[:TAG]" for an OCI layout directory.
  std::string workdir = {};    ///< Empty: the image's own, else "/". For image host: where the file was applied from.
  std::string setup = {};      ///< Shell text run before `run`, in each task.
  std::string run = {};        ///< Shell text; for `dev`, may be empty.
  std::map<std::string, std::string> env = {};
  std::vector<SecretRef> secrets = {};
  std::uint32_t min_nodes = 1;
  std::uint32_t max_nodes = 1;
  /// Gang sizes that the job accepts, ascending, the first `min_nodes`, the last `max_nodes`; empty: all between.
  std::vector<std::uint32_t> sizes = {};
  Elastic elastic = Elastic::kRestart;
  std::uint32_t max_tasks_per_node = 0;  ///< Tasks of the job that may share a node; 0: no bound.
  std::uint32_t procs_per_node = 0;      ///< 0: one per whole card, at least 1.
  Resources resources = {};
  std::string precision = {};
  std::vector<AcceleratorRequest> any_of = {};  ///< In order of preference; used instead of resources.accelerators.
  std::map<std::string, std::string> labels = {};
  /// Jobs never to share a node with, nor they with this one: "label:KEY=VALUE", "name:NAME", "array" (the other
  /// members of the same array).
  std::vector<std::string> avoid = {};
  std::string project = "default";
  std::string queue = "default";
  std::int32_t priority = 0;
  std::int64_t time_limit_ms = 0;  ///< 0: none.
  /// Whether it may be stopped for a job that is entitled to its cards. Not given: yes for `job`, else no.
  std::optional<bool> preemptible = {};
  std::int64_t min_run_time_ms = 0;  ///< Not evicted sooner after it started.
  RestartPolicy restart = {};
  CheckpointPolicy checkpoint = {};
  TopologyRequest topology = {};
  Launcher launcher = Launcher::kTorchrun;
  std::vector<VolumeMount> volumes = {};
  std::vector<PortRequest> ports = {};
  std::vector<std::uint32_t> array = {};  ///< Indices; empty: not an array.
  std::uint32_t array_parallel = 0;       ///< How many of the array run at once; 0: all.
  std::vector<std::string> after = {};    ///< "JOB" or "ok:JOB" (must succeed), "any:JOB" (must have ended).
  EfficiencyHint efficiency = {};
  bool slurm_environment = false;                 ///< Also set SLURM_* variables.
  std::optional<ServiceSpec> service = {};        ///< Of `type: service` and of its replicas only.
  std::optional<std::uint32_t> array_index = {};  ///< Set on the members of an array when it is expanded.
  friend bool operator==(const JobSpec&, const JobSpec&) = default;
};

/// Where a job stands, for users. kBlocked: accepted, but cannot run on the cluster as declared.
enum class JobState { kQueued, kBlocked, kStarting, kRunning, kStopping, kSucceeded, kFailed, kCancelled };

std::string_view job_type_name(JobType type);
std::string_view launcher_name(Launcher launcher);
std::string_view elastic_name(Elastic elastic);
std::string_view exit_class_name(ExitClass exit_class);
std::string_view job_state_name(JobState state);
std::optional<JobState> job_state_from_name(std::string_view name);
std::optional<ExitClass> exit_class_from_name(std::string_view name);
std::optional<JobType> job_type_from_name(std::string_view name);
std::optional<Launcher> launcher_from_name(std::string_view name);
std::optional<Elastic> elastic_from_name(std::string_view name);
constexpr bool is_terminal(JobState state) {
  return state == JobState::kSucceeded || state == JobState::kFailed || state == JobState::kCancelled;
}

/// One task of a placement.
struct TaskPlacement {
  std::uint32_t rank = 0;  ///< Order along the fabric; part of the placement.
  NodeId node = {};
  CardList cards = {};           ///< Indices on the node, ascending; empty for CPU-only tasks.
  MilliCards per_card = {1000};  ///< Less than 1000 for a fraction of the one card in `cards`.
  MilliCpus cpus = {};
  Bytes memory = {};
  friend bool operator==(const TaskPlacement&, const TaskPlacement&) = default;
};

/// task -> node and cards, in rank order.
struct Placement {
  std::vector<TaskPlacement> tasks = {};
  std::string chip = {};  ///< The chip granted; empty for CPU-only.
  friend bool operator==(const Placement&, const Placement&) = default;
};

}  // namespace busbar::model
