#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "base/units.h"
#include "control/ledger.h"
#include "model/cluster.h"

// Reservations live in the core alone: the journal and its snapshots hold them, so a restart finds them again.
namespace busbar::control {
namespace {

bool contains(const std::vector<std::string>& list, const std::string& name) {
  return std::find(list.begin(), list.end(), name) != list.end();
}

bool runs_on(const sched::JobView& job, const std::vector<model::NodeId>& nodes) {
  return job.placement &&
         std::any_of(job.placement->tasks.begin(), job.placement->tasks.end(), [&](const model::TaskPlacement& task) {
           return std::binary_search(nodes.begin(), nodes.end(), task.node);
         });
}

}  // namespace

api::ReservationStatus Ledger::status_of(const model::Reservation& reservation) const {
  api::ReservationStatus status{.name = reservation.name,
                                .from_ms = reservation.from_ms,
                                .until_ms = reservation.until_ms,
                                .users = reservation.users,
                                .queues = reservation.queues,
                                .is_active = reservation.from_ms <= now_ms()};
  for (const model::NodeId id : reservation.nodes) status.nodes.push_back(core_.find_node(id)->name);
  for (const auto& [id, record] : jobs_) {
    const auto view = core_.find_job(id);
    if (!view || !runs_on(*view, reservation.nodes)) continue;
    if (contains(reservation.users, record.user) || contains(reservation.queues, record.spec.queue)) continue;
    const TimeMs started_ms = record.started_ms > 0 ? record.started_ms : now_ms();
    const bool ends_before =
        record.spec.time_limit_ms > 0 && started_ms + record.spec.time_limit_ms <= reservation.from_ms;
    if (!ends_before) status.jobs_in_the_way.push_back(id);
  }
  return status;
}

api::ReservationList Ledger::reservations() const {
  api::ReservationList list;
  for (const model::Reservation& reservation : core_.reservations()) {
    // One that is over goes with the core's next event.
    if (reservation.until_ms > now_ms()) list.reservations.push_back(status_of(reservation));
  }
  return list;
}

Result<api::ReservationStatus> Ledger::reserve(const api::ReservationRequest& request, const std::string& actor) {
  if (!model::is_valid_name(request.name)) {
    return make_error(ErrorCode::kInvalidArgument,
                      fmt::format("\"{}\" is no name of a reservation; use 1 to 63 of a-z 0-9 - _ . that begin with a "
                                  "letter or digit",
                                  request.name));
  }
  constexpr std::int64_t kMaxDurationMs = std::int64_t{10} * 366 * 86'400'000;
  if (request.duration_ms <= 0 || request.duration_ms > kMaxDurationMs) {
    return make_error(ErrorCode::kInvalidArgument,
                      fmt::format("a reservation for {} ms: use up to ten years", request.duration_ms));
  }
  model::Reservation made{.name = request.name, .users = request.users, .queues = request.queues};
  made.from_ms = std::max(request.from_ms, now_ms());
  made.until_ms = made.from_ms + request.duration_ms;
  for (const std::string& name : request.nodes) {
    TRY_ASSIGN(const model::NodeId node, find_node(name));
    made.nodes.push_back(node);
  }
  std::sort(made.nodes.begin(), made.nodes.end());
  made.nodes.erase(std::unique(made.nodes.begin(), made.nodes.end()), made.nodes.end());
  const std::vector<model::Queue> queues = core_.queues();
  for (const std::string& queue : made.queues) {
    if (std::none_of(queues.begin(), queues.end(), [&](const model::Queue& known) { return known.name == queue; })) {
      return make_error(ErrorCode::kNotFound, fmt::format("no queue \"{}\"; `busbar queues` lists them", queue));
    }
  }
  TRY(apply(sched::ReservationMade{made}, actor, ""));
  note({}, "reserved",
       fmt::format("{}: {} from {} until {} (by {})", made.name, fmt::join(request.nodes, ", "),
                   format_time(made.from_ms), format_time(made.until_ms), actor));
  return status_of(made);
}

Result<void> Ledger::cancel_reservation(const std::string& name, const std::string& actor) {
  TRY(apply(sched::ReservationCancelled{name}, actor, ""));
  note({}, "reservation_cancelled", fmt::format("{} (by {})", name, actor));
  return {};
}

}  // namespace busbar::control
