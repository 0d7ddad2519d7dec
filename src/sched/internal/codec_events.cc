#include <utility>
#include <variant>

#include "sched/internal/codec.h"
#include "sched/internal/state.h"

// Tags are positions in the variants: new alternatives go at the end.
namespace busbar::sched::internal {
namespace {

void encode_attempt(BinaryWriter& out, const model::AttemptId& attempt) {
  out.varint(attempt.job.value);
  out.varint(attempt.number);
}

model::AttemptId decode_attempt(FieldReader& in) {
  model::AttemptId attempt;
  attempt.job = {in.raw().varint()};
  attempt.number = in.number32();
  return attempt;
}

void encode_nodes(BinaryWriter& out, const std::vector<model::NodeId>& nodes) {
  out.varint(nodes.size());
  for (const model::NodeId node : nodes) {
    out.varint(node.value);
  }
}

std::vector<model::NodeId> decode_nodes(FieldReader& in) {
  std::vector<model::NodeId> nodes;
  for (std::size_t left = in.raw().count(); left > 0 && in.ok(); --left) {
    nodes.push_back({in.raw().varint()});
  }
  return nodes;
}

struct EventWriter {
  BinaryWriter& out;

  void operator()(const NodeJoined& e) const { encode(out, e.node); }
  void operator()(const NodeStateChanged& e) const {
    out.varint(e.node.value);
    out.varint(static_cast<std::uint64_t>(e.state));
  }
  void operator()(const CardHealthChanged& e) const {
    out.varint(e.card.node.value);
    out.varint(e.card.index);
    out.varint(static_cast<std::uint64_t>(e.health));
  }
  void operator()(const JobSubmitted& e) const { encode(out, e.job); }
  void operator()(const JobCancelled& e) const { out.varint(e.job.value); }
  void operator()(const GangReady& e) const { encode_attempt(out, e.attempt); }
  void operator()(const GangStarted& e) const { encode_attempt(out, e.attempt); }
  void operator()(const TaskExited& e) const {
    encode_attempt(out, e.task.attempt);
    out.varint(e.task.rank);
    out.varint(static_cast<std::uint64_t>(e.exit_class));
    out.zigzag(e.exit_code);
    out.boolean(e.ends_gang);
  }
  void operator()(const GangGone& e) const { encode_attempt(out, e.attempt); }
  void operator()(const CheckpointReached& e) const { encode_attempt(out, e.attempt); }
  void operator()(const QueueChanged& e) const { encode(out, e.queue); }
  void operator()(const Tick&) const {}
  void operator()(const ReservationMade& e) const { encode(out, e.reservation); }
  void operator()(const ReservationCancelled& e) const { out.text(e.name); }
  void operator()(const PolicyChanged& e) const { encode(out, e.policy); }
  void operator()(const TasksGone& e) const {
    encode_attempt(out, e.attempt);
    out.varint(e.kept);
  }
};

NodeStateChanged decode_node_state(FieldReader& in) {
  NodeStateChanged e;
  e.node = {in.raw().varint()};
  e.state = in.enumerator(model::NodeState::kFailed);
  return e;
}

CardHealthChanged decode_card_health(FieldReader& in) {
  CardHealthChanged e;
  e.card.node = {in.raw().varint()};
  e.card.index = in.number16();
  e.health = in.enumerator(model::CardHealth::kUnhealthy);
  return e;
}

TaskExited decode_task_exited(FieldReader& in) {
  TaskExited e;
  e.task.attempt = decode_attempt(in);
  e.task.rank = in.number32();
  e.exit_class = in.enumerator(model::ExitClass::kInfrastructure);
  e.exit_code = in.signed32();
  e.ends_gang = in.raw().boolean();
  return e;
}

TasksGone decode_tasks_gone(FieldReader& in) {
  TasksGone e;
  e.attempt = decode_attempt(in);
  e.kept = in.number32();
  return e;
}

EventBody decode_body(FieldReader& in) {
  switch (in.bounded(std::variant_size_v<EventBody> - 1)) {
    case 0:
      return NodeJoined{.node = decode_node(in)};
    case 1:
      return decode_node_state(in);
    case 2:
      return decode_card_health(in);
    case 3:
      return JobSubmitted{.job = decode_request(in)};
    case 4:
      return JobCancelled{.job = {in.raw().varint()}};
    case 5:
      return GangReady{.attempt = decode_attempt(in)};
    case 6:
      return GangStarted{.attempt = decode_attempt(in)};
    case 7:
      return decode_task_exited(in);
    case 8:
      return GangGone{.attempt = decode_attempt(in)};
    case 9:
      return CheckpointReached{.attempt = decode_attempt(in)};
    case 10:
      return QueueChanged{.queue = decode_queue(in)};
    case 11:
      return Tick{};
    case 12:
      return ReservationMade{.reservation = decode_reservation(in)};
    case 13:
      return ReservationCancelled{.name = in.text()};
    case 14:
      return PolicyChanged{.policy = decode_policy(in)};
    default:
      return decode_tasks_gone(in);
  }
}

struct DecisionWriter {
  BinaryWriter& out;

