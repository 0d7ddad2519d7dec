#include "sim/room.h"

#include <fmt/format.h>

#include "sched/place/placer.h"

namespace busbar::sim {

using sched::place::FabricOrder;
using sched::place::FreeMap;
using sched::place::GangNeed;
using sched::place::Placer;

Room::Room(RoomKind kind, const std::vector<model::Node>& nodes) : kind_(kind) {
  std::vector<const model::Node*> borrowed;
  for (const model::Node& node : nodes) {
    capacity_milli_ += static_cast<std::int64_t>(node.cards.size()) * 1000;
    if (kind == RoomKind::kFabric) {
      map_.put_node(node);
      borrowed.push_back(&node);
    }
  }
  free_milli_ = capacity_milli_;
  fabric_ = std::make_shared<const FabricOrder>(borrowed, map_);
}

std::optional<Spot> Room::find(const Trace& trace, std::size_t job) const {
  const std::int64_t milli = trace.jobs[job].milli_cards();
  if (milli > free_milli_) {
    return std::nullopt;
  }
  if (kind_ == RoomKind::kCount) {
    return Spot{.milli = milli};
  }
  for (const GangNeed& need : sched::place::needs_of(request_of(trace, job), map_)) {
    if (auto found = Placer(map_, *fabric_).place(need)) {
      return Spot{.milli = milli, .placement = std::move(found->placement)};
    }
  }
  return std::nullopt;
}

bool Room::fits(const Trace& trace, std::size_t job) const {
  if (trace.jobs[job].milli_cards() > free_milli_) {
    return false;
  }
  if (kind_ == RoomKind::kCount) {
    return true;
  }
  for (const GangNeed& need : sched::place::needs_of(request_of(trace, job), map_)) {
    if (Placer(map_, *fabric_).count_fitting(need) > 0) {
      return true;
    }
  }
  return false;
}

void Room::claim(const Spot& spot) {
  free_milli_ -= spot.milli;
  if (kind_ == RoomKind::kFabric) {
    map_.claim(spot.placement);
  }
}

void Room::release(const Spot& spot) {
  free_milli_ += spot.milli;
  if (kind_ == RoomKind::kFabric) {
    map_.release(spot.placement);
  }
}

sched::JobRequest request_of(const Trace& trace, std::size_t index) {
  const TraceJob& job = trace.jobs[index];
  sched::JobRequest request{.id = {index + 1},
                            .name = fmt::format("j{}", index + 1),
                            .queue = trace.queues[job.queue],
                            .user = trace.users[job.user],
                            .priority = job.priority,
                            .min_nodes = job.nodes,
                            .max_nodes = job.nodes,
                            .cpus = {job.cpus_milli},
                            .memory = {job.memory_bytes},
                            .time_limit_ms = job.time_limit_ms};
  if (job.milli_per_node > 0) {
    request.accelerators = {{.chip = {}, .per_node = {job.milli_per_node}}};
  }
  if (!job.level.empty()) {
    request.topology = {.mode = model::TopologyRequest::Mode::kRequired, .level = job.level};
  }
  return request;
}

std::int64_t stranded_milli(const FreeMap& map) {
  std::int64_t stranded = 0;
  for (std::uint32_t index = 0; index < map.node_count(); ++index) {
    const sched::place::NodeSlot& node = map.node(index);
    std::int64_t used = 0;
    for (const sched::place::CardSlot& card : map.cards_of(node)) {
      used += card.used;
    }
    stranded += used > 0 ? std::int64_t{node.card_count} * 1000 - used : 0;
  }
  return stranded;
}

}  // namespace busbar::sim
