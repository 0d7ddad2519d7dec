#include "sched/backfill/promises.h"

#include <algorithm>
#include <utility>

#include "sched/backfill/forecast.h"
#include "sched/gang/affinity.h"
#include "sched/windows/closed.h"

namespace busbar::sched::backfill {
namespace {

using internal::Booking;
using internal::JobRecord;
using internal::State;
using model::NodeId;

constexpr std::uint32_t kMaxSlips = 2;

std::vector<NodeId> nodes_of(const model::Placement& placement) {
  std::vector<NodeId> nodes;
  for (const model::TaskPlacement& task : placement.tasks) {
    nodes.push_back(task.node);
  }
  std::sort(nodes.begin(), nodes.end());
  nodes.erase(std::unique(nodes.begin(), nodes.end()), nodes.end());
  return nodes;
}

bool contains(const std::vector<NodeId>& sorted, NodeId node) {
  return std::binary_search(sorted.begin(), sorted.end(), node);
}

void append(std::vector<NodeId>& nodes, const std::vector<NodeId>& more) {
  nodes.insert(nodes.end(), more.begin(), more.end());
}

bool touches(const model::Placement& placement, const std::vector<NodeId>& nodes) {
  return std::any_of(placement.tasks.begin(), placement.tasks.end(),
                     [&](const model::TaskPlacement& task) { return contains(nodes, task.node); });
}

// Where the job cannot go whatever ends, as far as is known at that time.
std::vector<NodeId> closed_for(const State& state, const JobRecord& job, TimeMs at_ms) {
  std::vector<NodeId> closed = windows::closed_nodes(state, job, at_ms);
  append(closed, job.excluded);
  return closed;
}

// In service, and not closed to the job.
bool are_usable(const State& state, const JobRecord& job, const std::vector<NodeId>& nodes) {
  const std::vector<NodeId> closed = closed_for(state, job, state.now_ms());
  return std::all_of(nodes.begin(), nodes.end(), [&](NodeId id) {
    return state.free_map().find_node(id)->is_usable && std::find(closed.begin(), closed.end(), id) == closed.end();
  });
}

TimeMs waiting_since(const JobRecord& job) {
  return std::max(job.submitted_ms, job.not_before_ms);
}

}  // namespace

// Made again when something has started or is being stopped since.
const Forecast& Promises::forecast() {
  if (!forecast_.has_value() || forecast_version_ != state_.plan_version()) {
    forecast_.emplace(state_);
    forecast_version_ = state_.plan_version();
  }
  return *forecast_;
}

// All that ran before it waited ends some day; what came later without a limit may stay, unless it makes room.
place::FreeMap Promises::idle_but_newcomers(const JobRecord& job) {
  const TimeMs since_ms = waiting_since(job);
  place::FreeMap map = state_.idle();
  for (const auto& [id, nothing] : state_.live()) {
    const JobRecord& record = *state_.jobs().find(id);
    if (record.request().time_limit_ms == 0 && !internal::yields_to(record, job) && record.placed_ms >= since_ms &&
        record.state != model::JobState::kStopping) {
      map.claim(record.granted->placement);
    }
  }
  return map;
}

Booking Promises::booking_of(const model::Placement& plan, TimeMs start_ms, std::uint32_t slips) {
  Booking booking = {.nodes = nodes_of(plan), .start_ms = start_ms, .slips = slips};
  std::vector<std::uint32_t> nodes;
  for (const NodeId id : booking.nodes) {
    nodes.push_back(state_.free_map().find_node(id)->index);
  }
  booking.level = static_cast<std::uint32_t>(state_.fabric().common_level(nodes));
  return booking;
}

// Nodes that are not for the job: closed to it at that time, or planned for the others.
std::vector<NodeId> Promises::nodes_against(const JobRecord& job, TimeMs at_ms) const {
  std::vector<NodeId> against = closed_for(state_, job, at_ms);
  for (const Promise& other : promises_) {
    if (other.job != job.id()) {
      append(against, other.booking.nodes);
    }
  }
  return against;
}

const Promise* Promises::first() {
  is_made_ = true;
  for (const model::JobId id : std::exchange(met_, {})) {
    promise(*state_.jobs().find(id));
  }
  return promises_.empty() ? nullptr : &promises_.front();
}

void Promises::promise(const JobRecord& job) {
  const std::string& queue = job.request().queue;
  const bool has_first =
      std::any_of(promises_.begin(), promises_.end(), [&](const Promise& promise) { return promise.queue == queue; });
  if (has_first || promises_.size() >= state_.policy().max_reservations) {
    return;
  }
  const std::optional<Booking> booking = renew(job);
  if (!booking.has_value()) {
    return;
  }
  const model::JobId id = job.id();
  Promise promise = {.job = id, .queue = queue, .waiting_since_ms = waiting_since(job), .booking = *booking};
  if (job.booking == nullptr || !(*job.booking == *booking)) {
    record(promise);  // From here on `job` may have moved.
  }
  promise.domain = state_.booked_domain(id);
  promises_.push_back(std::move(promise));
  // Each keeps off the plans of the others.
  for (Promise& other : promises_) {
    other.future.reset();
  }
}

std::optional<Booking> Promises::renew(const JobRecord& job) {
  if (job.booking == nullptr || !are_usable(state_, job, job.booking->nodes)) {
    return make(job);
  }
  const Booking& booking = *job.booking;
  if (booking.start_ms != 0 && state_.now_ms() <= booking.start_ms) {
    return booking;
  }
  return booking.start_ms == 0 && is_still_unknown(job) ? booking : renew_start(job);
}

// Starts take away what is free, now and later: only an ending, or another plan, may make its start known.
bool Promises::is_still_unknown(const JobRecord& job) const {
  const State::BookedEntry& entry = *state_.booked().find(job.id());
  return state_.reservations().empty() && entry.checked_version == state_.endings_version() &&
         entry.checked_without == nodes_against(job, state_.now_ms());
}

// A window that is not in the way now may be at that time: then the plan is made again without its nodes.
std::optional<Forecast::Start> Promises::earliest(const JobRecord& job, const std::optional<place::Vicinity>& within) {
  constexpr int kMostLooks = 4;
  std::vector<NodeId> against = nodes_against(job, state_.now_ms());
  for (int look = 0; look < kMostLooks; ++look) {
    const Bounds bounds = {.allowed = place::all_but(state_.free_map(), against), .within = within};
    auto start = forecast().earliest(job, bounds);
    if (!start.has_value()) {
      return std::nullopt;
    }
    const std::vector<NodeId> later = windows::closed_nodes(state_, job, start->at_ms);
    if (!touches(start->plan, later)) {
      return start;
    }
    append(against, later);
  }
  return std::nullopt;
}

// Its time has passed, or was not known: a look at the same domain.
std::optional<Booking> Promises::renew_start(const JobRecord& job) {
  const Booking& booking = *job.booking;
  state_.note_booking_checked(job.id(), nodes_against(job, state_.now_ms()));
  Booking renewed = booking;
  renewed.slips += booking.start_ms == 0 ? 0 : 1;
  renewed.start_ms = 0;
  if (const auto start = earliest(job, state_.booked_vicinity(job.id()))) {
    renewed.nodes = nodes_of(start->plan);
    renewed.start_ms = start->at_ms;
  }
  return renewed;
}

std::optional<Booking> Promises::make(const JobRecord& job) {
  const Bounds bounds = {.allowed = place::all_but(state_.free_map(), nodes_against(job, state_.now_ms()))};
  // One that waits only for jobs that it keeps apart from does not lack cards.
  const bool is_kept_apart =
      !gang::nodes_kept_apart(state_, job).empty() && fits(state_, job, state_.free_map(), bounds);
  if (is_kept_apart || !fits(state_, job, state_.idle(), bounds)) {
    return std::nullopt;
  }
  const std::uint32_t slips = job.booking == nullptr ? 0 : job.booking->slips;
  if (const auto start = earliest(job, {})) {
    return booking_of(start->plan, start->at_ms, slips);
  }
  auto plan = place_smallest(state_, job, idle_but_newcomers(job), bounds);
  if (!plan.has_value()) {
    plan = place_smallest(state_, job, state_.idle(), bounds);
  }
  return booking_of(*plan, 0, slips);
}

bool Promises::ends_in_time(const JobRecord& candidate, const Promise& promise) const {
  const std::int64_t limit_ms = candidate.request().time_limit_ms;
  const Booking& booking = promise.booking;
  const bool is_patient = state_.now_ms() - promise.waiting_since_ms < state_.policy().backfill_patience_ms;
  if (limit_ms == 0 || booking.slips >= kMaxSlips) {
    return false;
  }
  return booking.start_ms == 0 || (is_patient && state_.now_ms() + limit_ms <= booking.start_ms);
}

void Promises::bound(Promise& promise) {
  const JobRecord& job = *state_.jobs().find(promise.job);
  const TimeMs start_ms = promise.booking.start_ms;
  const std::vector<NodeId> against = nodes_against(job, start_ms != 0 ? start_ms : state_.now_ms());
  promise.bounds = {.allowed = place::all_but(state_.free_map(), against),
                    .within = state_.booked_vicinity(promise.job)};
}

void Promises::foresee(Promise& promise) {
  const JobRecord& job = *state_.jobs().find(promise.job);
  const TimeMs start_ms = promise.booking.start_ms;
  promise.future = start_ms != 0 ? forecast().at(start_ms, job) : idle_but_newcomers(job);
  bound(promise);
  promise.can_fit = fits(state_, job, *promise.future, promise.bounds);
}

// Some node of the placement has a chip that the job could take.
bool Promises::shares_chips(const model::Placement& placement, const JobRecord& job) const {
  const auto needs = place::needs_of(job.request(), state_.free_map());
  return std::any_of(placement.tasks.begin(), placement.tasks.end(), [&](const model::TaskPlacement& task) {
    const auto groups = state_.free_map().groups_of(*state_.free_map().find_node(task.node));
    return std::any_of(groups.begin(), groups.end(), [&](const place::GroupSlot& group) {
      return std::any_of(needs.begin(), needs.end(),
                         [&](const place::GangNeed& need) { return need.task.chip == group.chip; });
    });
  });
}

// Leaves the placement claimed in the future if so.
bool Promises::fits_beside(const model::Placement& placement, Promise& promise) {
  if (!promise.future.has_value()) {
    foresee(promise);
  }
  const JobRecord& job = *state_.jobs().find(promise.job);
  promise.future->claim(placement);
  // Newcomers without a limit are in the way already: then nothing more may come to its chips.
  if (!promise.can_fit && !shares_chips(placement, job)) {
    return true;
  }
  if (const auto plan = place_smallest(state_, job, *promise.future, promise.bounds)) {
    std::vector<NodeId> nodes = nodes_of(*plan);
    if (nodes != promise.booking.nodes) {
      promise.is_moved = true;
      promise.booking.nodes = std::move(nodes);
      for (Promise& other : promises_) {
        if (other.future.has_value()) bound(other);
      }
    }
    return true;
  }
  promise.future->release(placement);
  return false;
}

const Promise* Promises::admit(const JobRecord& candidate, const model::Placement& placement) {
  std::vector<Promise*> beside;
  for (Promise& promise : promises_) {
    if (promise.job == candidate.id() || !touches(placement, *promise.domain) || ends_in_time(candidate, promise)) {
      continue;
    }
    if (!fits_beside(placement, promise)) {
      for (Promise* other : beside) {
        other->future->release(placement);
      }
      if (promise.outside == nullptr) {
        promise.outside = place::all_but(state_.free_map(), *promise.domain);
      }
      return &promise;
    }
    beside.push_back(&promise);
  }
  return nullptr;
}

void Promises::record(const Promise& promise) {
  log_.emit(Reserve{.job = promise.job,
                    .nodes = promise.booking.nodes,
                    .level = promise.booking.level,
                    .start_ms = promise.booking.start_ms,
                    .slips = promise.booking.slips});
}

void Promises::settle() {
  if (!is_made_) {
    return;  // Nobody could start, so nobody was in the way of anybody.
  }
  for (const Promise& promise : promises_) {
    if (promise.is_moved && state_.booked().contains(promise.job)) {
      record(promise);
    }
  }
  std::vector<model::JobId> lost;
  for (const auto& [id, version] : state_.booked()) {
    const bool is_kept =
        std::any_of(promises_.begin(), promises_.end(), [id = id](const Promise& p) { return p.job == id; });
    if (!is_kept && std::find(met_.begin(), met_.end(), id) == met_.end()) {
      lost.push_back(id);
    }
  }
  for (const model::JobId id : lost) {
    log_.emit(Reserve{.job = id});
  }
}

}  // namespace busbar::sched::backfill