  void operator()(const Place& d) const {
    encode_attempt(out, d.attempt);
    encode(out, d.placement);
    out.text(d.reason);
    out.boolean(d.yields);
  }
  void operator()(const Stop& d) const {
    encode_attempt(out, d.attempt);
    out.varint(static_cast<std::uint64_t>(d.reason));
    out.text(d.detail);
  }
  void operator()(const Requeue& d) const {
    out.varint(d.job.value);
    out.varint(static_cast<std::uint64_t>(d.because));
    out.zigzag(d.not_before_ms);
    out.zigzag(d.hold_until_ms);
    encode(out, d.held);
    out.varint(d.gang_tasks);
    encode_nodes(out, d.excluded);
  }
  void operator()(const Finish& d) const {
    out.varint(d.job.value);
    out.varint(static_cast<std::uint64_t>(d.state));
    out.varint(static_cast<std::uint64_t>(d.exit_class));
    out.zigzag(d.exit_code);
    out.text(d.reason);
  }
  void operator()(const Refuse& d) const {
    out.varint(d.job.value);
    out.varint(static_cast<std::uint64_t>(d.code));
    out.text(d.reason);
  }
  void operator()(const Block& d) const {
    out.varint(d.job.value);
    out.boolean(d.is_blocked);
    out.text(d.reason);
  }
  void operator()(const Claim& d) const {
    out.varint(d.job.value);
    encode(out, d.placement);
    out.zigzag(d.until_ms);
    out.text(d.reason);
  }
  void operator()(const EndHold& d) const { out.varint(d.job.value); }
  void operator()(const Reserve& d) const {
    out.varint(d.job.value);
    encode_nodes(out, d.nodes);
    out.varint(d.level);
    out.zigzag(d.start_ms);
    out.varint(d.slips);
  }
  void operator()(const Extend& d) const {
    encode_attempt(out, d.attempt);
    encode(out, d.added);
    out.text(d.reason);
  }
  void operator()(const Shrink& d) const {
    encode_attempt(out, d.attempt);
    out.varint(d.kept);
    out.text(d.reason);
  }
};

Place decode_place(FieldReader& in) {
  Place d;
  d.attempt = decode_attempt(in);
  d.placement = decode_placement(in);
  d.reason = in.text();
  d.yields = in.format() >= 4 && in.raw().boolean();
  return d;
}

Stop decode_stop(FieldReader& in) {
  Stop d;
  d.attempt = decode_attempt(in);
  d.reason = in.enumerator(StopReason::kMoved);
  d.detail = in.text();
  return d;
}

Requeue decode_requeue(FieldReader& in) {
  Requeue d;
  d.job = {in.raw().varint()};
  d.because = in.enumerator(model::ExitClass::kInfrastructure);
  d.not_before_ms = in.raw().zigzag();
  if (in.format() >= 3) {
    d.hold_until_ms = in.raw().zigzag();
    d.held = decode_placement(in);
    d.gang_tasks = in.number32();
    d.excluded = decode_nodes(in);
  }
  return d;
}

Finish decode_finish(FieldReader& in) {
  Finish d;
  d.job = {in.raw().varint()};
  d.state = in.enumerator(model::JobState::kCancelled);
  d.exit_class = in.enumerator(model::ExitClass::kInfrastructure);
  d.exit_code = in.signed32();
  d.reason = in.text();
  return d;
}

Refuse decode_refuse(FieldReader& in) {
  Refuse d;
  d.job = {in.raw().varint()};
  d.code = in.enumerator(ErrorCode::kInternal);
  d.reason = in.text();
  return d;
}

Block decode_block(FieldReader& in) {
  Block d;
  d.job = {in.raw().varint()};
  d.is_blocked = in.raw().boolean();
  d.reason = in.text();
  return d;
}

Claim decode_claim(FieldReader& in) {
  Claim d;
  d.job = {in.raw().varint()};
  d.placement = decode_placement(in);
  d.until_ms = in.raw().zigzag();
  d.reason = in.text();
  return d;
}

Reserve decode_reserve(FieldReader& in) {
  Reserve d;
  d.job = {in.raw().varint()};
  d.nodes = decode_nodes(in);
  d.level = in.number32();
  d.start_ms = in.raw().zigzag();
  d.slips = in.number32();
  return d;
}

Extend decode_extend(FieldReader& in) {
  Extend d;
  d.attempt = decode_attempt(in);
  d.added = decode_placement(in);
  d.reason = in.text();
  return d;
}

Shrink decode_shrink(FieldReader& in) {
  Shrink d;
  d.attempt = decode_attempt(in);
  d.kept = in.number32();
  d.reason = in.text();
  return d;
}

}  // namespace

void encode(BinaryWriter& out, const Booking* booking) {
  out.boolean(booking != nullptr);
  if (booking != nullptr) {
    encode_nodes(out, booking->nodes);
    out.varint(booking->level);
    out.zigzag(booking->start_ms);
    out.varint(booking->slips);
  }
}

std::shared_ptr<const Booking> decode_booking(FieldReader& in) {
  if (!in.raw().boolean()) {
    return nullptr;
  }
  Booking booking;
  booking.nodes = decode_nodes(in);
  booking.level = in.number32();
  booking.start_ms = in.raw().zigzag();
  booking.slips = in.number32();
  return std::make_shared<const Booking>(std::move(booking));
}

void encode(BinaryWriter& out, const RunTimes& times) {
  for (const std::vector<std::uint32_t>* values : {&times.permille, &times.seconds}) {
    out.varint(values->size());
    for (const std::uint32_t value : *values) {
      out.varint(value);
    }
  }
}

RunTimes decode_run_times(FieldReader& in) {
  RunTimes times;
  for (std::vector<std::uint32_t>* values : {&times.permille, &times.seconds}) {
    for (std::size_t left = in.raw().count(); left > 0 && in.ok(); --left) {
      values->push_back(in.number32());
    }
  }
  return times;
}

void encode(BinaryWriter& out, const Event& event) {
  out.zigzag(event.time_ms);
  out.varint(event.body.index());
  std::visit(EventWriter{out}, event.body);
  out.text(event.actor);
  out.text(event.request_id);
}

Event decode_event(FieldReader& in) {
  Event event;
  event.time_ms = in.raw().zigzag();
  event.body = decode_body(in);
  event.actor = in.text();
  event.request_id = in.text();
  return event;
}

void encode(BinaryWriter& out, const Decision& decision) {
  out.varint(decision.index());
  std::visit(DecisionWriter{out}, decision);
}

Decision decode_decision(FieldReader& in) {
  switch (in.bounded(std::variant_size_v<Decision> - 1)) {
    case 0:
      return decode_place(in);
    case 1:
      return decode_stop(in);
    case 2:
      return decode_requeue(in);
    case 3:
      return decode_finish(in);
    case 4:
      return decode_refuse(in);
    case 5:
      return decode_block(in);
    case 6:
      return decode_claim(in);
    case 7:
      return EndHold{.job = {in.raw().varint()}};
    case 8:
      return decode_reserve(in);
    case 9:
      return decode_extend(in);
    default:
      return decode_shrink(in);
  }
}

}  // namespace busbar::sched::internal
