#include "base/binary.h"
#include "base/hash.h"
#include "sched/internal/codec.h"
#include "sched/internal/state.h"

namespace busbar::sched::internal {
namespace {

// One seed a kind of object, so that equal bytes of different kinds do not cancel.
enum class Kind : std::uint64_t {
  kRequest = 1,
  kGranted,
  kJob,
  kNode,
  kQueue,
  kOutcome,
  kKept,
  kReservation,
  kRunTimes
};

std::uint64_t hash_bytes(Kind kind, const BinaryWriter& out) {
  return stable_hash64(out.bytes(), static_cast<std::uint64_t>(kind));
}

}  // namespace

std::uint64_t hash_request(const JobRequest& request) {
  BinaryWriter out;
  encode(out, request);
  return hash_bytes(Kind::kRequest, out);
}

std::uint64_t hash_granted(const Granted& granted) {
  BinaryWriter out;
  encode(out, granted.placement);
  out.text(granted.reason);
  return hash_bytes(Kind::kGranted, out);
}

std::uint64_t hash_node(const model::Node& node) {
  BinaryWriter out;
  encode(out, node);
  return hash_bytes(Kind::kNode, out);
}

std::uint64_t hash_run_times(const std::string& queue, const RunTimes& times) {
  BinaryWriter out;
  out.text(queue);
  encode(out, times);
  return hash_bytes(Kind::kRunTimes, out);
}

std::uint64_t hash_reservation(const model::Reservation& reservation) {
  BinaryWriter out;
  encode(out, reservation);
  return hash_bytes(Kind::kReservation, out);
}

std::uint64_t hash_queue(const model::Queue& queue, const fairshare::History& history) {
  BinaryWriter out;
  encode(out, queue);
  encode(out, history);
  return hash_bytes(Kind::kQueue, out);
}

std::uint64_t hash_outcome(model::JobId id, const Outcome& outcome) {
  BinaryWriter out;
  out.varint(id.value);
  out.boolean(outcome.is_success);
  out.varint(outcome.sequence);
  return hash_bytes(Kind::kOutcome, out);
}

std::uint64_t hash_job(const JobRecord& record) {
  BinaryWriter out;
  out.u64(record.submitted->hash);
  out.varint(static_cast<std::uint64_t>(record.state));
  out.zigzag(record.submitted_ms);
  out.zigzag(record.not_before_ms);
  out.varint(record.attempt);
  out.varint(record.counted_restarts);
  out.varint(record.infrastructure_in_row);
  out.boolean(record.is_cancelled);
  out.u64(record.claim ? record.claim->hash : 0);
  out.zigzag(record.claim_until_ms);
  out.zigzag(record.evicted_ms);
  out.zigzag(record.resized_ms);
  out.zigzag(record.served_ms);
  out.zigzag(record.saved_ms);
  out.varint(record.excluded.size());
  for (const model::NodeId node : record.excluded) {
    out.varint(node.value);
  }
  out.u64(record.kept ? record.kept->hash : 0);
  encode(out, record.booking.get());
  out.u64(record.granted ? record.granted->hash : 0);
  out.boolean(record.yields);
  out.zigzag(record.placed_ms);
  out.zigzag(record.started_ms);
  out.boolean(record.is_ready);
  out.boolean(record.is_gone);
  out.boolean(record.has_succeeded);
  out.text({reinterpret_cast<const char*>(record.exited.data()), record.exited.size()});
  out.varint(record.staying);
  out.varint(record.stop.has_value() ? 1 + static_cast<std::uint64_t>(*record.stop) : 0);
  out.boolean(record.failure.has_value());
  if (record.failure.has_value()) {
    out.varint(record.failure->rank);
    out.varint(static_cast<std::uint64_t>(record.failure->exit_class));
    out.zigzag(record.failure->exit_code);
  }
  out.zigzag(record.stopped_code);
  return hash_bytes(Kind::kJob, out);
}

std::shared_ptr<const Submitted> make_submitted(JobRequest request) {
  const std::uint64_t hash = hash_request(request);
  return std::make_shared<const Submitted>(Submitted{.request = std::move(request), .hash = hash});
}

namespace {

Granted granted_of(model::Placement placement, std::string reason) {
  Granted granted = {.placement = std::move(placement), .reason = std::move(reason)};
  for (const model::TaskPlacement& task : granted.placement.tasks) {
    granted.milli_cards += static_cast<std::int64_t>(task.cards.size()) * task.per_card.value;
  }
  granted.hash = hash_granted(granted);
  return granted;
}

}  // namespace

std::shared_ptr<const Granted> make_granted(model::Placement placement, std::string reason) {
  return std::make_shared<const Granted>(granted_of(std::move(placement), std::move(reason)));
}

std::shared_ptr<const Kept> make_kept(model::Placement held, TimeMs until_ms, std::uint32_t gang_tasks) {
  Kept hold = {.granted = granted_of(std::move(held), {}), .until_ms = until_ms, .gang_tasks = gang_tasks};
  BinaryWriter out;
  out.u64(hold.granted.hash);
  out.zigzag(hold.until_ms);
  out.varint(hold.gang_tasks);
  hold.hash = hash_bytes(Kind::kKept, out);
  return std::make_shared<const Kept>(std::move(hold));
}

std::shared_ptr<const Granted> leaving_of(const JobRecord& record) {
  if (record.granted == nullptr || record.staying == 0) {
    return nullptr;
  }
  model::Placement leaving = record.granted->placement;
  leaving.tasks.erase(leaving.tasks.begin(), leaving.tasks.begin() + record.staying);
  return make_granted(std::move(leaving), {});
}

bool holds_ranks_of_a_gang(const Kept& hold) {
  const auto& tasks = hold.granted.placement.tasks;
  for (std::size_t i = 0; i < tasks.size(); ++i) {
    if (tasks[i].rank >= hold.gang_tasks || (i > 0 && tasks[i].rank <= tasks[i - 1].rank)) {
      return false;
    }
  }
  return !tasks.empty() && tasks.size() < hold.gang_tasks && hold.gang_tasks <= kMaxGangTasks;
}

std::uint64_t State::scalar_hash() const {
  BinaryWriter out;
  encode(out, policy_);
  out.zigzag(now_ms_);
  out.varint(finished_count_);
  out.zigzag(moves_.hour);
  out.varint(moves_.count);
  return stable_hash64(out.bytes());
}

std::uint64_t State::hash() const {
  return mix64(hash_sum_ + scalar_hash() + experience_.hash() + habits_.hash());
}

std::uint64_t State::recompute_hash() const {
  std::uint64_t sum = 0;
  for (const auto& [id, entry] : nodes_) {
    sum += hash_node(*entry.node);
  }
  for (const auto& [name, entry] : queues_) {
    sum += hash_queue(entry.queue, entry.account.history);
  }
  for (const auto& [name, entry] : reservations_) {
    sum += hash_reservation(*entry.reservation);
  }
  for (const auto& [queue, times] : run_times_) {
    sum += hash_run_times(queue, times);
  }
  for (const auto& [id, record] : jobs_) {
    JobRecord fresh = record;
    fresh.submitted = make_submitted(record.request());
    if (record.granted) {
      fresh.granted = make_granted(record.granted->placement, record.granted->reason);
    }
    if (record.claim) {
      fresh.claim = make_granted(record.claim->placement, record.claim->reason);
    }
    if (record.kept) {
      fresh.kept = make_kept(record.kept->granted.placement, record.kept->until_ms, record.kept->gang_tasks);
    }
    sum += hash_job(fresh);
  }
  for (const auto& [id, outcome] : outcomes_) {
    sum += hash_outcome(id, outcome);
  }
  return mix64(sum + scalar_hash() + experience_.recompute_hash() + habits_.recompute_hash());
}

}  // namespace busbar::sched::internal
