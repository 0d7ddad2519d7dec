#include <algorithm>
#include <string>

#include "base/binary.h"
#include "base/hash.h"
#include "sched/internal/codec.h"
#include "sched/internal/state.h"
#include "sched/windows/closed.h"

// What bounds where waiting jobs may start, beside cards and quota: jobs that keep apart, reservations, promises.
namespace busbar::sched::internal {

std::vector<std::string> tags_of(const JobRequest& request) {
  std::vector<std::string> tags = {"name:" + request.name};
  if (request.group.is_valid()) {
    tags.push_back("group:" + std::to_string(request.group.value));
  }
  for (const auto& [key, value] : request.labels) {
    tags.push_back("label:" + key + "=" + value);
  }
  return tags;
}

ClassKey State::class_of(const JobRecord& record) const {
  // Everything that starting depends on besides the order: of two jobs with the same bytes, the first starts first.
  const JobRequest& request = record.request();
  JobRequest shape;
  shape.queue = request.queue;
  shape.min_nodes = request.min_nodes;
  shape.max_nodes = request.max_nodes;
  shape.sizes = request.sizes;
  shape.max_tasks_per_node = request.max_tasks_per_node;
  shape.accelerators = request.accelerators;
  shape.cpus = request.cpus;
  shape.memory = request.memory;
  shape.topology = request.topology;
  shape.time_limit_ms = request.time_limit_ms;
  if (request.group_parallel > 0) {
    shape.group = request.group;
    shape.group_parallel = request.group_parallel;
  }
  shape.avoid = request.avoid;
  if (!avoided_.empty()) {
    for (std::string& tag : tags_of(request)) {
      if (avoided_.contains(tag)) {
        shape.labels.emplace_back(std::move(tag), std::string());
      }
    }
  }
  shape.is_preemptible = request.is_preemptible;
  BinaryWriter out;
  encode(out, shape);
  for (const model::NodeId node : record.excluded) {
    out.varint(node.value);
  }
  for (const auto& [name, entry] : reservations_) {
    out.boolean(windows::admits(*entry.reservation, request));
  }
  if (policy_.order == Order::kLearned) {
    out.varint(learn::Habits::step_of(record.served_ms));
  }
  const std::uint64_t hash = stable_hash64(out.bytes());
  return {.hash = hash, .shape = std::make_shared<const std::string>(out.take())};
}

PendingKey order_of(const JobRecord& record) {
  return {.negated_priority = -std::int64_t{record.request().priority},
          .submitted_ms = record.submitted_ms,
          .job = record.id()};
}

bool yields_to(const JobRecord& record, const JobRecord& promised) {
  return record.yields && !record.is_ending() &&
         (record.request().queue != promised.request().queue || order_of(promised) < order_of(record));
}

template <class Change>
void State::reclassify(const std::vector<model::JobId>& pending, Change change) {
  for (const model::JobId id : pending) {
    index_pending(*jobs_.find(id), false);
  }
  change();
  for (const model::JobId id : pending) {
    index_pending(*jobs_.find(id), true);
  }
}

std::vector<model::JobId> State::all_pending() const {
  std::vector<model::JobId> jobs;
  for (const auto& [key, pending] : pending_) {
    for (const auto& [order, nothing] : pending.jobs) {
      jobs.push_back(order.job);
    }
  }
  return jobs;
}

// A tag that begins or ceases to be avoided splits or joins the classes of the pending jobs that bear it.
void State::index_avoided(const JobRequest& request, int sign) {
  for (const std::string& tag : request.avoid) {
    const std::uint32_t* known = avoided_.find(tag);
    const std::uint32_t count = (known == nullptr ? 0 : *known) + static_cast<std::uint32_t>(sign);
    std::vector<model::JobId> bearers;
    if (known == nullptr || count == 0) {
      bearers = all_pending();
      std::erase_if(bearers, [&](model::JobId id) {
        const std::vector<std::string> tags = tags_of(jobs_.find(id)->request());
        return std::find(tags.begin(), tags.end(), tag) == tags.end();
      });
    }
    reclassify(bearers, [&] {
      if (count == 0) {
        avoided_.erase(tag);
      } else {
        avoided_.put(tag, count);
      }
    });
  }
}

void State::put_run_times(const std::string& queue, RunTimes times) {
  if (const RunTimes* before = run_times_.find(queue)) {
    hash_sum_ -= hash_run_times(queue, *before);
  }
  hash_sum_ += hash_run_times(queue, times);
  run_times_.put(queue, std::move(times));
}

void State::put_reservation(model::Reservation reservation) {
  const std::uint64_t hash = hash_reservation(reservation);
  reclassify(all_pending(), [&] {
    if (const ReservationEntry* before = reservations_.find(reservation.name)) {
      hash_sum_ -= before->hash;
    }
    hash_sum_ += hash;
    const std::string name = reservation.name;
    reservations_.put(
        name, {.reservation = std::make_shared<const model::Reservation>(std::move(reservation)), .hash = hash});
  });
  ++capacity_version_;
  ++plan_version_;
  find_next_edge();
}

void State::erase_reservation(const std::string& name) {
  reclassify(all_pending(), [&] {
    hash_sum_ -= reservations_.find(name)->hash;
    reservations_.erase(name);
  });
  ++capacity_version_;
  ++plan_version_;
  find_next_edge();
}

void State::find_next_edge() {
  next_edge_ms_.reset();
  for (const auto& [name, entry] : reservations_) {
    for (const TimeMs edge : {entry.reservation->from_ms, entry.reservation->until_ms}) {
      if (edge > now_ms_ && (!next_edge_ms_.has_value() || edge < *next_edge_ms_)) {
        next_edge_ms_ = edge;
      }
    }
  }
}

// Those whose window is over. True: a window began or ended.
bool State::end_reservations() {
  if (!next_edge_ms_.has_value() || *next_edge_ms_ > now_ms_) {
    return false;
  }
  std::vector<std::string> over;
  for (const auto& [name, entry] : reservations_) {
    if (entry.reservation->until_ms <= now_ms_) {
      over.push_back(name);
    }
  }
  for (const std::string& name : over) {
    erase_reservation(name);
  }
  find_next_edge();
  return true;
}

// What a job keeps between attempts, and the start that it is promised.
void State::index_waiting_rights(const JobRecord* before, const JobRecord* after) {
  const bool was_kept = before != nullptr && before->kept != nullptr;
  const bool is_kept = after != nullptr && after->kept != nullptr;
  if (!was_kept && is_kept) {
    kept_.put(after->id(), 0);
  } else if (was_kept && !is_kept) {
    kept_.erase(before->id());
  }
  const Booking* old_booking = before == nullptr ? nullptr : before->booking.get();
  const Booking* new_booking = after == nullptr ? nullptr : after->booking.get();
  if (old_booking != new_booking) {
    index_booking(after == nullptr ? before->id() : after->id(), old_booking, new_booking);
  }
  if (before != nullptr && after != nullptr && !before->is_ending() && after->is_ending()) {
    ++known_endings_;
  }
}

// A plan that moves within its domain keeps it, and what was found out about it.
void State::index_booking(model::JobId id, const Booking* before, const Booking* after) {
  if (after == nullptr) {
    booked_.erase(id);
    return;
  }
  const BookedEntry* known = booked_.find(id);
  const bool is_same_domain = known != nullptr && known->domain != nullptr && before->level == after->level &&
                              std::binary_search(known->domain->begin(), known->domain->end(), after->nodes.front());
  if (!is_same_domain) {
    booked_.put(id, {});
  }
}

void State::note_booking_checked(model::JobId id, std::vector<model::NodeId> without) {
  BookedEntry* entry = booked_.find_for_write(id);
  entry->checked_version = endings_version();
  entry->checked_without = std::move(without);
}

place::Vicinity State::booked_vicinity(model::JobId id) const {
  const Booking& booking = *jobs_.find(id)->booking;
  return {.node = free_.find_node(booking.nodes.front())->index, .level = booking.level};
}

std::shared_ptr<const std::vector<model::NodeId>> State::booked_domain(model::JobId id) {
  BookedEntry* entry = booked_.find_for_write(id);
  if (entry->domain == nullptr) {
    const place::Vicinity around = booked_vicinity(id);
    auto domain = std::make_shared<std::vector<model::NodeId>>();
    for (const std::uint32_t node : fabric().nodes_around(around.node, around.level)) {
      domain->push_back(free_.node(node).id);
    }
    std::sort(domain->begin(), domain->end());
    entry->domain = std::move(domain);
  }
  return entry->domain;
}

std::vector<model::JobId> State::booked_jobs() const {
  std::vector<model::JobId> jobs;
  for (const auto& [id, entry] : booked_) {
    jobs.push_back(id);
  }
  return jobs;
}

}  // namespace busbar::sched::internal
