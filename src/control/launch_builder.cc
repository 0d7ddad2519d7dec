#include "control/launch_builder.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <set>

#include "chip/oci_edits.h"
#include "os/files.h"

namespace busbar::control {
namespace {

constexpr std::size_t kMaxVersionFile = 64 << 10;

/// Debian's torch 1.13 on Python 3.11 crashes on torchrun's redirect defaults; the host's own copy is looked at.
launch::ImageFacts probe_image(const std::string& image) {
  if (image != "host") return {};
  const auto version = os::read_file("/usr/lib/python3/dist-packages/torch/version.py", kMaxVersionFile);
  return {.torchrun_needs_redirects = version && version->find("'1.13") != std::string::npos};
}

std::vector<model::Card> granted_cards(const model::Node& node, const model::TaskPlacement& task) {
  std::vector<model::Card> cards;
  for (const std::uint16_t index : task.cards) {
    for (const model::Card& card : node.cards) {
      if (card.index == index) cards.push_back(card);
    }
  }
  return cards;
}

/// Each once. One that is not known is left out: whoever asks for it says so.
std::vector<launch::NodeFacts> nodes_of(const model::Placement& placement, const Ledger& ledger) {
  std::vector<launch::NodeFacts> nodes;
  std::set<model::NodeId> seen;
  for (const model::TaskPlacement& task : placement.tasks) {
    const model::Node* node = ledger.core().find_node(task.node);
    if (node != nullptr && seen.insert(task.node).second) nodes.push_back({.id = task.node, .name = node->name});
  }
  return nodes;
}

bool is_covered(const std::vector<engine::Mount>& mounts, const std::string& path) {
  return std::any_of(mounts.begin(), mounts.end(), [&](const engine::Mount& mount) {
    return path == mount.target || path.starts_with(mount.target + "/");
  });
}

}  // namespace

PlanLaunchBuilder::PlanLaunchBuilder(engine::Engine& engine, const SecretBox& secrets)
    : engine_(engine), secrets_(secrets) {}

// A live gang keeps those that it has, whoever leaves, and gets the missing ones: so a rank has the same ports whenever
// it is given, and the rendezvous stays where it is.
Result<std::vector<std::uint16_t>> PlanLaunchBuilder::ports_of(const StartOrder& order) {
  const std::size_t count = 1 + order.spec.ports.size() * order.placement.tasks.size();
  if (order.spec.elastic != model::Elastic::kLive) return engine_.lease_ports(order.attempt, count);
  std::vector<std::uint16_t> ports = engine_.leased_ports(order.attempt);
  if (ports.size() < count) {
    TRY_ASSIGN(const std::vector<std::uint16_t> more, engine_.lease_ports(order.attempt, count - ports.size()));
    ports.insert(ports.end(), more.begin(), more.end());
  }
  return ports;
}

Result<engine::AttemptLaunch> PlanLaunchBuilder::build(const StartOrder& order, const Ledger& ledger) {
  TRY_ASSIGN(std::vector<std::uint16_t> ports, ports_of(order));
  return assemble(order, ledger, {.ports = std::move(ports)});
}

Result<engine::AttemptLaunch> PlanLaunchBuilder::preview(const StartOrder& order, const Ledger& ledger) const {
  const std::size_t ports = 1 + order.spec.ports.size() * order.placement.tasks.size();
  return assemble(order, ledger, {.ports = std::vector<std::uint16_t>(ports), .secrets = Secrets::kLeftOut});
}

Result<engine::Extension> PlanLaunchBuilder::extend(const ExtendOrder& order, const Ledger& ledger) {
  TRY_ASSIGN(std::vector<std::uint16_t> ports, ports_of(order.start));
  TRY_ASSIGN(engine::AttemptLaunch launch,
             assemble(order.start, ledger,
                      {.ports = std::move(ports), .first_rank = order.first_rank, .generation = order.generation}));
  engine::Extension extension{.attempt = order.start.attempt, .tasks = std::move(launch.tasks)};
  if (!extension.tasks.empty()) {
    extension.files[launch::kMembersFile] = extension.tasks.front().files.at(launch::kMembersFile);
  }
  return extension;
}

Result<engine::Reduction> PlanLaunchBuilder::shrink(const ShrinkOrder& order, const Ledger& ledger) {
  launch::LaunchInput input{.spec = order.start.spec,
                            .attempt = order.start.attempt,
                            .placement = order.start.placement,
                            .nodes = nodes_of(order.start.placement, ledger),
                            .generation = order.generation,
                            .is_preview = true};
  TRY_ASSIGN(std::string members, launch::members_text(input));
  return engine::Reduction{.attempt = order.start.attempt,
                           .kept = static_cast<std::uint32_t>(order.start.placement.tasks.size()),
                           .grace_ms = order.grace_ms,
                           .signal_first = order.signal_first,
                           .files = {{launch::kMembersFile, std::move(members)}}};
}

Result<engine::AttemptLaunch> PlanLaunchBuilder::assemble(const StartOrder& order, const Ledger& ledger,
                                                          const Given& given) const {
  launch::LaunchInput input{.spec = order.spec,
                            .attempt = order.attempt,
                            .placement = order.placement,
                            .nodes = nodes_of(order.placement, ledger)};
  for (const model::TaskPlacement& task : order.placement.tasks) {
    std::vector<std::uint16_t> own;
    for (std::size_t i = 0; i < order.spec.ports.size(); ++i) {
      const std::uint16_t fixed = order.spec.ports[i].container_port;
      own.push_back(fixed != 0 ? fixed : given.ports[1 + task.rank * order.spec.ports.size() + i]);
    }
    input.task_ports.push_back(std::move(own));
  }
  input.rendezvous_port = given.ports.front();
  input.image = probe_image(order.spec.image);
  input.user = order.user;
  input.generation = given.generation;
  input.is_preview = given.secrets == Secrets::kLeftOut;
  TRY_ASSIGN(const std::vector<launch::TaskPlan> plans, launch::plan_launch(input));
  engine::AttemptLaunch launch{.id = order.attempt,
                               .job_name = order.spec.name,
                               .user = order.user,
                               .image = order.spec.image,
                               .has_terminal = order.has_terminal,
                               .is_live = order.spec.elastic == model::Elastic::kLive};
  if (order.spec.service && !input.task_ports.empty() && !input.task_ports.front().empty()) {
    launch.service_port = input.task_ports.front().front();
  }
  for (const launch::TaskPlan& plan : plans) {
    if (plan.rank < given.first_rank) continue;
    TRY_ASSIGN(engine::TaskLaunch task, task_launch(order, ledger, plan, given.secrets));
    launch.tasks.push_back(std::move(task));
  }
  return launch;
}

Result<engine::TaskLaunch> PlanLaunchBuilder::task_launch(const StartOrder& order, const Ledger& ledger,
                                                          const launch::TaskPlan& plan, Secrets secrets) const {
  const model::TaskPlacement& placed = order.placement.tasks.at(plan.rank);
  const model::Node& node = *ledger.core().find_node(placed.node);
  TRY_ASSIGN(chip::OciEdits edits, engine_.edits_for(placed.node, granted_cards(node, placed), placed.per_card));
  const model::Resources& resources = order.spec.resources;
  engine::TaskLaunch task{.rank = plan.rank,
                          .hostname = plan.hostname,
                          .argv = plan.argv,
                          .env = plan.env,
                          .workdir = plan.workdir,
                          .files = plan.files,
                          .device_edits = std::move(edits),
                          .cpus = resources.cpus,
                          .memory = resources.memory,
                          .shm_size = resources.shm_size,
                          .peers = plan.peers,
                          .ends_gang = plan.ends_gang,
                          .is_host_only = plan.is_host_only};
  for (const auto& [name, value] : task.device_edits.env) task.env.insert({name, value});
  for (const model::VolumeMount& volume : order.spec.volumes) {
    task.mounts.push_back({.source = volume.source, .target = volume.target, .is_read_only = volume.is_read_only});
  }
  // The host's root is shown read-only with a private layer on top, so what a job writes would vanish with it: the
  // directory that it was submitted from is the user's own and is mounted for writing.
  std::error_code ignored;
  if (order.spec.image == "host" && !task.workdir.empty() && task.workdir != "/" &&
      !is_covered(task.mounts, task.workdir) && std::filesystem::is_directory(task.workdir, ignored)) {
    task.mounts.push_back({.source = task.workdir, .target = task.workdir});
  }
  const std::string& checkpoints = order.spec.checkpoint.path;
  if (order.spec.image == "host" && checkpoints.starts_with('/') && !is_covered(task.mounts, checkpoints)) {
    if (const auto made = os::make_dirs(checkpoints, 0755); !made) return with_context("checkpoint.path", made.error());
    task.mounts.push_back({.source = checkpoints, .target = checkpoints});
  }
  for (const model::SecretRef& secret : order.spec.secrets) {
    if (secrets == Secrets::kLeftOut) continue;
    const auto sealed = ledger.secrets().find(secret.name);
    if (sealed == ledger.secrets().end()) {
      return make_error(ErrorCode::kFailedPrecondition,
                        fmt::format("secret \"{}\" was removed after the job was submitted", secret.name));
    }
    TRY_ASSIGN(std::string value, secrets_.unseal(secret.name, sealed->second.sealed));
    task.secrets.push_back({.name = secret.name, .env = secret.env, .value = std::move(value)});
  }
  return task;
}

}  // namespace busbar::control
