#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "model/cluster.h"
#include "model/job.h"
#include "sched/events.h"
#include "sched/place/fabric_order.h"
#include "sched/place/free_map.h"
#include "sim/trace.h"

namespace busbar::sim {

/// How a simulated policy sees the cluster: as one number of free cards, or with nodes and fabric, where the core's own
/// placer chooses, so that policies differ in order and not in packing.
enum class RoomKind { kCount, kFabric };

/// Where one job stands.
struct Spot {
  std::int64_t milli = 0;
  model::Placement placement = {};  ///< Empty for RoomKind::kCount.
};

/// What is free. A value: a copy is a what-if. Borrowed by nothing; the fabric is shared by copies.
class Room {
 public:
  Room(RoomKind kind, const std::vector<model::Node>& nodes);

  /// nullopt: no room now.
  std::optional<Spot> find(const Trace& trace, std::size_t job) const;
  /// Cheaper than find() where only the answer counts.
  bool fits(const Trace& trace, std::size_t job) const;
  /// The spot must be one that find() gave for this room, or for one with less free.
  void claim(const Spot& spot);
  void release(const Spot& spot);

  std::int64_t free_milli() const { return free_milli_; }
  std::int64_t capacity_milli() const { return capacity_milli_; }
  const sched::place::FreeMap& map() const { return map_; }

 private:
  RoomKind kind_;
  std::int64_t capacity_milli_ = 0;
  std::int64_t free_milli_ = 0;
  sched::place::FreeMap map_;
  std::shared_ptr<const sched::place::FabricOrder> fabric_;
};

/// What the core is told of job i.
sched::JobRequest request_of(const Trace& trace, std::size_t index);

/// Free milli-cards on nodes that are partly in use.
std::int64_t stranded_milli(const sched::place::FreeMap& map);

}  // namespace busbar::sim
