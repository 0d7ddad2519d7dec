#include "launch/internal/launch_env.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/json.h"
#include "base/text.h"
#include "launch/internal/launcher_env.h"

namespace busbar::launch::internal {
namespace {

using Environment = std::map<std::string, std::string>;
using model::Launcher;

tl::unexpected<Error> refuse(std::string message) {
  return make_error(ErrorCode::kInvalidArgument, std::move(message));
}

std::uint32_t processes_of(const model::JobSpec& spec, const model::TaskPlacement& task) {
  if (spec.procs_per_node > 0) {
    return spec.procs_per_node;
  }
  return std::max<std::uint32_t>(1, static_cast<std::uint32_t>(task.cards.size()));
}

/// RFC 1123 label: the job's name, its id and the rank, so that shells and logs say where they are.
std::string hostname_of(const LaunchInput& input, std::uint32_t rank) {
  constexpr std::size_t kLongestName = 32;
  std::string name = input.spec.name.substr(0, kLongestName);
  std::replace_if(name.begin(), name.end(), [](char c) { return c == '_' || c == '.'; }, '-');
  if (name.empty()) {
    name = "job";
  }
  return fmt::format("{}-{}-{}", name, input.attempt.job.value, rank);
}

const NodeFacts* find_node(const LaunchInput& input, model::NodeId id) {
  const auto found =
      std::find_if(input.nodes.begin(), input.nodes.end(), [id](const NodeFacts& facts) { return facts.id == id; });
  return found == input.nodes.end() ? nullptr : &*found;
}

std::string variable_part(std::string_view port_name) {
  std::string name(port_name);
  for (char& c : name) {
    c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : (c == '-' || c == '.' ? '_' : c);
  }
  return name;
}

Result<void> add_ports(const LaunchInput& input, std::uint32_t rank, Environment& env) {
  for (std::size_t index = 0; index < input.spec.ports.size(); ++index) {
    const model::PortRequest& request = input.spec.ports[index];
    std::uint16_t port = request.container_port;
    if (port == 0) {
      const bool is_leased = rank < input.task_ports.size() && index < input.task_ports[rank].size();
      port = is_leased ? input.task_ports[rank][index] : 0;
    }
    if (port == 0 && !input.is_preview) {
      return refuse(fmt::format("port \"{}\" of task {} was not leased", request.name, rank));
    }
    env["BUSBAR_PORT_" + variable_part(request.name)] = std::to_string(port);
    env.emplace("PORT", std::to_string(port));
  }
  return {};
}

void add_common(const LaunchInput& input, const GangShape& shape, std::uint32_t rank, Environment& env) {
  const model::JobSpec& spec = input.spec;
  const std::int64_t cpus = input.placement.tasks[rank].cpus.value / 1000;
  const std::string count = std::to_string(shape.nodes.size());
  env["BUSBAR_JOB_ID"] = input.attempt.job.to_string();
  env["BUSBAR_JOB_NAME"] = spec.name;
  env["BUSBAR_ATTEMPT"] = std::to_string(input.attempt.number);
  env["BUSBAR_TASK_RANK"] = std::to_string(rank);
  env["BUSBAR_NNODES"] = count;
  env["BUSBAR_REPORT_FILE"] = "/run/busbar/report.jsonl";
  env["BUSBAR_HOSTFILE"] = "/run/busbar/hostfile";
  if (spec.elastic == model::Elastic::kLive) {
    env["BUSBAR_MEMBERS"] = fmt::format("/run/busbar/{}", kMembersFile);
  }
  env["BUSBAR_LAUNCHER"] = std::string(model::launcher_name(spec.launcher));
  env["BUSBAR_CHIP"] = input.placement.chip;
  env["BUSBAR_USER"] = input.user;
  env["BUSBAR_API_URL"] = input.api_url;
  env["BUSBAR_PROJECT"] = spec.project;
  env["BUSBAR_QUEUE"] = spec.queue;
  env["BUSBAR_CHECKPOINT_DIR"] = spec.checkpoint.path;
  if (spec.checkpoint.every_ms > 0) {
    env["BUSBAR_CHECKPOINT_EVERY_S"] = format_milli(spec.checkpoint.every_ms);
  }
  if (spec.array_index) {
    env["BUSBAR_ARRAY_INDEX"] = std::to_string(*spec.array_index);
  }
  std::erase_if(env, [](const auto& entry) { return entry.second.empty(); });
  env["NNODES"] = count;
  env["NODE_RANK"] = std::to_string(rank);
  env["OMP_NUM_THREADS"] = std::to_string(std::max<std::int64_t>(1, cpus / shape.processes[rank]));
  env["NCCL_SOCKET_IFNAME"] = shape.nodes[rank]->network_interface;
  env["GLOO_SOCKET_IFNAME"] = shape.nodes[rank]->network_interface;
  env["PYTHONUNBUFFERED"] = "1";
}

/// torchrun's elastic agents: whoever comes is taken in, and the work goes on without whoever leaves. Task 0 keeps what
/// they meet at.
void add_live_torchrun(const LaunchInput& input, const GangShape& shape, std::uint32_t rank, Environment& env) {
  const model::JobSpec& spec = input.spec;
  env["PET_NNODES"] = fmt::format("{}:{}", spec.min_nodes, spec.max_nodes);
  env["PET_NPROC_PER_NODE"] = std::to_string(shape.processes[rank]);
  env["PET_RDZV_BACKEND"] = "c10d";
  env["PET_RDZV_ENDPOINT"] = fmt::format("{}:{}", shape.nodes[0]->address, input.rendezvous_port);
  env["PET_RDZV_ID"] = "busbar-" + input.attempt.to_string();
  env["PET_RDZV_CONF"] = fmt::format("is_host={},last_call_timeout=5", rank == 0 ? 1 : 0);
  // Processes that lose a partner fail, and are started again: that is no failure of the job.
  env["PET_MAX_RESTARTS"] = "30";
  env["PET_MONITOR_INTERVAL"] = "1";
  env["NPROC_PER_NODE"] = std::to_string(shape.processes[rank]);
}

void add_torchrun(const LaunchInput& input, const GangShape& shape, std::uint32_t rank, Environment& env) {
  const std::string& address = shape.nodes[0]->address;
  const std::string port = std::to_string(input.rendezvous_port);
  const std::string processes = std::to_string(shape.processes[rank]);
  env["PET_NNODES"] = std::to_string(shape.nodes.size());
  env["PET_NODE_RANK"] = std::to_string(rank);
  env["PET_NPROC_PER_NODE"] = processes;
  env["PET_MASTER_ADDR"] = address;
  env["PET_MASTER_PORT"] = port;
  env["PET_RDZV_BACKEND"] = "static";
  env["PET_RDZV_ENDPOINT"] = address + ":" + port;
  env["MASTER_ADDR"] = address;
  env["MASTER_PORT"] = port;
  env["NPROC_PER_NODE"] = processes;
}

void add_direct(const LaunchInput& input, const GangShape& shape, std::uint32_t rank, Environment& env) {
  env["WORLD_SIZE"] = std::to_string(shape.world_size);
  env["LOCAL_WORLD_SIZE"] = std::to_string(shape.processes[rank]);
  env["MASTER_ADDR"] = shape.nodes[0]->address;
  env["MASTER_PORT"] = std::to_string(input.rendezvous_port);
}

void add_mpirun(const LaunchInput& input, const GangShape& shape, std::uint32_t rank, Environment& env) {
  env["OMPI_MCA_plm_rsh_agent"] = "/run/busbar/rsh";
  env["OMPI_MCA_orte_default_hostfile"] = "/run/busbar/hostfile";
  env["OMPI_MCA_btl_tcp_if_include"] = shape.nodes[rank]->network_interface;
  env["OMPI_MCA_oob_tcp_if_include"] = shape.nodes[rank]->network_interface;
  env["OMPI_ALLOW_RUN_AS_ROOT"] = "1";
  env["OMPI_ALLOW_RUN_AS_ROOT_CONFIRM"] = "1";
  if (input.spec.slurm_environment) {
    // SLURM_* would make OpenMPI look for srun.
    env["OMPI_MCA_plm"] = "rsh";
    env["OMPI_MCA_ras"] = "^slurm";
    env["OMPI_MCA_ess"] = "^slurm";
  }
}

/// "2(x3),1": Slurm's way to write 2,2,2,1.
std::string tasks_per_node(const std::vector<std::uint32_t>& processes) {
  std::string text;
  for (std::size_t begin = 0; begin < processes.size();) {
    std::size_t end = begin;
    while (end < processes.size() && processes[end] == processes[begin]) {
      ++end;
    }
    text += text.empty() ? "" : ",";
    text += end - begin == 1 ? std::to_string(processes[begin]) : fmt::format("{}(x{})", processes[begin], end - begin);
    begin = end;
  }
  return text;
}

void add_slurm(const LaunchInput& input, const GangShape& shape, std::uint32_t rank, Environment& env) {
  const model::JobSpec& spec = input.spec;
  const model::TaskPlacement& task = input.placement.tasks[rank];
  const std::string nodes = std::to_string(shape.nodes.size());
  const std::string list = join(shape.hostnames, ",");
  const std::int64_t cpus = std::max<std::int64_t>(1, task.cpus.value / 1000);
  const Environment slurm = {
      {"SLURM_JOB_ID", input.attempt.job.to_string()},
      {"SLURM_JOBID", input.attempt.job.to_string()},
      {"SLURM_JOB_NAME", spec.name},
      {"SLURM_JOB_PARTITION", spec.queue},
      {"SLURM_JOB_ACCOUNT", spec.project},
      {"SLURM_JOB_USER", input.user},
      {"SLURM_NNODES", nodes},
      {"SLURM_JOB_NUM_NODES", nodes},
      {"SLURM_NODEID", std::to_string(rank)},
      {"SLURM_NTASKS", std::to_string(shape.world_size)},
      {"SLURM_NPROCS", std::to_string(shape.world_size)},
      {"SLURM_TASKS_PER_NODE", tasks_per_node(shape.processes)},
      {"SLURM_NTASKS_PER_NODE", std::to_string(shape.processes[rank])},
      {"SLURM_CPUS_ON_NODE", std::to_string(cpus)},
      {"SLURM_CPUS_PER_TASK", std::to_string(std::max<std::int64_t>(1, cpus / shape.processes[rank]))},
      {"SLURM_JOB_NODELIST", list},
      {"SLURM_NODELIST", list},
      {"SLURMD_NODENAME", shape.hostnames[rank]},
      {"SLURM_SUBMIT_DIR", spec.workdir},
      {"SLURM_RESTART_COUNT", std::to_string(input.attempt.number == 0 ? 0 : input.attempt.number - 1)},
      {"SLURM_GPUS_ON_NODE", task.cards.empty() ? "" : std::to_string(task.cards.size())},
      {"SLURM_ARRAY_TASK_ID", spec.array_index ? std::to_string(*spec.array_index) : ""},
  };
  for (const auto& [name, value] : slurm) {
    if (!value.empty()) {
      env[name] = value;
    }
  }
}

}  // namespace

Result<GangShape> shape_of(const LaunchInput& input) {
  const auto& tasks = input.placement.tasks;
  if (tasks.size() < input.spec.min_nodes || tasks.size() > input.spec.max_nodes || tasks.empty()) {
    return refuse(fmt::format("the placement has {} tasks, the job asks for {}", tasks.size(),
                              model::format_nodes(input.spec.min_nodes, input.spec.max_nodes)));
  }
  const bool needs_rendezvous = input.spec.launcher == Launcher::kTorchrun || input.spec.launcher == Launcher::kDirect;
  if (needs_rendezvous && input.rendezvous_port == 0 && !input.is_preview) {
    return refuse("no rendezvous port was leased");
  }
  GangShape shape;
  for (std::uint32_t rank = 0; rank < tasks.size(); ++rank) {
    const model::TaskPlacement& task = tasks[rank];
    if (task.rank != rank) {
      return refuse(fmt::format("task {} of the placement has rank {}", rank, task.rank));
    }
    const NodeFacts* node = find_node(input, task.node);
    if (node == nullptr) {
      return refuse(fmt::format("nothing is known of node {} of task {}", task.node.value, rank));
    }
    shape.nodes.push_back(node);
    shape.hostnames.push_back(hostname_of(input, rank));
    shape.processes.push_back(processes_of(input.spec, task));
    shape.first_process.push_back(shape.world_size);
    shape.world_size += shape.processes.back();
  }
  return shape;
}

Result<Environment> task_environment(const LaunchInput& input, const GangShape& shape, std::uint32_t rank) {
  Environment env;
  add_common(input, shape, rank, env);
  TRY(add_ports(input, rank, env));
  switch (input.spec.launcher) {
    case Launcher::kTorchrun:
      if (input.spec.elastic == model::Elastic::kLive) {
        add_live_torchrun(input, shape, rank, env);
      } else {
        add_torchrun(input, shape, rank, env);
      }
      if (input.image.torchrun_needs_redirects) {
        // A local rank that does not exist: torchrun then takes the code path that works and redirects nothing.
        env["PET_REDIRECTS"] = "9:3";
        env["PET_TEE"] = "9:3";
      }
      break;
    case Launcher::kDirect:
      add_direct(input, shape, rank, env);
      break;
    case Launcher::kMpirun:
      add_mpirun(input, shape, rank, env);
      break;
    case Launcher::kNone:
      break;
  }
  if (input.spec.slurm_environment) {
    add_slurm(input, shape, rank, env);
  }
  for (const auto& [name, value] : input.spec.env) {
    if (!is_owned_by_launcher(input.spec.launcher, name)) {
      env[name] = value;
    }
  }
  return env;
}

std::string members_json(const LaunchInput& input, const GangShape& shape) {
  Json members = Json::array();
  for (std::size_t rank = 0; rank < shape.nodes.size(); ++rank) {
    members.push(
        Json::object({{"rank", rank}, {"hostname", shape.hostnames[rank]}, {"address", shape.nodes[rank]->address}}));
  }
  const Json file = Json::object(
      {{"attempt", input.attempt.to_string()}, {"generation", input.generation}, {"members", std::move(members)}});
  return file.dump() + "\n";
}

std::vector<std::string> possible_hostnames(const LaunchInput& input) {
  std::vector<std::string> names;
  for (std::uint32_t rank = 0; rank < input.spec.max_nodes; ++rank) {
    names.push_back(hostname_of(input, rank));
  }
  return names;
}

std::string hostfile(const GangShape& shape) {
  std::string text;
  for (std::size_t rank = 0; rank < shape.hostnames.size(); ++rank) {
    text += fmt::format("{} slots={}\n", shape.hostnames[rank], shape.processes[rank]);
  }
  return text;
}

}  // namespace busbar::launch::internal
