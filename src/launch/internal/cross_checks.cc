#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "launch/internal/document.h"
#include "launch/internal/launcher_env.h"
#include "model/spec_text.h"

namespace busbar::launch::internal {
namespace {

using model::JobSpec;
using model::JobType;
using model::Launcher;

bool is_fraction(const model::AcceleratorRequest& request) {
  return request.per_node.value % 1000 != 0;
}

bool asks_for_fraction(const JobSpec& spec) {
  return (spec.resources.accelerators && is_fraction(*spec.resources.accelerators)) ||
         std::any_of(spec.any_of.begin(), spec.any_of.end(), is_fraction);
}

/// The fewest whole cards a node may get; 0 where the job asks for none.
std::int64_t fewest_cards(const JobSpec& spec) {
  if (spec.resources.accelerators) {
    return spec.resources.accelerators->per_node.value / 1000;
  }
  std::int64_t fewest = 0;
  for (const model::AcceleratorRequest& request : spec.any_of) {
    const std::int64_t cards = request.per_node.value / 1000;
    fewest = fewest == 0 ? cards : std::min(fewest, cards);
  }
  return fewest;
}

void check_program(Reader& reader) {
  JobSpec& spec = reader.spec();
  if (spec.name.empty()) {
    spec.name = std::string(model::job_type_name(spec.type));
  }
  const bool has_run = spec.run.find_first_not_of(" \t\r\n") != std::string::npos || reader.has_error_at("run");
  if (spec.type != JobType::kDev && !has_run) {
    reader.error_at("run", "a job needs run", "add run: python3 train.py, or type: dev for a shell");
  }
  if (spec.type == JobType::kDev) {
    if (spec.max_nodes != 1) {
      reader.error_at("nodes", "a dev shell has one node", "leave nodes out");
    }
    if (!spec.array.empty()) {
      reader.error_at("array", "a dev shell is not an array", "leave array out");
    }
    if (reader.has("launcher") && spec.launcher != Launcher::kNone) {
      reader.error_at("launcher", "a dev shell starts no processes of its own", "leave launcher out");
    }
  }
  if (spec.array_index && !spec.array.empty()) {
    reader.error_at("array_index", "set on the members of an array, so not together with array", "leave it out");
  }
}

/// What is half said of where requests go would be no more than a wish.
void check_traffic(Reader& reader) {
  const model::ServiceSpec& service = *reader.spec().service;
  const model::Affinity& affinity = service.traffic.affinity;
  const bool is_named = affinity.kind == model::AffinityKind::kCookie || affinity.kind == model::AffinityKind::kHeader;
  if (is_named && affinity.name.empty()) {
    reader.error_at("service.affinity", fmt::format("which {} it is is not said", affinity_name(affinity.kind)),
                    "write name: sid, or whatever it is called");
  }
  if (reader.has("service.affinity") && affinity.kind == model::AffinityKind::kNone && !affinity.name.empty()) {
    reader.error_at("service.affinity", "what the name is of is not said", "write by: cookie or by: header");
  }
  if (reader.has("service.mirror") && service.traffic.mirror.to.empty()) {
    reader.error_at("service.mirror", "which service gets the copies is not said", "write to: and its name");
  }
  if (reader.has("service.hedge") && service.traffic.hedge.after_ms == 0) {
    reader.error_at("service.hedge", "after which time a second replica is asked is not said",
                    "write after: with a time that few requests take, like 300ms");
  }
  if (service.canary && service.canary->weight == 0 && service.canary->header.empty()) {
    reader.error_at("service.canary.weight", "with weight 0 only requests with a header go to the new revision",
                    "write header: \"x-canary: yes\" beside it, or a weight from 1");
  }
}

/// A service has a section; nobody else has one.
void check_service(Reader& reader) {
  JobSpec& spec = reader.spec();
  if (spec.type != JobType::kService) {
    if (reader.has("service")) {
      reader.error_at("service", "this section belongs to type: service", "add type: service");
    }
    return;
  }
  if (!spec.service) {
    spec.service.emplace();
  }
  // Replicas are called NAME-1, NAME-2 ...
  constexpr std::size_t kLongestName = 48;
  if (spec.name.size() > kLongestName) {
    reader.error_at("name", fmt::format("the name of a service has at most {} characters", kLongestName),
                    "its replicas are called NAME-1, NAME-2 ...");
  }
  if (spec.service->port != 0 && spec.service->max_replicas > 1) {
    reader.error_at("service.port", "replicas of one machine cannot all listen on one port",
                    "leave port out and listen on $PORT, or write replicas: 1");
  }
  if (spec.service->warm > 0 && spec.service->max_replicas <= spec.service->min_replicas) {
    reader.error_at("service.warm", "all replicas serve all the time, so none is left to be kept warm",
                    "write replicas: 0..8, of which warm ones are a part");
  }
  const model::HealthCheck& health = spec.service->health;
  if (health.grpc && !health.path.empty()) {
    reader.error_at("service.health.grpc", "a replica is asked by one of path and grpc", "leave one of them out");
  }
  if (health.grpc && spec.service->protocol != model::ReplicaProtocol::kHttp2) {
    reader.error_at("service.health", "gRPC is spoken over HTTP/2", "write protocol: http2");
  }
  check_traffic(reader);
  const std::pair<const char*, const char*> strange[] = {
      {"array", "use service.replicas"},
      {"after", "leave it out"},
      {"restart", "leave it out: a replica that ends is always replaced"}};
  for (const auto& [field, hint] : strange) {
    if (reader.has(field)) {
      reader.error_at(field, "a service has none", hint);
    }
  }
}

void check_cards(Reader& reader) {
  JobSpec& spec = reader.spec();
  if (spec.resources.accelerators && reader.has("any_of")) {
    reader.error_at("any_of", "both any_of and resources.accelerators are given", "keep one of them");
  }
  const model::Resources& resources = spec.resources;
  const bool has_cards =
      resources.accelerators || !spec.any_of.empty() || reader.has_error_at("resources.accelerators");
  for (const char* field : {"resources.min_card_memory", "resources.min_card_tflops", "resources.min_card_link"}) {
    if (reader.has(field) && !has_cards) {
      reader.error_at(field, "a figure of cards, but the job asks for none", "add accelerators: 1");
    }
  }
  if (resources.min_card_gflops > 0 && spec.precision.empty()) {
    reader.error_at("resources.min_card_tflops", "TFLOPS at which precision?", "add precision: bf16");
  }
  if (asks_for_fraction(spec)) {
    if (reader.has("launcher") && (spec.launcher == Launcher::kTorchrun || spec.launcher == Launcher::kMpirun)) {
      reader.error_at(
          "launcher",
          fmt::format("a fraction of a card is for one process, so not for {}", model::launcher_name(spec.launcher)),
          "use launcher: none or launcher: direct, or whole cards");
    }
    if (spec.procs_per_node > 1) {
      reader.error_at("procs_per_node", "a fraction of a card is for one process",
                      "leave it out, or ask for whole cards");
    }
  }
  const std::int64_t cards = fewest_cards(spec);
  if (spec.launcher == Launcher::kDirect && cards > 0 && spec.procs_per_node > cards) {
    reader.error_at("procs_per_node",
                    fmt::format("launcher direct starts one process per card: {} processes for {} cards",
                                spec.procs_per_node, cards),
                    "lower it, ask for more cards, or use launcher: none");
  }
  if (reader.has("topology.required") && reader.has("topology.preferred")) {
    reader.error_at("topology.preferred", "both required and preferred are given", "keep one of them");
  }
}

void check_placement(Reader& reader) {
  JobSpec& spec = reader.spec();
  if (std::find(spec.avoid.begin(), spec.avoid.end(), "array") != spec.avoid.end() && spec.array.empty() &&
      !spec.array_index) {
    reader.error_at("avoid", "\"array\" means the other members of an array, and this job is none",
                    "add array: 0-7, or name the jobs: name:NAME");
  }
  if (spec.max_tasks_per_node > 0 && reader.has("topology.required") && spec.topology.level == "node" &&
      spec.min_nodes > spec.max_tasks_per_node) {
    reader.error_at(
        "max_tasks_per_node",
        fmt::format("{} tasks must be on one node, which may have {}", spec.min_nodes, spec.max_tasks_per_node),
        "raise it, or leave out topology.required");
  }
}

void check_launcher(Reader& reader) {
  JobSpec& spec = reader.spec();
  const bool is_alone = spec.type == JobType::kDev || (spec.type == JobType::kService && spec.max_nodes == 1);
  if (!reader.has("launcher") && (is_alone || asks_for_fraction(spec))) {
    spec.launcher = Launcher::kNone;
  }
  for (const auto& [name, value] : spec.env) {
    if (is_owned_by_launcher(spec.launcher, name)) {
      reader.warning_at("env",
                        fmt::format("{} is set by launcher {}, which wins over this value", name,
                                    model::launcher_name(spec.launcher)),
                        "leave it out, or use launcher: none");
    }
  }
}

/// `elastic` speaks of a gang whose size may change, and live of one whose launcher lets it.
void check_elastic(Reader& reader) {
  const JobSpec& spec = reader.spec();
  if (!reader.has("elastic")) {
    return;
  }
  if (spec.type != JobType::kJob) {
    reader.error_at(
        "elastic", fmt::format("only a job's gang changes its size, and this is a {}", model::job_type_name(spec.type)),
        "leave elastic out");
  } else if (spec.min_nodes == spec.max_nodes && !reader.has_error_at("nodes")) {
    reader.error_at("elastic",
                    fmt::format("the gang has always {} task{}", spec.max_nodes, spec.max_nodes == 1 ? "" : "s"),
                    "write nodes: 2..8, or leave elastic out");
  } else if (spec.elastic == model::Elastic::kLive &&
             (spec.launcher == Launcher::kDirect || spec.launcher == Launcher::kMpirun)) {
    reader.error_at(
        "elastic",
        fmt::format("launcher {} tells its processes once how many there are", model::launcher_name(spec.launcher)),
        "use launcher: torchrun, or launcher: none for Ray, Horovod or your own");
  }
}

void check_lifecycle(Reader& reader) {
  JobSpec& spec = reader.spec();
  if (reader.has("restart.on") && spec.restart.max == 0) {
    reader.warning_at("restart.on", "has no effect while restart.max is 0", "add max: 3");
  }
  const model::EfficiencyHint& hint = spec.efficiency;
  if (hint.flops_per_token > 0 && hint.parameters > 0) {
    reader.error_at("efficiency.parameters", "both flops_per_token and parameters are given", "keep one of them");
  }
  if (hint.flops_per_sample > 0 && (hint.flops_per_token > 0 || hint.parameters > 0)) {
    reader.error_at("efficiency.flops_per_sample", "FLOPs are counted by sample or by token, not both",
                    "keep one of them");
  }
}

void check_secrets(Reader& reader) {
  std::set<std::string> seen;
  for (const model::SecretRef& secret : reader.spec().secrets) {
    if (!seen.insert(secret.name + "\n" + secret.env).second) {
      reader.error_at("secrets", fmt::format("\"{}\" is given twice", secret.name), "keep one of them");
    }
    if (!secret.env.empty() && reader.spec().env.count(secret.env) > 0) {
      reader.error_at("secrets", fmt::format("{} is also in env", secret.env), "keep one of them");
    }
  }
}

}  // namespace

void check_across_fields(Reader& reader) {
  check_program(reader);
  check_service(reader);
  check_cards(reader);
  check_placement(reader);
  check_launcher(reader);
  check_elastic(reader);
  check_lifecycle(reader);
  check_secrets(reader);
}

}  // namespace busbar::launch::internal
