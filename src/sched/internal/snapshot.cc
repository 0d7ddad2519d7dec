#include "sched/internal/snapshot.h"

#include <algorithm>
#include <set>

#include <fmt/format.h>

#include "sched/internal/codec.h"
#include "sched/internal/step.h"
#include "sched/internal/submission.h"
#include "sched/place/free_part.h"

namespace busbar::sched::internal {
namespace {

constexpr std::string_view kMagic = "BBS1";

void encode_hold(BinaryWriter& out, const JobRecord& record) {
  out.varint(record.excluded.size());
  for (const model::NodeId node : record.excluded) {
    out.varint(node.value);
  }
  out.boolean(record.kept != nullptr);
  if (record.kept) {
    encode(out, record.kept->granted.placement);
    out.zigzag(record.kept->until_ms);
    out.varint(record.kept->gang_tasks);
  }
  encode(out, record.booking.get());
}

void decode_hold(FieldReader& in, JobRecord& record) {
  for (std::size_t left = in.raw().count(); left > 0 && in.ok(); --left) {
    record.excluded.push_back({in.raw().varint()});
  }
  if (in.raw().boolean()) {
    model::Placement held = decode_placement(in);
    const TimeMs until_ms = in.raw().zigzag();
    record.kept = make_kept(std::move(held), until_ms, in.number32());
  }
  record.booking = decode_booking(in);
}

void encode_record(BinaryWriter& out, const JobRecord& record) {
  encode(out, record.request());
  out.varint(static_cast<std::uint64_t>(record.state));
  out.zigzag(record.submitted_ms);
  out.zigzag(record.not_before_ms);
  out.varint(record.attempt);
  out.varint(record.counted_restarts);
  out.varint(record.infrastructure_in_row);
  out.boolean(record.is_cancelled);
  out.boolean(record.claim != nullptr);
  if (record.claim) {
    encode(out, record.claim->placement);
    out.text(record.claim->reason);
  }
  out.zigzag(record.claim_until_ms);
  out.zigzag(record.evicted_ms);
  out.zigzag(record.resized_ms);
  out.zigzag(record.served_ms);
  out.zigzag(record.saved_ms);
  encode_hold(out, record);
  out.boolean(record.granted != nullptr);
  if (record.granted) {
    encode(out, record.granted->placement);
    out.text(record.granted->reason);
  }
  out.boolean(record.yields);
  out.zigzag(record.placed_ms);
  out.zigzag(record.started_ms);
  out.boolean(record.is_ready);
  out.boolean(record.is_gone);
  out.boolean(record.has_succeeded);
  out.varint(record.exited.size());
  for (const std::uint8_t exited : record.exited) {
    out.u8(exited);
  }
  out.varint(record.staying);
  out.varint(record.stop.has_value() ? 1 + static_cast<std::uint64_t>(*record.stop) : 0);
  out.boolean(record.failure.has_value());
  if (record.failure.has_value()) {
    out.varint(record.failure->rank);
    out.varint(static_cast<std::uint64_t>(record.failure->exit_class));
    out.zigzag(record.failure->exit_code);
  }
  out.zigzag(record.stopped_code);
}

void decode_attempt_fields(FieldReader& in, JobRecord& record) {
  if (in.raw().boolean()) {
    model::Placement placement = decode_placement(in);
    record.granted = make_granted(std::move(placement), in.text());
  }
  record.yields = in.format() >= 4 && in.raw().boolean();
  record.placed_ms = in.raw().zigzag();
  record.started_ms = in.raw().zigzag();
  record.is_ready = in.raw().boolean();
  record.is_gone = in.raw().boolean();
  record.has_succeeded = in.raw().boolean();
  for (std::size_t left = in.raw().count(); left > 0 && in.ok(); --left) {
    record.exited.push_back(in.raw().boolean() ? 1 : 0);
  }
  record.staying = in.format() >= 7 ? in.number32() : 0;
  const std::uint64_t stop = in.bounded(1 + static_cast<std::uint64_t>(StopReason::kMoved));
  if (stop > 0) {
    record.stop = static_cast<StopReason>(stop - 1);
  }
  if (in.raw().boolean()) {
    Failure failure;
    failure.rank = in.number32();
    failure.exit_class = in.enumerator(model::ExitClass::kInfrastructure);
    failure.exit_code = in.signed32();
    record.failure = failure;
  }
  record.stopped_code = in.signed32();
}

void decode_claim_fields(FieldReader& in, JobRecord& record) {
  if (in.raw().boolean()) {
    model::Placement placement = decode_placement(in);
    record.claim = make_granted(std::move(placement), in.text());
  }
  record.claim_until_ms = in.raw().zigzag();
  record.evicted_ms = in.raw().zigzag();
  record.resized_ms = in.format() >= 6 ? in.raw().zigzag() : 0;
  record.served_ms = in.format() >= 6 ? in.raw().zigzag() : 0;
  record.saved_ms = in.raw().zigzag();
}

JobRecord decode_record(FieldReader& in) {
  JobRecord record;
  record.submitted = make_submitted(decode_request(in));
  record.state = in.enumerator(model::JobState::kStopping);
  record.submitted_ms = in.raw().zigzag();
  record.not_before_ms = in.raw().zigzag();
  record.attempt = in.number32();
  record.counted_restarts = in.number32();
  record.infrastructure_in_row = in.number32();
  record.is_cancelled = in.raw().boolean();
  if (in.format() >= 2) {
    decode_claim_fields(in, record);
  }
  if (in.format() >= 3) {
    decode_hold(in, record);
  }
  decode_attempt_fields(in, record);
  return record;
}

using Histories = std::vector<std::pair<std::string, fairshare::History>>;

// Far more than any cluster uses; what is added later must not overflow.
bool is_sane(const fairshare::History& history, const State& state) {
  return history.settled >> 120 == 0 && history.open >> 90 == 0 && history.since_ms <= state.now_ms() &&
         fairshare::epoch_of(history.since_ms) == fairshare::epoch_of(state.now_ms());
}

Error corrupt(std::string what) {
  return {.code = ErrorCode::kDataCorrupt, .message = "snapshot is damaged: " + std::move(what)};
}

// Their order by name may put a queue before its parent, so the tree is checked as a whole.
Result<Histories> decode_queues(FieldReader& in, State& state) {
  Histories histories;
  std::vector<model::Queue> queues;
  for (std::size_t left = in.raw().count(); left > 0; --left) {
    queues.push_back(decode_queue(in));
    const std::string& name = queues.back().name;
    histories.emplace_back(name,
                           in.format() >= 2 ? decode_history(in) : fairshare::History{.since_ms = state.now_ms()});
    const bool is_in_order = queues.size() < 2 || queues[queues.size() - 2].name < name;
    if (!in.ok() || name.empty() || !is_in_order || !model::validate_amounts(queues.back()) ||
        !is_sane(histories.back().second, state)) {
      return tl::unexpected(corrupt("a queue"));
    }
  }
  if (!model::validate_tree(queues)) {
    return tl::unexpected(corrupt("its queues"));
  }
  state.put_queues(std::move(queues));
  return histories;
}

Result<void> decode_nodes(FieldReader& in, State& state) {
  for (std::size_t left = in.raw().count(); left > 0; --left) {
    Event joined = {.body = NodeJoined{.node = decode_node(in)}};
    if (!in.ok() || !check_event(state, joined)) {
      return tl::unexpected(corrupt("a node"));
    }
    state.put_node(std::move(std::get<NodeJoined>(joined.body).node));
  }
  return {};
}

Result<void> decode_reservations(FieldReader& in, State& state) {
  for (std::size_t left = in.format() >= 3 ? in.raw().count() : 0; left > 0; --left) {
    Event made = {.body = ReservationMade{.reservation = decode_reservation(in)}};
    if (!in.ok() || !check_event(state, made)) {
      return tl::unexpected(corrupt("a reservation"));
    }
    state.put_reservation(std::move(std::get<ReservationMade>(made.body).reservation));
  }
  return {};
}

bool makes_sense(const State& state, const JobRecord& record) {
  const JobRequest& request = record.request();
  if (!request.id.is_valid() || state.jobs().contains(request.id) || !state.queues().contains(request.queue) ||
      !wrong_fields(request).empty() || !is_sane_time(record.submitted_ms) || !is_sane_time(record.not_before_ms) ||
      !is_sane_time(record.placed_ms) || !is_sane_time(record.started_ms) || !is_sane_time(record.claim_until_ms) ||
      !is_sane_time(record.evicted_ms) || !is_sane_time(record.resized_ms) || !is_sane_time(record.served_ms) ||
      record.served_ms < 0 || !is_sane_time(record.saved_ms)) {
    return false;
  }
  const bool can_claim = record.state == model::JobState::kQueued || record.granted != nullptr;
  if (record.claim && (!can_claim || record.claim->placement.tasks.empty() ||
                       !place::exists_on(state.free_map(), record.claim->placement))) {
    return false;
  }
  const bool is_queued = record.state == model::JobState::kQueued;
  const bool can_hold = record.kept == nullptr ||
                        (is_queued && is_sane_time(record.kept->until_ms) && holds_ranks_of_a_gang(*record.kept) &&
                         state.free_map().can_claim(record.kept->granted.placement));
  const bool can_book = record.booking == nullptr || (is_queued && is_possible(state, *record.booking));
  const bool can_yield = !record.yields || (request.is_preemptible && record.occupied() != nullptr);
  if (!can_hold || !can_book || !can_yield) {
    return false;
  }
  if (record.granted == nullptr) {
    return (record.is_waiting() || record.is_gone) && record.staying == 0;
  }
  const auto& tasks = record.granted->placement.tasks;
  for (std::size_t i = 0; i < tasks.size(); ++i) {
    if (tasks[i].rank != i) {
      return false;
    }
  }
  return !record.is_waiting() && !tasks.empty() && record.exited.size() == tasks.size() &&
         record.staying < tasks.size() && state.free_map().can_claim(record.granted->placement);
}

bool waits_for_one_of(const JobRecord& record, const std::set<model::JobId>& jobs) {
  const auto& after = record.request().after;
  return std::any_of(after.begin(), after.end(),
                     [&](const JobRequest::Dependency& dependency) { return jobs.contains(dependency.job); });
}

// A job is indexed by what it still waits for, so those go first; a sweep that places nothing has found a circle.
Result<void> put_in_order(State& state, std::vector<JobRecord> records) {
  std::vector<JobRecord> claimed;
  std::set<model::JobId> missing;
  for (const JobRecord& record : records) {
    missing.insert(record.id());
  }
  while (!records.empty()) {
    std::vector<JobRecord> later;
    for (JobRecord& record : records) {
      const model::JobId id = record.id();
      if (waits_for_one_of(record, missing)) {
        later.push_back(std::move(record));
        continue;
      }
      if (!makes_sense(state, record)) {
        return tl::unexpected(corrupt(fmt::format("job {}", id.value)));
      }
      // What is claimed is still held by others, so claims come after everybody's cards.
      if (record.claim) {
        claimed.push_back(record);
        record.claim.reset();
      }
      state.put_job(std::move(record));
      missing.erase(id);
    }
    if (later.size() == records.size()) {
      return tl::unexpected(corrupt("jobs wait for each other"));
    }
    records = std::move(later);
  }
  for (JobRecord& record : claimed) {
    state.put_job(std::move(record));
  }
  return {};
}

Result<void> decode_jobs(FieldReader& in, State& state) {
  std::vector<JobRecord> records;
  for (std::size_t left = in.raw().count(); left > 0; --left) {
    records.push_back(decode_record(in));
    if (!in.ok()) {
      return tl::unexpected(corrupt("a job"));
    }
  }
  return put_in_order(state, std::move(records));
}

}  // namespace

std::string encode_snapshot(const State& state) {
  BinaryWriter out;
  for (const char byte : kMagic) {
    out.u8(static_cast<std::uint8_t>(byte));
  }
  out.u32(kFormatVersion);
  encode(out, state.policy());
  out.zigzag(state.now_ms());
  out.varint(state.nodes().size());
  for (const auto& [id, entry] : state.nodes()) {
    encode(out, *entry.node);
  }
  out.varint(state.queues().size());
  for (const auto& [name, entry] : state.queues()) {
    encode(out, entry.queue);
    encode(out, entry.account.history);
  }
  out.varint(state.reservations().size());
  for (const auto& [name, entry] : state.reservations()) {
    encode(out, *entry.reservation);
  }
  out.varint(state.jobs().size());
  for (const auto& [id, record] : state.jobs()) {
    encode_record(out, record);
  }
  out.varint(state.run_times().size());
  for (const auto& [queue, times] : state.run_times()) {
    out.text(queue);
    encode(out, times);
  }
  encode(out, state.experience());
  encode(out, state.habits());
  out.varint(state.finished_count());
  out.zigzag(state.moves().hour);
  out.varint(state.moves().count);
  out.varint(state.outcome_order().size());
  for (const auto& [sequence, id] : state.outcome_order()) {
    out.varint(sequence);
    out.varint(id.value);
    out.boolean(state.outcomes().find(id)->is_success);
  }
  out.u64(state.hash());
  return out.take();
}

Result<State> decode_snapshot(std::string_view bytes) {
  if (!bytes.starts_with(kMagic)) {
    return tl::unexpected(corrupt("it does not begin with BBS1"));
  }
  FieldReader in(bytes.substr(kMagic.size()));
  const std::uint32_t format = in.raw().u32();
  if (in.ok() && (format < 1 || format > kFormatVersion)) {
    return make_error(ErrorCode::kUnsupported,
                      fmt::format("snapshot of format {}; this build reads 1 to {}", format, kFormatVersion));
  }
  in.set_format(format);
  if (format == 1) {
    in.raw().u32();  // A version of the policy, which the format covers since.
  }
  const Policy policy = decode_policy(in);
  const TimeMs now_ms = in.raw().zigzag();
  if (!in.ok() || !is_sane(policy) || !is_sane_time(now_ms) || now_ms < 0) {
    return tl::unexpected(corrupt("its policy or time"));
  }
  State state(policy);
  state.set_now(now_ms);
  TRY(decode_nodes(in, state));
  TRY_ASSIGN(const Histories histories, decode_queues(in, state));
  TRY(decode_reservations(in, state));
  TRY(decode_jobs(in, state));
  for (const auto& [queue, history] : histories) {
    state.restore_history(queue, history);
  }
  for (std::size_t left = in.format() >= 3 ? in.raw().count() : 0; left > 0 && in.ok(); --left) {
    std::string queue = in.text();
    state.put_run_times(queue, decode_run_times(in));
  }
  state.restore_experience(decode_experience(in));
  state.restore_habits(decode_habits(in));
  state.restore_finished_count(in.raw().varint());
  if (in.format() >= 6) {
    const std::int64_t hour = in.raw().zigzag();
    state.restore_moves({.hour = hour, .count = in.number32()});
  }
  for (std::size_t left = in.raw().count(); left > 0 && in.ok(); --left) {
    const std::uint64_t sequence = in.raw().varint();
    const model::JobId id = {in.raw().varint()};
    state.restore_outcome(id, {.is_success = in.raw().boolean(), .sequence = sequence});
  }
  const std::uint64_t hash = in.raw().u64();
  if (!in.ok() || !in.at_end()) {
    return tl::unexpected(corrupt("it is cut off or too long"));
  }
  if (format == kFormatVersion && hash != state.hash()) {
    return tl::unexpected(corrupt("its hash does not match"));
  }
  return state;
}

}  // namespace busbar::sched::internal
