#include "sched/windows/closed.h"

#include <algorithm>

namespace busbar::sched::windows {

bool admits(const model::Reservation& reservation, const JobRequest& request) {
  const auto names = [](const std::vector<std::string>& list, const std::string& name) {
    return std::find(list.begin(), list.end(), name) != list.end();
  };
  return names(reservation.users, request.user) || names(reservation.queues, request.queue);
}

std::vector<model::NodeId> closed_nodes(const internal::State& state, const internal::JobRecord& record, TimeMs at_ms) {
  std::vector<model::NodeId> closed;
  const JobRequest& request = record.request();
  const TimeMs last_end_ms = at_ms + state.policy().start_deadline_ms + request.time_limit_ms;
  for (const auto& [name, entry] : state.reservations()) {
    const model::Reservation& reservation = *entry.reservation;
    const bool is_clear =
        reservation.until_ms <= at_ms || (request.time_limit_ms > 0 && last_end_ms <= reservation.from_ms);
    if (!is_clear && !admits(reservation, request)) {
      closed.insert(closed.end(), reservation.nodes.begin(), reservation.nodes.end());
    }
  }
  std::sort(closed.begin(), closed.end());
  closed.erase(std::unique(closed.begin(), closed.end()), closed.end());
  return closed;
}

}  // namespace busbar::sched::windows
