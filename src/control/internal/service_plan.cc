#include "control/internal/service_plan.h"

#include <algorithm>

namespace busbar::control {
namespace {

struct Groups {
  std::vector<const Replica*> current = {};
  std::vector<const Replica*> old = {};
  std::vector<std::uint64_t> abandoned = {};  ///< Of a revision that nobody wants any more and not ready, or paused.
  std::vector<const Replica*> leaving = {};   ///< Of the wanted revision; ready and not being stopped yet.
  std::vector<const Replica*> paused = {};    ///< Of the wanted revision.
  std::uint32_t ready_current = 0;
  bool has_leaving_old = false;
};

std::uint32_t size(const std::vector<const Replica*>& replicas) {
  return static_cast<std::uint32_t>(replicas.size());
}

Groups group(const ServiceRecord& record) {
  Groups groups;
  for (const Replica& replica : record.replicas) {
    const bool is_current = replica.revision == record.current.number;
    if (replica.is_active()) {
      const bool is_wanted = is_current || (record.stable && replica.revision == record.stable->number);
      if (!is_wanted && replica.phase != ReplicaPhase::kReady) {
        groups.abandoned.push_back(replica.number);
        continue;
      }
      (is_current ? groups.current : groups.old).push_back(&replica);
      if (is_current && replica.phase == ReplicaPhase::kReady) ++groups.ready_current;
    } else if (replica.phase == ReplicaPhase::kPaused && is_current) {
      groups.paused.push_back(&replica);
    } else if (!is_current) {
      if (replica.phase == ReplicaPhase::kPaused) groups.abandoned.push_back(replica.number);
      groups.has_leaving_old = true;
    } else if (replica.phase == ReplicaPhase::kDraining && replica.ready_ms != 0) {
      groups.leaving.push_back(&replica);
    }
  }
  return groups;
}

/// Those that serve go last; of them the newest go first.
void drain_beyond(std::vector<const Replica*> replicas, std::uint32_t keep, ServicePlan& plan) {
  std::stable_sort(replicas.begin(), replicas.end(), [](const Replica* left, const Replica* right) {
    return (left->phase == ReplicaPhase::kReady) > (right->phase == ReplicaPhase::kReady);
  });
  for (std::size_t i = keep; i < replicas.size(); ++i) plan.drain.push_back(replicas[i]->number);
}

void reach(std::uint32_t wanted, const Groups& groups, ServicePlan& plan) {
  std::uint32_t have = size(groups.current);
  drain_beyond(groups.current, wanted, plan);
  for (const Replica* replica : groups.leaving) {
    if (have >= wanted) return;
    plan.take_back.push_back(replica->number);
    ++have;
  }
  for (const Replica* replica : groups.paused) {
    if (have >= wanted) return;
    plan.resume.push_back(replica->number);
    ++have;
  }
  plan.start_current = wanted > have ? wanted - have : 0;
}

/// What is kept warm: paused replicas, ready ones that drain, and those that start and are not needed. Too many paused
/// ones are stopped.
void keep_warm(std::uint32_t wanted, const Groups& groups, ServicePlan& plan) {
  const auto has_phase = [&groups](std::uint64_t number, ReplicaPhase phase) {
    return std::any_of(groups.current.begin(), groups.current.end(), [number, phase](const Replica* replica) {
      return replica->number == number && replica->phase == phase;
    });
  };
  std::uint32_t have = 0;
  std::vector<std::uint64_t> surplus;
  for (std::size_t i = plan.resume.size(); i < groups.paused.size(); ++i) {
    have < wanted ? static_cast<void>(++have) : surplus.push_back(groups.paused[i]->number);
  }
  have += size(groups.leaving) - static_cast<std::uint32_t>(plan.take_back.size());
  for (const std::uint64_t number : plan.drain) have += has_phase(number, ReplicaPhase::kReady) ? 1 : 0;
  std::erase_if(plan.drain, [&](std::uint64_t number) {
    const bool is_kept = have < wanted && has_phase(number, ReplicaPhase::kStarting);
    if (is_kept) ++have;
    return is_kept;
  });
  plan.drain.insert(plan.drain.end(), surplus.begin(), surplus.end());
  plan.start_current += wanted > have ? wanted - have : 0;
}

}  // namespace

ServicePlan plan_service(const ServiceRecord& record, TimeMs now_ms, std::uint32_t expected) {
  ServicePlan plan;
  const std::uint32_t desired = record.is_deleted ? 0 : record.desired;
  const Groups groups = group(record);
  plan.drain = groups.abandoned;
  if (record.service().port != 0 && (!groups.old.empty() || groups.has_leaving_old)) {
    drain_beyond(groups.old, 0, plan);
    return plan;  // the new one starts when the port is free
  }
  if (groups.old.empty()) {
    reach(desired, groups, plan);
    keep_warm(record.wanted_paused(expected), groups, plan);
    return plan;
  }
  if (now_ms < record.canary_until_ms && desired > 0) {
    reach(1, groups, plan);
    drain_beyond(groups.old, desired, plan);
    plan.start_stable = desired > size(groups.old) ? desired - size(groups.old) : 0;
    return plan;
  }
  const std::uint32_t at_a_time = std::max(1u, (desired + 3) / 4);
  reach(std::min(desired, groups.ready_current + at_a_time), groups, plan);
  const std::uint32_t keep_old = desired - std::min(desired, groups.ready_current);
  drain_beyond(groups.old, keep_old, plan);
  // What serves is kept whole as long as the new revision has not shown that it can.
  if (groups.ready_current == 0 && record.failures > 0 && record.stable && size(groups.old) < keep_old) {
    plan.start_stable = keep_old - size(groups.old);
  }
  return plan;
}

bool is_update_done(const ServiceRecord& record) {
  const Groups groups = group(record);
  return groups.old.empty() && groups.ready_current >= record.desired;
}

}  // namespace busbar::control
