#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "sched/backfill/forecast.h"
#include "sched/internal/decision_log.h"
#include "sched/internal/state.h"
#include "sched/place/placer.h"

namespace busbar::sched::backfill {

/// A domain of the fabric that is kept for a waiting job, so that those behind it do not starve it.
///
/// Made for the first job of a queue that lacks cards: its start T is the earliest time at which it fits if every
/// running job with a time limit ends at its limit and nothing new starts; where it fits then is its plan, and the
/// smallest leaf, spine, ... around the plan its domain. Both are part of the state (decision Reserve) and stay: T
/// moves later only if a running job overstays or a node fails. A job behind it may start in the domain
///  - T known: if its own limit ends it by T, or if the promised job still fits the domain at T beside it;
///  - T unknown (jobs without a limit are in the way): if it has a limit, or if the promised job would fit beside it
///  and
///    the other jobs without a limit that came while it waited, once all others have ended.
/// After two slips of T, or past `backfill_patience_ms`, only jobs that fit beside it start there.
struct Promise {
  model::JobId job = {};
  std::string queue = {};
  TimeMs waiting_since_ms = 0;
  internal::Booking booking = {};
  bool is_moved = false;                                          ///< Its plan has changed since it was recorded.
  std::shared_ptr<const std::vector<model::NodeId>> domain = {};  ///< Ascending.
  std::shared_ptr<const place::NodeFilter> outside = nullptr;  ///< All other nodes; made for those whom it sends away.
  std::optional<place::FreeMap> future = {};                   ///< The cluster at T; made when it is first needed.
  Bounds bounds = {};                                          ///< What of it is for the job: made with the future.
  bool can_fit = false;                                        ///< In the future as it is.
};

/// The promises of one walk over the pending jobs. Borrows the log's state; what starts meanwhile must pass `admit`.
class Promises {
 public:
  explicit Promises(internal::DecisionLog& log) : log_(log), state_(log.state()) {}

  /// A job that lacks cards, in the walk's order. Costs nothing until a later job could start.
  void meet(const internal::JobRecord& job) { met_.push_back(job.id()); }
  /// Whom the rest of the walk must not delay; nullptr: nobody. Of the jobs met, the first of each queue, at most
  /// `max_reservations` of them, keeps its promise or gets one, unless it would not fit the usable nodes even if they
  /// were idle: holding cards for a job that waits for a node helps nobody.
  const Promise* first();

  /// nullptr: the job may start there, and counts from now on. Else whom it would delay.
  const Promise* admit(const internal::JobRecord& candidate, const model::Placement& placement);

  /// At the end of a whole walk: records plans that have moved aside, and withdraws the promises of jobs that are not
  /// the first of their queue any more.
  void settle();

 private:
  void promise(const internal::JobRecord& job);
  std::vector<model::NodeId> nodes_against(const internal::JobRecord& job, TimeMs at_ms) const;
  bool is_still_unknown(const internal::JobRecord& job) const;
  std::optional<Forecast::Start> earliest(const internal::JobRecord& job, const std::optional<place::Vicinity>& within);
  place::FreeMap idle_but_newcomers(const internal::JobRecord& job);
  std::optional<internal::Booking> renew(const internal::JobRecord& job);
  std::optional<internal::Booking> renew_start(const internal::JobRecord& job);
  std::optional<internal::Booking> make(const internal::JobRecord& job);
  bool ends_in_time(const internal::JobRecord& candidate, const Promise& promise) const;
  const Forecast& forecast();
  internal::Booking booking_of(const model::Placement& plan, TimeMs start_ms, std::uint32_t slips);
  bool shares_chips(const model::Placement& placement, const internal::JobRecord& job) const;
  bool fits_beside(const model::Placement& placement, Promise& promise);
  void foresee(Promise& promise);
  void bound(Promise& promise);
  void record(const Promise& promise);

  internal::DecisionLog& log_;
  internal::State& state_;
  std::vector<model::JobId> met_;  ///< Since promises were last made.
  bool is_made_ = false;
  std::optional<Forecast> forecast_;
  std::uint64_t forecast_version_ = 0;  ///< `plan_version` that it is of.
  std::vector<Promise> promises_;
};

}  // namespace busbar::sched::backfill
