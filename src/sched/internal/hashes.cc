#include "base/binary.h"
#include "base/hash.h"
#include "sched/internal/codec.h"
#include "sched/internal/state.h"

namespace busbar::sched::internal {
namespace {

// One seed a kind of object, so that equal bytes of different kinds do not cancel.
enum class Kind : std::uint64_t { kRequest = 1, kGranted, kJob, kNode, kQueue, kOutcome };

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
  out.zigzag(record.saved_ms);
  out.u64(record.granted ? record.granted->hash : 0);
  out.zigzag(record.placed_ms);
  out.zigzag(record.started_ms);
  out.boolean(record.is_ready);
  out.boolean(record.is_gone);
  out.boolean(record.has_succeeded);
  out.text({reinterpret_cast<const char*>(record.exited.data()), record.exited.size()});
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

std::shared_ptr<const Granted> make_granted(model::Placement placement, std::string reason) {
  Granted granted = {.placement = std::move(placement), .reason = std::move(reason)};
  for (const model::TaskPlacement& task : granted.placement.tasks) {
    granted.milli_cards += static_cast<std::int64_t>(task.cards.size()) * task.per_card.value;
  }
  granted.hash = hash_granted(granted);
  return std::make_shared<const Granted>(std::move(granted));
}

}  // namespace busbar::sched::internal
