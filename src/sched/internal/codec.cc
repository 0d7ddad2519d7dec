#include "sched/internal/codec.h"

#include <limits>

namespace busbar::sched::internal {

std::uint64_t FieldReader::bounded(std::uint64_t maximum) {
  const std::uint64_t value = in_.varint();
  if (value > maximum) {
    is_ok_ = false;
    return 0;
  }
  return value;
}

std::int32_t FieldReader::signed32() {
  const std::int64_t value = in_.zigzag();
  if (value < std::numeric_limits<std::int32_t>::min() || value > std::numeric_limits<std::int32_t>::max()) {
    is_ok_ = false;
    return 0;
  }
  return static_cast<std::int32_t>(value);
}

namespace {

void encode_card(BinaryWriter& out, const model::Card& card) {
  out.varint(card.index);
  out.text(card.chip);
  out.text(card.device);
  out.zigzag(card.memory.value);
  out.zigzag(card.numa_node);
  out.varint(card.link_group);
  out.varint(static_cast<std::uint64_t>(card.health));
  out.varint(card.peak_gflops.size());
  for (const auto& [precision, gflops] : card.peak_gflops) {
    out.text(precision);
    out.zigzag(gflops);
  }
}

model::Card decode_card(FieldReader& in) {
  model::Card card;
  card.index = in.number16();
  card.chip = in.text();
  card.device = in.text();
  card.memory = {in.raw().zigzag()};
  card.numa_node = static_cast<std::int16_t>(in.raw().zigzag());
  card.link_group = in.number16();
  card.health = in.enumerator(model::CardHealth::kUnhealthy);
  for (std::size_t left = in.raw().count(); left > 0 && in.ok(); --left) {
    std::string precision = in.text();
    card.peak_gflops.emplace_back(std::move(precision), in.raw().zigzag());
  }
  return card;
}

void encode_task(BinaryWriter& out, const model::TaskPlacement& task) {
  out.varint(task.rank);
  out.varint(task.node.value);
  out.varint(task.cards.size());
  out.varints(task.cards);
  out.zigzag(task.per_card.value);
  out.zigzag(task.cpus.value);
  out.zigzag(task.memory.value);
}

model::TaskPlacement decode_task(FieldReader& in) {
  model::TaskPlacement task;
  task.rank = in.number32();
  task.node = {in.raw().varint()};
  for (std::size_t left = in.raw().count(); left > 0 && in.ok(); --left) {
    task.cards.push_back(in.number16());
  }
  task.per_card = {in.raw().zigzag()};
  task.cpus = {in.raw().zigzag()};
  task.memory = {in.raw().zigzag()};
  // Beyond what any submission may ask for; sums over tasks must not overflow.
  const auto is_within = [](std::int64_t value, std::int64_t maximum) { return value >= 0 && value <= maximum; };
  if (!is_within(task.per_card.value, 1000) || !is_within(task.cpus.value, std::int64_t{1} << 32) ||
      !is_within(task.memory.value, std::int64_t{1} << 46)) {
    in.fail();
  }
  return task;
}

}  // namespace

void encode(BinaryWriter& out, const model::Node& node) {
  out.varint(node.id.value);
  out.text(node.name);
  out.varint(node.cards.size());
  for (const model::Card& card : node.cards) {
    encode_card(out, card);
  }
  out.zigzag(node.cpus.value);
  out.zigzag(node.memory.value);
  out.varint(node.fabric.size());
  for (const std::string& domain : node.fabric) {
    out.text(domain);
  }
  out.varint(node.labels.size());
  for (const auto& [key, value] : node.labels) {
    out.text(key);
    out.text(value);
  }
  out.varint(static_cast<std::uint64_t>(node.state));
}

model::Node decode_node(FieldReader& in) {
  model::Node node;
  node.id = {in.raw().varint()};
  node.name = in.text();
  for (std::size_t left = in.raw().count(); left > 0 && in.ok(); --left) {
    node.cards.push_back(decode_card(in));
  }
  node.cpus = {in.raw().zigzag()};
  node.memory = {in.raw().zigzag()};
  for (std::size_t left = in.raw().count(); left > 0 && in.ok(); --left) {
    node.fabric.push_back(in.text());
  }
  for (std::size_t left = in.raw().count(); left > 0 && in.ok(); --left) {
    std::string key = in.text();
    node.labels.emplace_back(std::move(key), in.text());
  }
  node.state = in.enumerator(model::NodeState::kFailed);
  return node;
}

namespace {

void encode_texts(BinaryWriter& out, const std::vector<std::string>& texts) {
  out.varint(texts.size());
  for (const std::string& text : texts) {
    out.text(text);
  }
}

std::vector<std::string> decode_texts(FieldReader& in) {
  std::vector<std::string> texts;
  for (std::size_t left = in.raw().count(); left > 0 && in.ok(); --left) {
    texts.push_back(in.text());
  }
  return texts;
}

}  // namespace

void encode(BinaryWriter& out, const model::Reservation& reservation) {
  out.text(reservation.name);
  out.varint(reservation.nodes.size());
  for (const model::NodeId node : reservation.nodes) {
    out.varint(node.value);
  }
  out.zigzag(reservation.from_ms);
  out.zigzag(reservation.until_ms);
  encode_texts(out, reservation.users);
  encode_texts(out, reservation.queues);
}

model::Reservation decode_reservation(FieldReader& in) {
  model::Reservation reservation;
  reservation.name = in.text();
  for (std::size_t left = in.raw().count(); left > 0 && in.ok(); --left) {
    reservation.nodes.push_back({in.raw().varint()});
  }
  reservation.from_ms = in.raw().zigzag();
  reservation.until_ms = in.raw().zigzag();
  reservation.users = decode_texts(in);
  reservation.queues = decode_texts(in);
  return reservation;
}

void encode(BinaryWriter& out, const JobRequest& request) {
  out.varint(request.id.value);
  out.text(request.name);
  out.text(request.queue);
  out.text(request.user);
  out.zigzag(request.priority);
  out.varint(request.min_nodes);
  out.varint(request.max_nodes);
  out.varint(request.accelerators.size());
  for (const model::AcceleratorRequest& accelerator : request.accelerators) {
    out.text(accelerator.chip);
    out.zigzag(accelerator.per_node.value);
  }
  out.zigzag(request.cpus.value);
  out.zigzag(request.memory.value);
  out.varint(static_cast<std::uint64_t>(request.topology.mode));
  out.text(request.topology.level);
  out.zigzag(request.time_limit_ms);
  out.varint(request.restart.max);
  out.varint(request.restart.on.size());
  for (const model::ExitClass exit_class : request.restart.on) {
    out.varint(static_cast<std::uint64_t>(exit_class));
  }
  out.varint(request.group.value);
  out.varint(request.group_parallel);
  out.varint(request.after.size());
  for (const JobRequest::Dependency& dependency : request.after) {
    out.varint(dependency.job.value);
    out.boolean(dependency.must_succeed);
  }
  out.boolean(request.may_wait_infeasible);
  out.boolean(request.is_preemptible);
  out.zigzag(request.min_run_time_ms);
  out.zigzag(request.checkpoint_every_ms);
  out.varint(request.sizes.size());
  for (const std::uint32_t size : request.sizes) {
    out.varint(size);
  }
  out.varint(request.max_tasks_per_node);
  out.varint(request.labels.size());
  for (const auto& [key, value] : request.labels) {
    out.text(key);
    out.text(value);
  }
  encode_texts(out, request.avoid);
  out.boolean(request.is_live);
}

namespace {

void decode_placement_wishes(FieldReader& in, JobRequest& request) {
  for (std::size_t left = in.raw().count(); left > 0 && in.ok(); --left) {
    request.sizes.push_back(in.number32());
  }
  request.max_tasks_per_node = in.number32();
  for (std::size_t left = in.raw().count(); left > 0 && in.ok(); --left) {
    std::string key = in.text();
    request.labels.emplace_back(std::move(key), in.text());
  }
  request.avoid = decode_texts(in);
}

}  // namespace

JobRequest decode_request(FieldReader& in) {
  JobRequest request;
  request.id = {in.raw().varint()};
  request.name = in.text();
  request.queue = in.text();
  request.user = in.text();
  request.priority = in.signed32();
  request.min_nodes = in.number32();
  request.max_nodes = in.number32();
  for (std::size_t left = in.raw().count(); left > 0 && in.ok(); --left) {
    std::string chip = in.text();
    request.accelerators.push_back({.chip = std::move(chip), .per_node = {in.raw().zigzag()}});
  }
  request.cpus = {in.raw().zigzag()};
  request.memory = {in.raw().zigzag()};
  request.topology.mode = in.enumerator(model::TopologyRequest::Mode::kPreferred);
  request.topology.level = in.text();
  request.time_limit_ms = in.raw().zigzag();
  request.restart.max = in.number32();
  request.restart.on.clear();
  for (std::size_t left = in.raw().count(); left > 0 && in.ok(); --left) {
    request.restart.on.push_back(in.enumerator(model::ExitClass::kInfrastructure));
  }
  request.group = {in.raw().varint()};
  request.group_parallel = in.number32();
  for (std::size_t left = in.raw().count(); left > 0 && in.ok(); --left) {
    const model::JobId job = {in.raw().varint()};
    request.after.push_back({.job = job, .must_succeed = in.raw().boolean()});
  }
  request.may_wait_infeasible = in.raw().boolean();
  if (in.format() >= 2) {
    request.is_preemptible = in.raw().boolean();
    request.min_run_time_ms = in.raw().zigzag();
    request.checkpoint_every_ms = in.raw().zigzag();
  }
  if (in.format() >= 3) {
    decode_placement_wishes(in, request);
  }
  request.is_live = in.format() >= 7 && in.raw().boolean();
  return request;
}

void encode(BinaryWriter& out, const model::Placement& placement) {
  out.text(placement.chip);
  out.varint(placement.tasks.size());
  for (const model::TaskPlacement& task : placement.tasks) {
    encode_task(out, task);
  }
}

model::Placement decode_placement(FieldReader& in) {
  model::Placement placement;
  placement.chip = in.text();
  for (std::size_t left = in.raw().count(); left > 0 && in.ok(); --left) {
    placement.tasks.push_back(decode_task(in));
  }
  return placement;
}

}  // namespace busbar::sched::internal
