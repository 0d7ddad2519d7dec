#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "model/job.h"
#include "sched/events.h"
#include "sched/place/fabric_order.h"
#include "sched/place/free_map.h"
#include "sched/place/gang_search.h"
#include "sched/place/need.h"

namespace busbar::sched::place {

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

/// Chooses cards for one gang, all or none: docs/scheduling.md, "Placement". Pure. Borrows both arguments.
///
/// With `order` attached to `map` a gang of whole cards costs O(levels + leaves + tasks); without, or where CPU and
/// memory leave fewer nodes than cards do, or for fractions, O(nodes that have the chip). Same answers either way
/// (bench/sched_place_bench.cc).
class Placer {
 public:
  Placer(const FreeMap& map, const FabricOrder& order) : map_(map), order_(order) {}

  /// As many tasks as fit between min and max; nullopt if min does not fit.
  std::optional<Found> place(const GangNeed& need) const;
  /// The same answer without choosing cards: how many tasks would start, 0 if min does not fit.
  std::uint32_t count_fitting(const GangNeed& need) const;
  /// The most tasks of this kind that one domain of `level` (nullopt: the whole cluster) could take, whatever the
  /// gang's own number.
  std::uint32_t largest_domain(const GangNeed& need, std::optional<std::size_t> level) const;

 private:
  std::optional<Selection> select(const GangNeed& need) const;
  std::optional<Selection> select_within(const GangNeed& need, GangSearch& search, std::size_t top_level) const;
  const ChipOrder* order_for(const GangNeed& need) const;
  /// The whole cluster, or the part that the need bounds itself to; nullopt: that has no such cards.
  std::optional<GangSearch::Scope> scope_for(const GangNeed& need) const;
  const OrderCounts* counts_for(const GangNeed& need) const;
  std::size_t clamp_level(std::optional<std::size_t> level) const;

  const FreeMap& map_;
  const FabricOrder& order_;
};

}  // namespace busbar::sched::place
