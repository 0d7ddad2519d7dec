#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "model/job.h"
#include "sched/events.h"
#include "sched/place/fabric_order.h"
#include "sched/place/free_map.h"

namespace busbar::sched::place {

/// What one task takes on its node: whole cards, or a fraction of one card, or none.
struct TaskNeed {
  ChipIndex chip = kNoChip;
  std::uint32_t cards = 0;
  std::int64_t fraction = 0;  ///< Milli-cards below 1000; then `cards` is 0.
  std::int64_t cpus = 0;
  std::int64_t memory = 0;
};

struct GangNeed {
  TaskNeed task = {};
  std::uint32_t min_tasks = 1;
  std::uint32_t max_tasks = 1;
  std::optional<std::size_t> required_level = {};  ///< 0 node, 1 leaf, 2 spine.
  std::optional<std::size_t> preferred_level = {};
};

/// A gang's cards, and in a few words why these.
struct Found {
  model::Placement placement = {};
  std::string where = {};
};

/// What the job asks for on this cluster: one need for each chip that would do, in order of preference ("any
/// accelerator" becomes every accelerator of the cluster, by name). Chips that no node has are left out.
std::vector<GangNeed> needs_of(const JobRequest& request, const FreeMap& map);

/// CPU of one task: `cpus` if given, 1 per CPU card, else 1.
std::int64_t task_cpus(const JobRequest& request, const model::AcceleratorRequest* accelerator);

/// "node" 0, "leaf" 1, "spine" 2.
std::optional<std::size_t> level_from_name(std::string_view name);

/// Chooses cards for one gang, all or none: README.md, "Placement". Pure. Borrows both arguments.
/// Cost: O(nodes that have the chip); bench/sched_place_bench.cc.
class Placer {
 public:
  Placer(const FreeMap& map, const FabricOrder& order) : map_(map), order_(order) {}

  /// As many tasks as fit between min and max; nullopt if min does not fit.
  std::optional<Found> place(const GangNeed& need) const;
  /// The same answer without choosing cards: how many tasks would start, 0 if min does not fit.
  std::uint32_t count_fitting(const GangNeed& need) const;
  /// The most tasks of this kind that one domain of `level` (nullopt: the whole cluster) could take.
  std::uint32_t largest_domain(const TaskNeed& need, std::optional<std::size_t> level) const;
  /// Tasks of this kind that fit on the group's node, at most `most`.
  std::uint32_t capacity_of(const GroupSlot& group, const TaskNeed& need, std::uint32_t most) const;

 private:
  struct Capacities;
  struct Choice;

  Capacities measure(const TaskNeed& need, std::uint32_t most) const;
  std::uint32_t best_total(const Capacities& capacities, std::size_t level) const;
  std::optional<Choice> choose_domain(const Capacities& capacities, std::uint32_t tasks, std::size_t top_level) const;
  std::vector<std::pair<std::uint32_t, std::uint32_t>> choose_nodes(const Capacities& capacities, const Choice& choice,
                                                                    const TaskNeed& need, std::uint32_t tasks) const;
  std::optional<Found> place_within(const GangNeed& need, const Capacities& capacities, std::size_t top_level) const;
  std::size_t clamp_level(std::optional<std::size_t> level) const;

  const FreeMap& map_;
  const FabricOrder& order_;
};

}  // namespace busbar::sched::place
