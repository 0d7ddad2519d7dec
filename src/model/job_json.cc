#include "model/job_json.h"

#include <limits>
#include <utility>

#include "model/internal/object_reader.h"
#include "model/service_json.h"
#include "model/spec_text.h"

namespace busbar::model {
namespace {

using internal::kMaxInt;
using internal::kMaxU32;
using internal::milli_to_json;
using internal::ObjectReader;

constexpr std::int64_t kMinI32 = std::numeric_limits<std::int32_t>::min();
constexpr std::int64_t kMaxI32 = std::numeric_limits<std::int32_t>::max();

/// Sets a member unless it says nothing.
void set_text(Json& json, const char* key, const std::string& value) {
  if (!value.empty()) {
    json.set(key, value);
  }
}
void set_number(Json& json, const char* key, std::int64_t value) {
  if (value != 0) {
    json.set(key, value);
  }
}
void set_duration(Json& json, const char* key, std::int64_t value_ms) {
  if (value_ms != 0) {
    json.set(key, format_exact_duration_ms(value_ms));
  }
}
template <class Items, class Write>
void set_list(Json& json, const char* key, const Items& items, Write write) {
  if (items.empty()) {
    return;
  }
  Json list = Json::array();
  for (const auto& item : items) {
    list.push(write(item));
  }
  json.set(key, std::move(list));
}

std::int64_t read_duration(ObjectReader& reader, const char* key, std::int64_t fallback_ms) {
  return reader.parsed<std::int64_t>(key, fallback_ms, [](std::string_view text) { return parse_duration_ms(text); });
}

Json to_json(const Resources& resources) {
  Json json = Json::object();
  if (resources.accelerators) {
    json.set("accelerators", format_accelerators(*resources.accelerators));
  }
  if (resources.cpus.value != 0) {
    json.set("cpus", milli_to_json(resources.cpus.value));
  }
  set_number(json, "memory", resources.memory.value);
  set_number(json, "shm_size", resources.shm_size.value);
  set_number(json, "disk", resources.disk.value);
  set_number(json, "min_card_memory", resources.min_card_memory.value);
  if (resources.min_card_gflops != 0) {
    json.set("min_card_tflops", milli_to_json(resources.min_card_gflops));
  }
  if (resources.min_card_link_mbps != 0) {
    json.set("min_card_link", milli_to_json(resources.min_card_link_mbps));
  }
  return json;
}

Result<Resources> resources_from_json(const Json& json) {
  ObjectReader reader(json, "resources");
  Resources resources{.accelerators = reader.parsed<std::optional<AcceleratorRequest>>(
                          "accelerators", std::nullopt,
                          [](std::string_view text) -> Result<std::optional<AcceleratorRequest>> {
                            TRY_ASSIGN(AcceleratorRequest request, parse_accelerators(text));
                            return std::optional(std::move(request));
                          }),
                      .cpus = {reader.milli("cpus", 0)},
                      .memory = {reader.integer("memory", 0, kMaxInt, 0)},
                      .shm_size = {reader.integer("shm_size", 0, kMaxInt, 0)},
                      .disk = {reader.integer("disk", 0, kMaxInt, 0)},
                      .min_card_memory = {reader.integer("min_card_memory", 0, kMaxInt, 0)},
                      .min_card_gflops = reader.milli("min_card_tflops", 0),
                      .min_card_link_mbps = reader.milli("min_card_link", 0)};
  TRY(reader.finish());
  return resources;
}

Json to_json(const RestartPolicy& restart) {
  Json on = Json::array();
  for (const ExitClass exit_class : restart.on) {
    on.push(exit_class_name(exit_class));
  }
  return Json::object({{"max", restart.max}, {"on", std::move(on)}});
}

Result<RestartPolicy> restart_from_json(const Json& json) {
  ObjectReader reader(json, "restart");
  RestartPolicy restart{.max = static_cast<std::uint32_t>(reader.integer("max", 0, kMaxU32, 0))};
  if (json.find("on") != nullptr) {
    restart.on = reader.list<ExitClass>("on", [](const Json& item) -> Result<ExitClass> {
      const auto exit_class = exit_class_from_name(item.as_string());
      if (!exit_class) {
        return make_error(ErrorCode::kInvalidArgument, "unknown exit class " + item.dump());
      }
      return *exit_class;
    });
  }
  TRY(reader.finish());
  return restart;
}

Json to_json(const CheckpointPolicy& checkpoint) {
  Json json = Json::object();
  set_text(json, "path", checkpoint.path);
  set_duration(json, "every", checkpoint.every_ms);
  set_text(json, "signal", checkpoint.signal);
  json.set("grace", format_exact_duration_ms(checkpoint.grace_ms));
  return json;
}

Result<CheckpointPolicy> checkpoint_from_json(const Json& json) {
  ObjectReader reader(json, "checkpoint");
  CheckpointPolicy checkpoint{.path = reader.text("path"),
                              .every_ms = read_duration(reader, "every", 0),
                              .signal = reader.text("signal"),
                              .grace_ms = read_duration(reader, "grace", CheckpointPolicy{}.grace_ms)};
  TRY(reader.finish());
  return checkpoint;
}

Json to_json(const TopologyRequest& topology) {
  const char* mode = topology.mode == TopologyRequest::Mode::kRequired ? "required" : "preferred";
  return Json::object({{mode, topology.level}});
}

Result<TopologyRequest> topology_from_json(const Json& json) {
  ObjectReader reader(json, "topology");
  const std::string required = reader.text("required");
  const std::string preferred = reader.text("preferred");
  TRY(reader.finish());
  if (!required.empty()) {
    return TopologyRequest{.mode = TopologyRequest::Mode::kRequired, .level = required};
  }
  return preferred.empty() ? TopologyRequest{}
                           : TopologyRequest{.mode = TopologyRequest::Mode::kPreferred, .level = preferred};
}

Json to_json(const VolumeMount& volume) {
  Json json = Json::object({{"source", volume.source}, {"target", volume.target}});
  if (volume.is_read_only) {
    json.set("read_only", true);
  }
  return json;
}

Result<VolumeMount> volume_from_json(const Json& json) {
  ObjectReader reader(json, "volume");
  VolumeMount volume{.source = reader.text("source"),
                     .target = reader.text("target"),
                     .is_read_only = reader.boolean("read_only", false)};
  TRY(reader.finish());
  return volume;
}

Json to_json(const SecretRef& secret) {
  Json json = Json::object({{"name", secret.name}});
  set_text(json, "env", secret.env);
  return json;
}

Result<SecretRef> secret_from_json(const Json& json) {
  ObjectReader reader(json, "secret");
  SecretRef secret{.name = reader.text("name"), .env = reader.text("env")};
  TRY(reader.finish());
  return secret;
}

Json to_json(const PortRequest& port) {
  Json json = Json::object();
  set_text(json, "name", port.name);
  set_number(json, "port", port.container_port);
  return json;
}

Result<PortRequest> port_from_json(const Json& json) {
  ObjectReader reader(json, "port");
  PortRequest port{.name = reader.text("name"),
                   .container_port = static_cast<std::uint16_t>(reader.integer("port", 0, 65'535, 0))};
  TRY(reader.finish());
  return port;
}

Json to_json(const EfficiencyHint& hint) {
  Json json = Json::object();
  set_number(json, "flops_per_token", hint.flops_per_token);
  set_number(json, "flops_per_sample", hint.flops_per_sample);
  set_number(json, "parameters", hint.parameters);
  set_text(json, "precision", hint.precision);
  return json;
}

Result<EfficiencyHint> efficiency_from_json(const Json& json) {
  ObjectReader reader(json, "efficiency");
  EfficiencyHint hint{.flops_per_token = reader.integer("flops_per_token", 0, kMaxInt, 0),
                      .flops_per_sample = reader.integer("flops_per_sample", 0, kMaxInt, 0),
                      .parameters = reader.integer("parameters", 0, kMaxInt, 0),
                      .precision = reader.text("precision")};
  TRY(reader.finish());
  return hint;
}

void set_texts_by_name(Json& json, const char* key, const std::map<std::string, std::string>& texts) {
  if (texts.empty()) {
    return;
  }
  Json object = Json::object();
  for (const auto& [name, value] : texts) {
    object.set(name, value);
  }
  json.set(key, std::move(object));
}

std::map<std::string, std::string> texts_by_name(ObjectReader& reader, const char* key) {
  std::map<std::string, std::string> texts;
  const Json* member = reader.take(key);
  if (member == nullptr) {
    return texts;
  }
  if (!member->is_object()) {
    reader.fail(key, "not an object");
  }
  for (const auto& [name, value] : member->members()) {
    if (!value.is_string()) {
      reader.fail(key, "value of \"" + name + "\" is not a text");
    }
    texts[name] = value.as_string();
  }
  return texts;
}

/// Where the job runs and how its tasks are started: the second half of `to_json(JobSpec)`.
void add_placement_fields(Json& json, const JobSpec& spec) {
  set_texts_by_name(json, "labels", spec.labels);
  set_list(json, "avoid", spec.avoid, [](const std::string& other) { return Json(other); });
  json.set("project", spec.project);
  json.set("queue", spec.queue);
  json.set("priority", spec.priority);
  set_duration(json, "time_limit", spec.time_limit_ms);
  if (spec.preemptible) {
    json.set("preemptible", *spec.preemptible);
  }
  set_duration(json, "min_run_time", spec.min_run_time_ms);
  if (spec.restart != RestartPolicy{}) {
    json.set("restart", to_json(spec.restart));
  }
  if (spec.checkpoint != CheckpointPolicy{}) {
    json.set("checkpoint", to_json(spec.checkpoint));
  }
  if (spec.topology.mode != TopologyRequest::Mode::kNone) {
    json.set("topology", to_json(spec.topology));
  }
  json.set("launcher", launcher_name(spec.launcher));
  set_list(json, "volumes", spec.volumes, [](const VolumeMount& volume) { return to_json(volume); });
  set_list(json, "ports", spec.ports, [](const PortRequest& port) { return to_json(port); });
  if (!spec.array.empty()) {
    json.set("array", format_array({.indices = spec.array, .parallel = spec.array_parallel}));
  }
  if (spec.array_index) {
    json.set("array_index", *spec.array_index);
  }
  set_list(json, "after", spec.after, [](const std::string& job) { return Json(job); });
  if (spec.efficiency != EfficiencyHint{}) {
    json.set("efficiency", to_json(spec.efficiency));
  }
  if (spec.slurm_environment) {
    json.set("slurm_environment", true);
  }
  if (spec.service) {
    json.set("service", to_json(*spec.service));
  }
}

void read_placement_fields(ObjectReader& reader, JobSpec& spec) {
  spec.labels = texts_by_name(reader, "labels");
  spec.avoid = reader.texts("avoid");
  spec.project = reader.text("project", spec.project);
  spec.queue = reader.text("queue", spec.queue);
  spec.priority = static_cast<std::int32_t>(reader.integer("priority", kMinI32, kMaxI32, 0));
  spec.time_limit_ms = read_duration(reader, "time_limit", 0);
  if (reader.take("preemptible") != nullptr) {
    spec.preemptible = reader.boolean("preemptible", true);
  }
  spec.min_run_time_ms = read_duration(reader, "min_run_time", 0);
  spec.restart = reader.nested<RestartPolicy>("restart", {}, restart_from_json);
  spec.checkpoint = reader.nested<CheckpointPolicy>("checkpoint", {}, checkpoint_from_json);
  spec.topology = reader.nested<TopologyRequest>("topology", {}, topology_from_json);
  spec.launcher = reader.named("launcher", spec.launcher, launcher_from_name);
  spec.volumes = reader.list<VolumeMount>("volumes", volume_from_json);
  spec.ports = reader.list<PortRequest>("ports", port_from_json);
  const auto array = reader.parsed<ArrayRange>("array", {}, [](std::string_view text) { return parse_array(text); });
  spec.array = array.indices;
  spec.array_parallel = array.parallel;
  if (reader.take("array_index") != nullptr) {
    spec.array_index = static_cast<std::uint32_t>(reader.integer("array_index", 0, kMaxArrayIndex, 0));
  }
  spec.after = reader.texts("after");
  spec.efficiency = reader.nested<EfficiencyHint>("efficiency", {}, efficiency_from_json);
  spec.slurm_environment = reader.boolean("slurm_environment", false);
  spec.service = reader.nested<std::optional<ServiceSpec>>("service", std::nullopt,
                                                           [](const Json& json) -> Result<std::optional<ServiceSpec>> {
                                                             TRY_ASSIGN(ServiceSpec service, service_from_json(json));
                                                             return std::optional(std::move(service));
                                                           });
}

}  // namespace

Json to_json(const JobSpec& spec) {
  Json json = Json::object({{"name", spec.name}, {"type", job_type_name(spec.type)}, {"image", spec.image}});
  set_text(json, "workdir", spec.workdir);
  set_text(json, "setup", spec.setup);
  set_text(json, "run", spec.run);
  set_texts_by_name(json, "env", spec.env);
  set_list(json, "secrets", spec.secrets, [](const SecretRef& secret) { return to_json(secret); });
  if (spec.min_nodes == spec.max_nodes) {
    json.set("nodes", spec.min_nodes);
  } else {
    json.set("nodes", format_gang_sizes({spec.min_nodes, spec.max_nodes, spec.sizes}));
  }
  if (spec.elastic == Elastic::kLive) {
    json.set("elastic", elastic_name(spec.elastic));
  }
  set_number(json, "max_tasks_per_node", spec.max_tasks_per_node);
  set_number(json, "procs_per_node", spec.procs_per_node);
  if (spec.resources != Resources{}) {
    json.set("resources", to_json(spec.resources));
  }
  set_text(json, "precision", spec.precision);
  set_list(json, "any_of", spec.any_of,
           [](const AcceleratorRequest& request) { return Json(format_accelerators(request)); });
  add_placement_fields(json, spec);
  return json;
}

Result<JobSpec> job_spec_from_json(const Json& json) {
  ObjectReader reader(json, "job");
  JobSpec spec;
  spec.name = reader.text("name");
  spec.type = reader.named("type", JobType::kJob, job_type_from_name);
  spec.image = reader.text("image", spec.image);
  spec.workdir = reader.text("workdir");
  spec.setup = reader.text("setup");
  spec.run = reader.text("run");
  spec.env = texts_by_name(reader, "env");
  spec.secrets = reader.list<SecretRef>("secrets", secret_from_json);
  const auto nodes =
      reader.parsed<GangSizes>("nodes", {}, [](std::string_view text) { return parse_gang_sizes(text); });
  spec.min_nodes = nodes.min_nodes;
  spec.max_nodes = nodes.max_nodes;
  spec.sizes = nodes.sizes;
  spec.elastic = reader.named("elastic", spec.elastic, elastic_from_name);
  spec.max_tasks_per_node = static_cast<std::uint32_t>(reader.integer("max_tasks_per_node", 0, kMaxU32, 0));
  spec.procs_per_node = static_cast<std::uint32_t>(reader.integer("procs_per_node", 0, kMaxU32, 0));
  spec.resources = reader.nested<Resources>("resources", {}, resources_from_json);
  spec.precision = reader.text("precision");
  spec.any_of =
      reader.list<AcceleratorRequest>("any_of", [](const Json& item) { return parse_accelerators(item.as_string()); });
  read_placement_fields(reader, spec);
  TRY(reader.finish());
  return spec;
}

}  // namespace busbar::model
