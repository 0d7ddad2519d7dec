#pragma once

#include <cstdint>
#include <vector>

#include "control/service_record.h"

namespace busbar::control {

/// What is to be done next so that a service has the replicas that it should have.
struct ServicePlan {
  std::uint32_t start_current = 0;            ///< Replicas of the wanted revision to start.
  std::uint32_t start_stable = 0;             ///< Of the one that serves during an update.
  std::vector<std::uint64_t> drain = {};      ///< Replicas, by number: to finish what they have.
  std::vector<std::uint64_t> take_back = {};  ///< Draining ones that are needed after all.
  std::vector<std::uint64_t> resume = {};     ///< Paused ones that are needed.
  friend bool operator==(const ServicePlan&, const ServicePlan&) = default;
};

/// Pure. As many replicas of the wanted revision as are desired; during an update new ones start a quarter (at least
/// one) at a time and an old one drains only when a new one is ready in its place, so that never fewer are ready than
/// before. A new revision that does not get ready leaves the old one as it is. While a canary is watched there is one
/// replica of it beside all old ones. Outside of updates, what is started beyond those desired is to be paused when it
/// is ready (ServiceRecord::wanted_paused, by how many are expected to be needed soon). With a fixed port the old
/// replica goes first: two cannot listen. Back-off is the caller's.
ServicePlan plan_service(const ServiceRecord& record, TimeMs now_ms, std::uint32_t expected = 0);

/// No replica of another revision is left and enough of the wanted one are ready.
bool is_update_done(const ServiceRecord& record);

}  // namespace busbar::control
