#include <limits>
#include <utility>

#include "launch/internal/field_kinds.h"
#include "launch/internal/value_readers.h"
#include "model/spec_text.h"

namespace busbar::launch::internal {
namespace {

using model::JobSpec;

void read_type(Reader& reader, const YamlNode& node) {
  static const std::vector<std::string> kTypes = {"job", "service", "dev"};
  if (const auto name = read_choice(reader, node, kTypes)) {
    reader.spec().type = model::job_type_from_name(*name).value_or(model::JobType::kJob);
  }
}

void read_restart_shorthand(Reader& reader, const YamlNode& node) {
  static const Field kMax = integer_field(
      {}, 0, 1000, [](JobSpec& spec, std::int64_t value) { spec.restart.max = static_cast<std::uint32_t>(value); });
  if (node.kind == YamlNode::Kind::kScalar && node.scalar == "never") {
    reader.spec().restart.max = 0;
  } else if (node.kind == YamlNode::Kind::kScalar && (node.scalar == "always" || node.scalar == "on-failure")) {
    reader.error(node, "a restart needs a bound", "write restart: {max: 3} or never");
  } else {
    kMax.read(reader, node);
  }
}

void read_checkpoint_path(Reader& reader, const YamlNode& node) {
  if (auto path = reader.scalar(node, "a path or a map of path, every, signal, grace")) {
    reader.spec().checkpoint.path = *std::move(path);
  }
}

/// What runs, where, and with what around it.
std::vector<Field> program_fields() {
  return {
      text_field(
          {.name = "name",
           .help = "1 to 63 of a-z 0-9 - _ . that begin with a letter or digit. Default: the job's type.",
           .aliases = {"job_name", "job-name"}},
          [](JobSpec& spec, std::string value) { spec.name = std::move(value); }, check_name),
      custom_field({.name = "type",
                    .help = "job (default), service (replicas that answer requests) or dev (a shell to work in)."},
                   Json::object({{"enum", Json::array({"job", "service", "dev"})}}), read_type),
      custom_field({.name = "image",
                    .help = "host (default: the machine's own root, with a private writable layer) or oci:PATH[:TAG]."},
                   Json::object({{"type", "string"}, {"pattern", "^(host|oci:.+)$"}}), read_image),
      text_field({.name = "workdir",
                  .help = "Where setup and run start. Default with image host: the job file's folder.",
                  .aliases = {"working_dir", "working_directory", "cwd", "chdir"}},
                 [](JobSpec& spec, std::string value) { spec.workdir = std::move(value); }),
      custom_field({.name = "setup", .help = "Shell text before run, in each task; a failing line ends the task."},
                   script_schema(),
                   [](Reader& reader, const YamlNode& node) { read_script(reader, node, reader.spec().setup); }),
      custom_field({.name = "run",
                    .help = "Shell text; its exit code is the task's.",
                    .aliases = {"commands", "command", "cmd", "script", "entrypoint"}},
                   script_schema(),
                   [](Reader& reader, const YamlNode& node) { read_script(reader, node, reader.spec().run); }),
      custom_field(
          {.name = "env", .help = "Variables: a map, or a list of NAME=VALUE.", .aliases = {"envs", "environment"}},
          env_schema(), read_env),
      custom_field({.name = "secrets", .help = "Names, or a map ENV_NAME: secret; files in /run/secrets."},
                   secrets_schema(), read_secrets),
      list_field({.name = "volumes", .help = "SOURCE:TARGET[:ro], or maps of source, target, read_only."},
                 volume_schema(), read_volume),
      custom_field({.name = "ports", .help = "Ports that the job listens on: 8080, a name (any free one), name: 8080."},
                   ports_schema(), read_ports),
      refused_field({.name = "datasets", .help = "Datasets by name."}, "mount a volume instead"),
  };
}

/// What the gang needs and who pays.
std::vector<Field> scheduling_fields() {
  return {
      custom_field({.name = "nodes",
                    .help = "Tasks of the gang: 4; 2..8 for what is free; 2,4,8 for these sizes only. Default: 1.",
                    .aliases = {"num_nodes", "nnodes"}},
                   schema_any_of({schema_of_types({"integer", "string"}),
                                  Json::object({{"type", "array"}, {"items", schema_of_types({"integer"})}})}),
                   read_nodes),
      choice_field(
          {.name = "elastic",
           .help = "How a gang of changing size gets to another one: restart (default: from its checkpoint) or "
                   "live (tasks come and go while it runs; its framework must take part)."},
          {"restart", "live"},
          [](JobSpec& spec, const std::string& name) {
            spec.elastic = model::elastic_from_name(name).value_or(spec.elastic);
          }),
      integer_field(
          {.name = "max_tasks_per_node", .help = "Tasks of the job that may share a node. Default: any."}, 1,
          model::kMaxNodes,
          [](JobSpec& spec, std::int64_t value) { spec.max_tasks_per_node = static_cast<std::uint32_t>(value); }),
      integer_field({.name = "procs_per_node",
                     .help = "Processes in each task. Default: one per whole card, at least 1.",
                     .aliases = {"nproc_per_node", "ntasks_per_node", "ntasks-per-node"}},
                    1, 1024,
                    [](JobSpec& spec, std::int64_t value) { spec.procs_per_node = static_cast<std::uint32_t>(value); }),
      section_field({.name = "resources", .help = "What each node of the gang gives its task."}, resources_section()),
      choice_field({.name = "precision", .help = "What the job computes in: which peak its MFU is compared with."},
                   model::precision_names(),
                   [](JobSpec& spec, std::string value) { spec.precision = std::move(value); }),
      custom_field({.name = "any_of", .help = "Accelerators to choose from, best first: [H100:8, A100:8]."},
                   Json::object({{"type", "array"}, {"items", accelerators_schema()}}), read_any_of),
      custom_field({.name = "labels", .help = "Short texts by name, for other jobs to keep away from: {tier: noisy}."},
                   Json::object({{"type", "object"}, {"additionalProperties", schema_of_types({"string"})}}),
                   read_labels),
      list_field({.name = "avoid",
                  .help = "Jobs never to share a node with, nor they with this one: label:KEY=VALUE, name:NAME, array "
                          "(other members of the array).",
                  .aliases = {"anti_affinity"}},
                 schema_of_types({"string"}), read_avoid),
      text_field(
          {.name = "project", .help = "Default: default.", .aliases = {"account"}},
          [](JobSpec& spec, std::string value) { spec.project = std::move(value); }, check_name),
      text_field(
          {.name = "queue", .help = "Default: default.", .aliases = {"partition"}},
          [](JobSpec& spec, std::string value) { spec.queue = std::move(value); }, check_name),
      integer_field({.name = "priority", .help = "Higher goes first within the queue. Default: 0."}, -10'000, 10'000,
                    [](JobSpec& spec, std::int64_t value) { spec.priority = static_cast<std::int32_t>(value); }),
      custom_field({.name = "time_limit",
                    .help = "Counted from the start: 4h, 90s, 1h30m, 0-04:00:00.",
                    .aliases = {"time", "max_duration", "timeout", "walltime"}},
                   schema_of_types({"integer", "string"}), read_time_limit),
      boolean_field({.name = "preemptible",
                     .help = "Whether it may be stopped, and started again later, for a job that is entitled to its "
                             "cards. If not, it may not borrow. Default: true for type job, else false."},
                    [](JobSpec& spec, bool value) { spec.preemptible = value; }),
      duration_field({.name = "min_run_time",
                      .help = "Not evicted sooner after its start: 10m. Bounded by its queue. Default: 0."},
                     0, [](JobSpec& spec, std::int64_t value) { spec.min_run_time_ms = value; }),
      section_field({.name = "topology", .help = "How near to each other the gang's nodes must be."},
                    topology_section()),
      custom_field(
          {.name = "array", .help = "Members of an array job: 0-7, 1,3,5-9:2, 0-99%4, or a count."},
          schema_any_of({schema_of_types({"integer", "string"}),
                         Json::object({{"type", "array"}, {"items", schema_of_types({"integer", "string"})}})}),
          read_array),
      integer_field({.name = "array_index", .help = "Which member of an array this job is; busbar sets it."}, 0,
                    model::kMaxArrayIndex,
                    [](JobSpec& spec, std::int64_t value) { spec.array_index = static_cast<std::uint32_t>(value); }),
      list_field({.name = "after",
                  .help = "Jobs to wait for: JOB or ok:JOB (must succeed), any:JOB (must have ended).",
                  .aliases = {"depends_on", "dependency"}},
                 schema_of_types({"integer", "string"}), read_after),
  };
}

/// How it is started, watched and started again.
std::vector<Field> lifecycle_fields() {
  return {
      choice_field(
          {.name = "launcher",
           .help = "torchrun (default: sets what torchrun reads), direct (one process per card), mpirun, none."},
          {"torchrun", "direct", "mpirun", "none"},
          [](JobSpec& spec, const std::string& name) {
            spec.launcher = model::launcher_from_name(name).value_or(spec.launcher);
          }),
      section_field({.name = "restart", .help = "A number of restarts, or max and on. Default: none."},
                    restart_section(), schema_of_types({"integer", "string"}), read_restart_shorthand),
      section_field({.name = "checkpoint", .help = "Where and how the job saves its state."}, checkpoint_section(),
                    schema_of_types({"string"}), read_checkpoint_path),
      section_field({.name = "efficiency", .help = "What a token or sample costs, for MFU."}, efficiency_section()),
      boolean_field({.name = "slurm_environment", .help = "Also set SLURM_* variables. Default: false."},
                    [](JobSpec& spec, bool value) { spec.slurm_environment = value; }),
      section_field({.name = "service", .help = "Replicas, health and limits; for type service."}, service_section()),
      refused_field({.name = "idle", .help = "What to do with a job that leaves its cards idle."},
                    "use time_limit instead"),
  };
}

const std::vector<ForeignKey>& foreign_keys() {
  static const std::vector<ForeignKey> kForeign = {
      {"image_id", "write image: host or image: oci:PATH"},
      {"docker", "write image: host or image: oci:PATH"},
      {"docker_image", "write image: host or image: oci:PATH"},
      {"container", "write image: host or image: oci:PATH"},
      {"container_image", "write image: host or image: oci:PATH"},
      {"python", "write image: host or image: oci:PATH, and the interpreter in run"},
      {"accelerators", "write resources: {accelerators: H100:8}"},
      {"gpus", "write resources: {accelerators: 8}"},
      {"gpu", "write resources: {accelerators: 8}"},
      {"gpus_per_node", "write resources: {accelerators: 8}"},
      {"gres", "write resources: {accelerators: 8}"},
      {"cpus", "write resources: {cpus: 4}"},
      {"cpu", "write resources: {cpus: 4}"},
      {"cpus_per_task", "write resources: {cpus: 4}"},
      {"cpus-per-task", "write resources: {cpus: 4}"},
      {"memory", "write resources: {memory: 64GiB}"},
      {"mem", "write resources: {memory: 64GiB}"},
      {"shm_size", "write resources: {shm_size: 8GiB}"},
      {"ntasks", "write nodes: N and procs_per_node: N"},
      {"tasks", "write nodes: N and procs_per_node: N"},
      {"world_size", "write nodes: N and procs_per_node: N"},
      {"replicas", "write nodes: N, or, for type: service, service: {replicas: N}"},
      {"file_mounts", "write volumes: [/data:/data:ro]"},
      {"mounts", "write volumes: [/data:/data:ro]"},
      {"retry", "write restart: {max: 3}"},
      {"max_restarts", "write restart: {max: 3}"},
      {"backoffLimit", "write restart: {max: 3}"},
      {"apiVersion", "this looks like a Kubernetes manifest; docs/job-file.md shows a job file"},
      {"kind", "this looks like a Kubernetes manifest; docs/job-file.md shows a job file"},
      {"metadata", "this looks like a Kubernetes manifest; write name: x"},
      {"spec", "this looks like a Kubernetes manifest; write its fields at the top"},
      {"ide", "write type: dev"},
      {"framework", "write launcher: torchrun, direct, mpirun or none"},
      {"mpi", "write launcher: mpirun"},
      {"distributed", "write nodes: N; the launcher sets up the rendezvous"},
      {"flops_per_token", "write efficiency: {flops_per_token: 6e9}"},
      {"parameters", "write efficiency: {parameters: 7B}"},
      {"outputs", "files of a task are kept on a volume; its output is shown by: busbar logs"},
      {"output", "output is kept by busbar; see: busbar logs"},
      {"error", "output is kept by busbar; see: busbar logs"},
  };
  return kForeign;
}

Section make_job_section() {
  Section section = {.fields = program_fields(), .foreign = foreign_keys()};
  for (auto more : {scheduling_fields(), lifecycle_fields()}) {
    section.fields.insert(section.fields.end(), more.begin(), more.end());
  }
  return section;
}

}  // namespace

const Section& job_section() {
  static const Section kSection = make_job_section();
  return kSection;
}

}  // namespace busbar::launch::internal
