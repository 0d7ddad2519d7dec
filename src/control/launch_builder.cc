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

bool is_covered(const std::vector<engine::Mount>& mounts, const std::string& path) {
  return std::any_of(mounts.begin(), mounts.end(), [&](const engine::Mount& mount) {
    return path == mount.target || path.starts_with(mount.target + "/");
  });
}

}  // namespace

PlanLaunchBuilder::PlanLaunchBuilder(engine::Engine& engine, const SecretBox& secrets)
    : engine_(engine), secrets_(secrets) {}

Result<engine::AttemptLaunch> PlanLaunchBuilder::build(const StartOrder& order, const Ledger& ledger) {
  const std::size_t per_task = order.spec.ports.size();
  TRY_ASSIGN(const std::vector<std::uint16_t> ports,
             engine_.lease_ports(order.attempt, 1 + per_task * order.placement.tasks.size()));
  return assemble(order, ledger, ports, Secrets::kOpened);
}

Result<engine::AttemptLaunch> PlanLaunchBuilder::preview(const StartOrder& order, const Ledger& ledger) const {
  const std::size_t ports = 1 + order.spec.ports.size() * order.placement.tasks.size();
  return assemble(order, ledger, std::vector<std::uint16_t>(ports), Secrets::kLeftOut);
}

Result<engine::AttemptLaunch> PlanLaunchBuilder::assemble(const StartOrder& order, const Ledger& ledger,
                                                          const std::vector<std::uint16_t>& ports,
                                                          Secrets secrets) const {
  launch::LaunchInput input{.spec = order.spec, .attempt = order.attempt, .placement = order.placement};
  std::set<model::NodeId> seen;
  for (const model::TaskPlacement& task : order.placement.tasks) {
    const model::Node* node = ledger.core().find_node(task.node);
    if (node == nullptr) return make_error(ErrorCode::kInternal, fmt::format("node {} is not known", task.node.value));
    if (seen.insert(task.node).second) input.nodes.push_back({.id = task.node, .name = node->name});
    std::vector<std::uint16_t> own;
    for (std::size_t i = 0; i < order.spec.ports.size(); ++i) {
      const std::uint16_t fixed = order.spec.ports[i].container_port;
      own.push_back(fixed != 0 ? fixed : ports[1 + task.rank * order.spec.ports.size() + i]);
    }
    input.task_ports.push_back(std::move(own));
  }
  input.rendezvous_port = ports.front();
  input.image = probe_image(order.spec.image);
  input.user = order.user;
  input.is_preview = secrets == Secrets::kLeftOut;
  TRY_ASSIGN(const std::vector<launch::TaskPlan> plans, launch::plan_launch(input));
  engine::AttemptLaunch launch{.id = order.attempt,
                               .job_name = order.spec.name,
                               .user = order.user,
                               .image = order.spec.image,
                               .has_terminal = order.has_terminal};
  if (order.spec.service && !input.task_ports.empty() && !input.task_ports.front().empty()) {
    launch.service_port = input.task_ports.front().front();
  }
  for (const launch::TaskPlan& plan : plans) {
    TRY_ASSIGN(engine::TaskLaunch task, task_launch(order, ledger, plan, secrets));
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
