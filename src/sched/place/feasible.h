#pragma once

#include <optional>
#include <string>

#include "sched/events.h"
#include "sched/place/fabric_order.h"
#include "sched/place/free_map.h"

namespace busbar::sched::place {

/// Why the job cannot run on `map` (the declared cluster, empty and whole) at all, with numbers: "needs 16 cards on one
/// node; the largest has 8". nullopt: it can. Several alternatives give one reason each, joined by "; ".
std::optional<std::string> why_infeasible(const JobRequest& request, const FreeMap& map, const FabricOrder& order);

/// "4 x 8 h100", "2 x 0.5 cpu", "3 tasks without cards".
std::string describe_need(const JobRequest& request, const model::AcceleratorRequest* accelerator);

}  // namespace busbar::sched::place
