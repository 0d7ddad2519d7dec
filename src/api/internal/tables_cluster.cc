#include <algorithm>
#include <array>

#include "api/internal/tables.h"

namespace busbar::api::internal {

namespace {

// What a request and an answer about a queue have in common.
template <class T>
constexpr auto queue_fields() {
  return std::array{
      optional_field<&T::parent>("parent", "The queue above; empty: at the top."),
      optional_field<&T::guarantee_milli_cards>(
          "guarantee_milli_cards",
          "Of all cards, what its jobs get back from queues that borrow. Negative: none is given."),
      optional_field<&T::guarantee_by_chip>("guarantee_by_chip", "The same of single chips, in milli-cards."),
      optional_field<&T::limit_milli_cards>("limit_milli_cards", "Negative: no limit."),
      optional_field<&T::limit_by_chip>("limit_by_chip", "Of single chips, in milli-cards."),
      optional_field<&T::weight>("weight", "Its share beside its siblings', from 1."),
      optional_field<&T::weight_by_chip>("weight_by_chip", "Of single chips."),
      optional_field<&T::priority>("priority", "Siblings of higher priority are served first."),
      optional_field<&T::reclaim_bound_ms>("reclaim_bound_ms",
                                           "The longest min_run_time of its jobs, and grace when they are evicted."),
      optional_field<&T::enforce>("enforce", "later, or now: jobs above a lowered limit are evicted at once.")};
}

template <std::size_t... kSizes>
constexpr auto joined(const std::array<Field, kSizes>&... parts) {
  std::array<Field, (kSizes + ...)> all = {};
  auto next = all.begin();
  ((next = std::copy(parts.begin(), parts.end(), next)), ...);
  return all;
}

}  // namespace

template <>
const ObjectTable& table_of<CardStatus>() {
  static constexpr Field kFields[] = {
      field<&CardStatus::index>("index", "Place on the node."),
      field<&CardStatus::node>("node", ""),
      field<&CardStatus::chip>("chip", "In the chip catalogue; cpu for CPU cards."),
      field<&CardStatus::device>("device", "cpu:3, pci:0000:3b:00.0."),
      field<&CardStatus::health>("health", "healthy or unhealthy."),
      field<&CardStatus::used_milli>("used_milli", "1000: in use as a whole."),
      field<&CardStatus::jobs>("jobs", ""),
      field<&CardStatus::memory_bytes>("memory_bytes", ""),
      field<&CardStatus::numa_node>("numa_node", "-1: unknown."),
      field<&CardStatus::link_group>("link_group", "Cards of one node and group talk to each other fastest."),
      field<&CardStatus::health_detail>("health_detail", "Why it is unhealthy.")};
  static constexpr ObjectTable kTable = {
      .name = "CardStatus", .text = "One schedulable accelerator.", .fields = kFields};
  return kTable;
}

template <>
const ObjectTable& table_of<NodeStatus>() {
  static constexpr Field kFields[] = {field<&NodeStatus::id>("id", ""),
                                      field<&NodeStatus::name>("name", ""),
                                      field<&NodeStatus::state>("state", "ready, drained, unreachable or failed."),
                                      field<&NodeStatus::milli_cpus>("milli_cpus", "1000: one logical CPU."),
                                      field<&NodeStatus::memory_bytes>("memory_bytes", ""),
                                      field<&NodeStatus::cards>("cards", ""),
                                      field<&NodeStatus::labels>("labels", ""),
                                      field<&NodeStatus::fabric>("fabric", "From the leaf switch upwards."),
                                      field<&NodeStatus::running_tasks>("running_tasks", "")};
  static constexpr ObjectTable kTable = {.name = "NodeStatus", .text = "A machine with cards.", .fields = kFields};
  return kTable;
}

template <>
const ObjectTable& table_of<NodeList>() {
  static constexpr Field kFields[] = {field<&NodeList::nodes>("nodes", "")};
  static constexpr ObjectTable kTable = {.name = "NodeList", .text = "All nodes, by name.", .fields = kFields};
  return kTable;
}

template <>
const ObjectTable& table_of<CardList>() {
  static constexpr Field kFields[] = {field<&CardList::cards>("cards", "")};
  static constexpr ObjectTable kTable = {
      .name = "CardList", .text = "All cards, by node and index.", .fields = kFields};
  return kTable;
}

template <>
const ObjectTable& table_of<QueueRequest>() {
  static constexpr auto kFields = queue_fields<QueueRequest>();
  static constexpr ObjectTable kTable = {.name = "QueueRequest", .text = "What a queue shall be.", .fields = kFields};
  return kTable;
}

template <>
const ObjectTable& table_of<QueueStatus>() {
  static constexpr auto kFields = joined(
      std::array{field<&QueueStatus::name>("name", "")}, queue_fields<QueueStatus>(),
      std::array{field<&QueueStatus::used_milli_cards>("used_milli_cards", "With the queues below it."),
                 field<&QueueStatus::used_by_chip>("used_by_chip", ""),
                 field<&QueueStatus::borrowed_milli_cards>("borrowed_milli_cards", "What others could get back."),
                 field<&QueueStatus::share_ppm>(
                     "share_ppm", "Its largest part of the cluster's cards of one chip, by weight, in millionths."),
                 field<&QueueStatus::past_share_ppm>("past_share_ppm", "The faded mean of what it used."),
                 field<&QueueStatus::running_jobs>("running_jobs", "Those that hold cards."),
                 field<&QueueStatus::queued_jobs>("queued_jobs", "Those that wait or are blocked.")});
  static constexpr ObjectTable kTable = {
      .name = "QueueStatus", .text = "A tenant's place in the quota tree.", .fields = kFields};
  return kTable;
}

template <>
const ObjectTable& table_of<QueueList>() {
  static constexpr Field kFields[] = {field<&QueueList::queues>("queues", "")};
  static constexpr ObjectTable kTable = {.name = "QueueList", .text = "All queues, by name.", .fields = kFields};
  return kTable;
}

template <>
const ObjectTable& table_of<QueueDiffRequest>() {
  static constexpr Field kFields[] = {
      field<&QueueDiffRequest::file>("file", "Text of a server configuration; its [[queues]] count."),
      optional_field<&QueueDiffRequest::file_name>("file_name", "For messages only.")};
  static constexpr ObjectTable kTable = {
      .name = "QueueDiffRequest", .text = "Queues to try on a copy of the state.", .fields = kFields};
  return kTable;
}

template <>
const ObjectTable& table_of<JobChange>() {
  static constexpr Field kFields[] = {
      field<&JobChange::job>("job", ""), field<&JobChange::name>("name", ""), field<&JobChange::queue>("queue", ""),
      field<&JobChange::change>("change", "starts, stops, claims, blocked or unblocked."),
      field<&JobChange::text>("text", "Why.")};
  static constexpr ObjectTable kTable = {.name = "JobChange", .text = "What would happen to a job.", .fields = kFields};
  return kTable;
}

template <>
const ObjectTable& table_of<QueueDiff>() {
  static constexpr Field kFields[] = {field<&QueueDiff::jobs>("jobs", "In the order of events."),
                                      field<&QueueDiff::before>("before", ""), field<&QueueDiff::after>("after", "")};
  static constexpr ObjectTable kTable = {
      .name = "QueueDiff", .text = "What other queues would change at once.", .fields = kFields};
  return kTable;
}

template <>
const ObjectTable& table_of<UsageRow>() {
  static constexpr Field kFields[] = {
      field<&UsageRow::queue>("queue", "Empty in sums by user."),
      field<&UsageRow::user>("user", "Empty in sums by queue."),
      field<&UsageRow::job>("job", "0 in sums."),
      field<&UsageRow::name>("name", "Of the job."),
      field<&UsageRow::jobs>("jobs", "How many are in it."),
      field<&UsageRow::allocated_milli_card_ms>("allocated_milli_card_ms", "From placement to the end."),
      field<&UsageRow::busy_milli_card_ms>("busy_milli_card_ms", "Of that, computing and saving checkpoints."),
      field<&UsageRow::lost_milli_card_ms>("lost_milli_card_ms", "Of that, not saved when an attempt ended.")};
  static constexpr ObjectTable kTable = {.name = "UsageRow",
                                         .text = "Card time of whole jobs, in thousandths of a card x milliseconds.",
                                         .fields = kFields};
  return kTable;
}

template <>
const ObjectTable& table_of<UsageList>() {
  static constexpr Field kFields[] = {field<&UsageList::rows>("rows", "")};
  static constexpr ObjectTable kTable = {
      .name = "UsageList", .text = "Card time by queue, user or job; most first.", .fields = kFields};
  return kTable;
}

template <>
const ObjectTable& table_of<ReservationRequest>() {
  static constexpr Field kFields[] = {
      field<&ReservationRequest::name>("name", "One that exists is replaced."),
      field<&ReservationRequest::nodes>("nodes", "Names of nodes."),
      optional_field<&ReservationRequest::from_ms>("from_ms", "0, or past: from now on."),
      field<&ReservationRequest::duration_ms>("duration_ms", ""),
      optional_field<&ReservationRequest::users>("users", "Whose jobs may use the nodes."),
      optional_field<&ReservationRequest::queues>("queues", "Jobs of these may use them too; with no users: nobody.")};
  static constexpr ObjectTable kTable = {.name = "ReservationRequest",
                                         .text = "Nodes to keep free for some jobs, or for none, during a window.",
                                         .fields = kFields};
  return kTable;
}

template <>
const ObjectTable& table_of<ReservationStatus>() {
  static constexpr Field kFields[] = {
      field<&ReservationStatus::name>("name", ""),
      field<&ReservationStatus::nodes>("nodes", ""),
      field<&ReservationStatus::from_ms>("from_ms", ""),
      field<&ReservationStatus::until_ms>("until_ms", "The first moment after it."),
      field<&ReservationStatus::users>("users", ""),
      field<&ReservationStatus::queues>("queues", ""),
      field<&ReservationStatus::is_active>("is_active", "Its window has begun."),
      field<&ReservationStatus::jobs_in_the_way>(
          "jobs_in_the_way", "On its nodes, not admitted, and not sure to have ended before; they are left alone.")};
  static constexpr ObjectTable kTable = {.name = "ReservationStatus",
                                         .text = "A reservation; it goes by itself when its window is over.",
                                         .fields = kFields};
  return kTable;
}

template <>
const ObjectTable& table_of<ReservationList>() {
  static constexpr Field kFields[] = {field<&ReservationList::reservations>("reservations", "")};
  static constexpr ObjectTable kTable = {
      .name = "ReservationList", .text = "Reservations that are not over, by name.", .fields = kFields};
  return kTable;
}

template <>
const ObjectTable& table_of<EventStatus>() {
  static constexpr Field kFields[] = {field<&EventStatus::id>("id", "Ascending."),
                                      field<&EventStatus::time_ms>("time_ms", ""),
                                      field<&EventStatus::job>("job", "0: about no job."),
                                      field<&EventStatus::kind>("kind", ""), field<&EventStatus::text>("text", "")};
  static constexpr ObjectTable kTable = {
      .name = "EventStatus", .text = "One line of the users' event log.", .fields = kFields};
  return kTable;
}

template <>
const ObjectTable& table_of<EventList>() {
  static constexpr Field kFields[] = {field<&EventList::events>("events", "")};
  static constexpr ObjectTable kTable = {.name = "EventList", .text = "Events, oldest first.", .fields = kFields};
  return kTable;
}

template <>
const ObjectTable& table_of<KeyRequest>() {
  static constexpr Field kFields[] = {
      field<&KeyRequest::name>("name", "For people; unique among a tenant's keys."),
      optional_field<&KeyRequest::tenant>("tenant", "Whose limits and share it counts to; yours if absent."),
      optional_field<&KeyRequest::services>("services", "That it may call; all that let its tenant in if absent."),
      optional_field<&KeyRequest::requests>("requests", "A rate like 10/s; no bound of its own if absent."),
      optional_field<&KeyRequest::tokens>("tokens", "Of language models, like 50000/m.")};
  static constexpr ObjectTable kTable = {.name = "KeyRequest", .text = "A key that shall be made.", .fields = kFields};
  return kTable;
}

template <>
const ObjectTable& table_of<KeyStatus>() {
  static constexpr Field kFields[] = {
      field<&KeyStatus::id>("id", "Stands in the gateway's metrics and log."),
      field<&KeyStatus::name>("name", ""),
      field<&KeyStatus::user>("user", "Who made it."),
      field<&KeyStatus::tenant>("tenant", ""),
      field<&KeyStatus::services>("services", "Empty: all that let its tenant in."),
      optional_field<&KeyStatus::requests>("requests", ""),
      optional_field<&KeyStatus::tokens>("tokens", ""),
      field<&KeyStatus::created_ms>("created_ms", ""),
      optional_field<&KeyStatus::key>("key", "Its text; only in the answer to its making, and kept nowhere.")};
  static constexpr ObjectTable kTable = {
      .name = "KeyStatus", .text = "A key of a caller of services.", .fields = kFields};
  return kTable;
}

template <>
const ObjectTable& table_of<KeyList>() {
  static constexpr Field kFields[] = {field<&KeyList::keys>("keys", "")};
  static constexpr ObjectTable kTable = {.name = "KeyList", .text = "All keys, by tenant and name.", .fields = kFields};
  return kTable;
}

template <>
const ObjectTable& table_of<TenantRequest>() {
  static constexpr Field kFields[] = {
      optional_field<&TenantRequest::weight>("weight", "Share of a service that has not enough for all; 1 if absent."),
      optional_field<&TenantRequest::requests>("requests", "A rate like 100/s; no bound if absent."),
      optional_field<&TenantRequest::tokens>("tokens", "Of language models, like 1000000/m.")};
  static constexpr ObjectTable kTable = {
      .name = "TenantRequest", .text = "What a tenant's keys may use together.", .fields = kFields};
  return kTable;
}

template <>
const ObjectTable& table_of<TenantStatus>() {
  static constexpr Field kFields[] = {
      field<&TenantStatus::name>("name", ""), field<&TenantStatus::weight>("weight", ""),
      optional_field<&TenantStatus::requests>("requests", ""), optional_field<&TenantStatus::tokens>("tokens", ""),
      field<&TenantStatus::keys>("keys", "How many.")};
  static constexpr ObjectTable kTable = {.name = "TenantStatus", .text = "A tenant of services.", .fields = kFields};
  return kTable;
}

template <>
const ObjectTable& table_of<TenantList>() {
  static constexpr Field kFields[] = {field<&TenantList::tenants>("tenants", "")};
  static constexpr ObjectTable kTable = {
      .name = "TenantList", .text = "Tenants that are described or that keys name.", .fields = kFields};
  return kTable;
}

template <>
const ObjectTable& table_of<SecretStatus>() {
  static constexpr Field kFields[] = {field<&SecretStatus::name>("name", ""),
                                      field<&SecretStatus::changed_ms>("changed_ms", "")};
  static constexpr ObjectTable kTable = {
      .name = "SecretStatus", .text = "A secret without its value, which no answer ever holds.", .fields = kFields};
  return kTable;
}

template <>
const ObjectTable& table_of<SecretList>() {
  static constexpr Field kFields[] = {field<&SecretList::secrets>("secrets", "")};
  static constexpr ObjectTable kTable = {.name = "SecretList", .text = "All secrets, by name.", .fields = kFields};
  return kTable;
}

template <>
const ObjectTable& table_of<ServerStatus::Capability>() {
  static constexpr Field kFields[] = {
      field<&ServerStatus::Capability::name>("name", ""),
      field<&ServerStatus::Capability::is_available>("available", ""),
      field<&ServerStatus::Capability::detail>("detail", "How, or why not and what to do.")};
  static constexpr ObjectTable kTable = {
      .name = "Capability", .text = "Something that the engine can or cannot do here.", .fields = kFields};
  return kTable;
}

template <>
const ObjectTable& table_of<ServerStatus>() {
  static constexpr Field kFields[] = {
      field<&ServerStatus::version>("version", ""),
      field<&ServerStatus::build_id>("build_id", ""),
      field<&ServerStatus::started_ms>("started_ms", ""),
      field<&ServerStatus::journal_sequence>("journal_sequence", "The last step of the journal."),
      field<&ServerStatus::state_hash>("state_hash", "Of the scheduling core after it, hexadecimal."),
      field<&ServerStatus::runtime>("runtime", "The container runtime in use."),
      field<&ServerStatus::capabilities>("capabilities", "")};
  static constexpr ObjectTable kTable = {.name = "ServerStatus", .text = "The server itself.", .fields = kFields};
  return kTable;
}

}  // namespace busbar::api::internal
