#pragma once

#include <tuple>

#include "api/internal/fields.h"
#include "api/types.h"

/// The field tables of every type in types.h. A new field is one line here; a new type also joins `AllTypes`.
namespace busbar::api::internal {

template <>
struct Table<Diagnostic> {
  static constexpr std::string_view kName = "Diagnostic";
  static constexpr std::string_view kText = "One thing wrong with a job file.";
  static constexpr auto kFields =
      std::tuple(field("line", &Diagnostic::line, "From 1; 0: not from the file."),
                 field("column", &Diagnostic::column, "From 1; 0: unknown."),
                 field("field", &Diagnostic::field, "For example resources.cpus."),
                 field("message", &Diagnostic::message, "What is wrong, with the allowed values."),
                 field("hint", &Diagnostic::hint, "What to do; may be empty."),
                 optional_field("warning", &Diagnostic::is_warning, "True: the job was accepted all the same."));
};

template <>
struct Table<SubmitRequest> {
  static constexpr std::string_view kName = "SubmitRequest";
  static constexpr std::string_view kText = "A job to submit.";
  static constexpr auto kFields = std::tuple(
      field("file", &SubmitRequest::file, "Text of a job file (YAML or JSON), or of a script with #SBATCH lines."),
      optional_field("file_name", &SubmitRequest::file_name, "For messages only."),
      optional_field("overrides", &SubmitRequest::overrides,
                     "Changes to the file, in its own words: resources.cpus=4."),
      optional_field("default_workdir", &SubmitRequest::default_workdir,
                     "Absolute; used if the file has no workdir and the image is host."),
      optional_field("client_key", &SubmitRequest::client_key,
                     "Same key, same job: a repeated submit gives the first one's answer."),
      optional_field("dry_run", &SubmitRequest::is_dry_run, "Show what would run; submit nothing."),
      optional_field("may_wait_infeasible", &SubmitRequest::may_wait_infeasible,
                     "Accept a job that the cluster as declared could never run; it waits, blocked."),
      optional_field("terminal", &SubmitRequest::has_terminal, "Give each task a terminal."));
};

template <>
struct Table<TaskStatus> {
  static constexpr std::string_view kName = "TaskStatus";
  static constexpr std::string_view kText = "One container of an attempt.";
  static constexpr auto kFields =
      std::tuple(field("rank", &TaskStatus::rank, "Place in the gang's order, from 0."),
                 field("node", &TaskStatus::node, ""), field("cards", &TaskStatus::cards, "Indices on the node."),
                 field("state", &TaskStatus::state, "creating, created, running or ended."),
                 field("exit_code", &TaskStatus::exit_code, "128 + signal where a signal ended it."),
                 field("exit_class", &TaskStatus::exit_class, "Why it ended; empty before."),
                 field("detail", &TaskStatus::detail, ""));
};

template <>
struct Table<AttemptStatus> {
  static constexpr std::string_view kName = "AttemptStatus";
  static constexpr std::string_view kText = "One start of a job. Times are 0 until they are reached.";
  static constexpr auto kFields =
      std::tuple(field("number", &AttemptStatus::number, "From 1."),
                 field("placed_ms", &AttemptStatus::placed_ms, "Cards granted."),
                 field("image_ready_ms", &AttemptStatus::image_ready_ms, "Root file systems made."),
                 field("started_ms", &AttemptStatus::started_ms, "User code began."),
                 field("ended_ms", &AttemptStatus::ended_ms, ""), field("exit_class", &AttemptStatus::exit_class, ""),
                 field("reason", &AttemptStatus::reason, ""),
                 field("chip", &AttemptStatus::chip, "The chip granted; empty without cards."),
                 field("tasks", &AttemptStatus::tasks, "In rank order."));
};

template <>
struct Table<ProgressStatus> {
  static constexpr std::string_view kName = "ProgressStatus";
  static constexpr std::string_view kText = "What the job itself reports.";
  static constexpr auto kFields = std::tuple(
      field("step", &ProgressStatus::step, ""), field("total_steps", &ProgressStatus::total_steps, "0: unknown."),
      field("loss", &ProgressStatus::loss, ""), field("steps_per_second", &ProgressStatus::steps_per_second, ""),
      field("samples_per_second", &ProgressStatus::samples_per_second, ""),
      field("tokens_per_second", &ProgressStatus::tokens_per_second, ""), field("eta_ms", &ProgressStatus::eta_ms, ""),
      field("metrics", &ProgressStatus::metrics, "The last value of each metric."),
      field("last_checkpoint", &ProgressStatus::last_checkpoint, "Path."),
      field("message", &ProgressStatus::message, "The last one."));
};

template <>
struct Table<EfficiencyStatus> {
  static constexpr std::string_view kName = "EfficiencyStatus";
  static constexpr std::string_view kText =
      "Where the job's card time went: each card-millisecond is in exactly one bucket, in thousandths of a card.";
  static constexpr auto kFields =
      std::tuple(field("milli_card_ms", &EfficiencyStatus::milli_card_ms,
                       "By bucket: queue, image, start, compute, checkpoint, idle, lost."),
                 field("total_milli_card_ms", &EfficiencyStatus::total_milli_card_ms, "The exact sum of the buckets."),
                 field("mfu", &EfficiencyStatus::mfu, "Model FLOPs utilisation, 0 to 1."),
                 field("mfu_denominator", &EfficiencyStatus::mfu_denominator, "Which peak it is compared with."));
};

template <>
struct Table<JobStatus> {
  static constexpr std::string_view kName = "JobStatus";
  static constexpr std::string_view kText =
      "A job as users see it. Lists leave attempts, spec and log_paths empty. Times are 0 until they are reached.";
  static constexpr auto kFields = std::tuple(
      field("id", &JobStatus::id, ""), field("name", &JobStatus::name, ""), field("user", &JobStatus::user, ""),
      field("queue", &JobStatus::queue, ""), field("type", &JobStatus::type, "job, service or dev."),
      field("state", &JobStatus::state, ""), field("reason", &JobStatus::reason, "Why it waits, or how it ended."),
      field("priority", &JobStatus::priority, ""), field("nodes", &JobStatus::nodes, "Tasks of the gang."),
      field("cards", &JobStatus::cards, "For people: 8x8 H100."),
      field("milli_cards", &JobStatus::milli_cards, "All cards together; 1000 is one card."),
      field("submitted_ms", &JobStatus::submitted_ms, "Milliseconds since 1970 UTC, as all times."),
      field("started_ms", &JobStatus::started_ms, ""), field("ended_ms", &JobStatus::ended_ms, ""),
      field("attempt", &JobStatus::attempt, "Current or last; 0 before the first."),
      field("restarts", &JobStatus::restarts, ""),
      field("exit_class", &JobStatus::exit_class, "Empty until it is over."),
      field("exit_code", &JobStatus::exit_code, ""), field("node_names", &JobStatus::node_names, ""),
      field("array", &JobStatus::array, "Id of the array's first member; 0: no array."),
      field("array_index", &JobStatus::array_index, ""), field("progress", &JobStatus::progress, ""),
      field("efficiency", &JobStatus::efficiency, ""), field("attempts", &JobStatus::attempts, "Oldest first."),
      optional_field("spec", &JobStatus::spec, "The effective job: itself a valid job file."),
      field("log_paths", &JobStatus::log_paths, "On the server's machine."),
      field("files_deleted", &JobStatus::are_files_deleted,
            "The job is over, and its logs and files were deleted since (`keep_ended_jobs` and the like)."));
};

template <>
struct Table<ReplicaStatus> {
  static constexpr std::string_view kName = "ReplicaStatus";
  static constexpr std::string_view kText = "One replica of a service: a job of its own.";
  static constexpr auto kFields = std::tuple(
      field("name", &ReplicaStatus::name, "As in the route table; its job's name, and its attempt after the first."),
      field("job", &ReplicaStatus::job, ""), field("revision", &ReplicaStatus::revision, "That it runs."),
      field("state", &ReplicaStatus::state, "queued, blocked, starting, ready, unready, draining or stopping."),
      field("address", &ReplicaStatus::address, "Where it listens; empty: not known yet."),
      field("created_ms", &ReplicaStatus::created_ms, "When it was decided on."),
      field("ready_ms", &ReplicaStatus::ready_ms, "0: it is not yet."),
      field("running", &ReplicaStatus::running, "Requests that gateways have given it."),
      field("detail", &ReplicaStatus::detail, "What its health check last said, or why it waits."));
};

template <>
struct Table<ServiceStatus> {
  static constexpr std::string_view kName = "ServiceStatus";
  static constexpr std::string_view kText = "A service with its replicas.";
  static constexpr auto kFields = std::tuple(
      field("name", &ServiceStatus::name, ""), field("user", &ServiceStatus::user, "Who applied it last."),
      field("queue", &ServiceStatus::queue, ""),
      field("state", &ServiceStatus::state,
            "ready, idle (no replica wanted), starting, updating, failing or deleting."),
      field("revision", &ServiceStatus::revision, "That is wanted."),
      field("updating_from", &ServiceStatus::updating_from, "The revision that serves during an update; 0: none."),
      field("previous_revision", &ServiceStatus::previous_revision, "What a rollback goes back to; 0: nothing."),
      field("min_replicas", &ServiceStatus::min_replicas, ""), field("max_replicas", &ServiceStatus::max_replicas, ""),
      field("desired", &ServiceStatus::desired, "As many as the requests need."),
      field("ready", &ServiceStatus::ready, "Given requests."),
      field("target", &ServiceStatus::target, "Requests that one replica should have at once."),
      field("waiting", &ServiceStatus::waiting, "Requests that wait for a replica, in all gateways."),
      field("running", &ServiceStatus::running, "Requests that replicas have."),
      field("requests_per_second", &ServiceStatus::requests_per_second, "Mean of the last 30 s."),
      field("start_ms", &ServiceStatus::start_ms, "How long a replica takes to be ready; 0: not known."),
      field("failures", &ServiceStatus::failures, "Replicas in a row that ended soon after their start."),
      field("last_error", &ServiceStatus::last_error, ""), field("created_ms", &ServiceStatus::created_ms, ""),
      field("changed_ms", &ServiceStatus::changed_ms, "By a user."),
      field("url", &ServiceStatus::url, "Where it answers."), field("hosts", &ServiceStatus::hosts, ""),
      field("models", &ServiceStatus::models, ""), field("replicas", &ServiceStatus::replicas, "Oldest first."),
      optional_field("spec", &ServiceStatus::spec, "The effective job file; left out of lists."));
};

template <>
struct Table<ServiceList> {
  static constexpr std::string_view kName = "ServiceList";
  static constexpr std::string_view kText = "All services, by name.";
  static constexpr auto kFields = std::tuple(field("services", &ServiceList::services, ""));
};

template <>
struct Table<SubmitAnswer> {
  static constexpr std::string_view kName = "SubmitAnswer";
  static constexpr std::string_view kText =
      "The jobs that a submit made: one, or the members of an array; or the service.";
  static constexpr auto kFields =
      std::tuple(field("jobs", &SubmitAnswer::jobs, ""),
                 optional_field("service", &SubmitAnswer::service, "Of a job file of type service."),
                 field("warnings", &SubmitAnswer::warnings, ""),
                 field("repeated", &SubmitAnswer::is_repeated,
                       "The client key was known: these are the jobs of the first submit."),
                 optional_field("dry_run", &SubmitAnswer::dry_run,
                                "Dry run only: effective spec, launch environment and OCI configuration by rank."));
};

template <>
struct Table<JobList> {
  static constexpr std::string_view kName = "JobList";
  static constexpr std::string_view kText = "Jobs, newest first.";
  static constexpr auto kFields =
      std::tuple(field("jobs", &JobList::jobs, ""),
                 field("next_before", &JobList::next_before, "`before` of the next page; 0: no more."));
};

template <>
struct Table<ChangeStatus> {
  static constexpr std::string_view kName = "ChangeStatus";
  static constexpr std::string_view kText = "One change that would start the job now, tried on a copy of the state.";
  static constexpr auto kFields = std::tuple(
      field("kind", &ChangeStatus::kind,
            "fewer_nodes, other_chip, other_level, more_quota, jobs_ending, node_returned ..."),
      field("text", &ChangeStatus::text, ""), field("jobs", &ChangeStatus::jobs, "The jobs that the change is about."));
};

template <>
struct Table<WhyAnswer> {
  static constexpr std::string_view kName = "WhyAnswer";
  static constexpr std::string_view kText = "Why a job does not run.";
  static constexpr auto kFields =
      std::tuple(field("id", &WhyAnswer::id, ""), field("state", &WhyAnswer::state, ""),
                 field("constraint", &WhyAnswer::constraint,
                       "capacity, quota, priority, dependency, backoff, infeasible, array_limit, replacement or none."),
                 field("text", &WhyAnswer::text, "The binding constraint in a sentence."),
                 field("position", &WhyAnswer::position, "In the queue's order, from 1."),
                 field("changes", &WhyAnswer::changes, "Smallest first."));
};

template <>
struct Table<WhenAnswer> {
  static constexpr std::string_view kName = "WhenAnswer";
  static constexpr std::string_view kText = "When a waiting job starts, by trials of the future.";
  static constexpr auto kFields = std::tuple(
      field("id", &WhenAnswer::id, ""),
      field("p50_ms", &WhenAnswer::p50_ms, "Absent: in half of the trials it did not start."),
      field("p90_ms", &WhenAnswer::p90_ms, "Same for nine of ten."), field("trials", &WhenAnswer::trials, ""),
      field("starts", &WhenAnswer::starts, "Trials in which it started."),
      field("text", &WhenAnswer::text, "What the answer rests on."));
};

template <>
struct Table<CardStatus> {
  static constexpr std::string_view kName = "CardStatus";
  static constexpr std::string_view kText = "One schedulable accelerator.";
  static constexpr auto kFields = std::tuple(
      field("index", &CardStatus::index, "Place on the node."), field("node", &CardStatus::node, ""),
      field("chip", &CardStatus::chip, "In the chip catalogue; cpu for CPU cards."),
      field("device", &CardStatus::device, "cpu:3, pci:0000:3b:00.0."),
      field("health", &CardStatus::health, "healthy or unhealthy."),
      field("used_milli", &CardStatus::used_milli, "1000: in use as a whole."), field("jobs", &CardStatus::jobs, ""),
      field("memory_bytes", &CardStatus::memory_bytes, ""), field("numa_node", &CardStatus::numa_node, "-1: unknown."),
      field("link_group", &CardStatus::link_group, "Cards of one node and group talk to each other fastest."),
      field("health_detail", &CardStatus::health_detail, "Why it is unhealthy."));
};

template <>
struct Table<NodeStatus> {
  static constexpr std::string_view kName = "NodeStatus";
  static constexpr std::string_view kText = "A machine with cards.";
  static constexpr auto kFields = std::tuple(
      field("id", &NodeStatus::id, ""), field("name", &NodeStatus::name, ""),
      field("state", &NodeStatus::state, "ready, drained, unreachable or failed."),
      field("milli_cpus", &NodeStatus::milli_cpus, "1000: one logical CPU."),
      field("memory_bytes", &NodeStatus::memory_bytes, ""), field("cards", &NodeStatus::cards, ""),
      field("labels", &NodeStatus::labels, ""), field("fabric", &NodeStatus::fabric, "From the leaf switch upwards."),
      field("running_tasks", &NodeStatus::running_tasks, ""));
};

template <>
struct Table<NodeList> {
  static constexpr std::string_view kName = "NodeList";
  static constexpr std::string_view kText = "All nodes, by name.";
  static constexpr auto kFields = std::tuple(field("nodes", &NodeList::nodes, ""));
};

template <>
struct Table<CardList> {
  static constexpr std::string_view kName = "CardList";
  static constexpr std::string_view kText = "All cards, by node and index.";
  static constexpr auto kFields = std::tuple(field("cards", &CardList::cards, ""));
};

/// What a request and an answer about a queue have in common.
template <class T>
constexpr auto queue_fields() {
  return std::tuple(
      optional_field("parent", &T::parent, "The queue above; empty: at the top."),
      optional_field("guarantee_milli_cards", &T::guarantee_milli_cards,
                     "Of all cards, what its jobs get back from queues that borrow. Negative: none is given."),
      optional_field("guarantee_by_chip", &T::guarantee_by_chip, "The same of single chips, in milli-cards."),
      optional_field("limit_milli_cards", &T::limit_milli_cards, "Negative: no limit."),
      optional_field("limit_by_chip", &T::limit_by_chip, "Of single chips, in milli-cards."),
      optional_field("weight", &T::weight, "Its share beside its siblings', from 1."),
      optional_field("weight_by_chip", &T::weight_by_chip, "Of single chips."),
      optional_field("priority", &T::priority, "Siblings of higher priority are served first."),
      optional_field("reclaim_bound_ms", &T::reclaim_bound_ms,
                     "The longest min_run_time of its jobs, and grace when they are evicted."),
      optional_field("enforce", &T::enforce, "later, or now: jobs above a lowered limit are evicted at once."));
}

template <>
struct Table<QueueRequest> {
  static constexpr std::string_view kName = "QueueRequest";
  static constexpr std::string_view kText = "What a queue shall be.";
  static constexpr auto kFields = queue_fields<QueueRequest>();
};

template <>
struct Table<QueueStatus> {
  static constexpr std::string_view kName = "QueueStatus";
  static constexpr std::string_view kText = "A tenant's place in the quota tree.";
  static constexpr auto kFields = std::tuple_cat(
      std::tuple(field("name", &QueueStatus::name, "")), queue_fields<QueueStatus>(),
      std::tuple(field("used_milli_cards", &QueueStatus::used_milli_cards, "With the queues below it."),
                 field("used_by_chip", &QueueStatus::used_by_chip, ""),
                 field("borrowed_milli_cards", &QueueStatus::borrowed_milli_cards, "What others could get back."),
                 field("share_ppm", &QueueStatus::share_ppm,
                       "Its largest part of the cluster's cards of one chip, by weight, in millionths."),
                 field("past_share_ppm", &QueueStatus::past_share_ppm, "The faded mean of what it used."),
                 field("running_jobs", &QueueStatus::running_jobs, "Those that hold cards."),
                 field("queued_jobs", &QueueStatus::queued_jobs, "Those that wait or are blocked.")));
};

template <>
struct Table<QueueList> {
  static constexpr std::string_view kName = "QueueList";
  static constexpr std::string_view kText = "All queues, by name.";
  static constexpr auto kFields = std::tuple(field("queues", &QueueList::queues, ""));
};

template <>
struct Table<QueueDiffRequest> {
  static constexpr std::string_view kName = "QueueDiffRequest";
  static constexpr std::string_view kText = "Queues to try on a copy of the state.";
  static constexpr auto kFields =
      std::tuple(field("file", &QueueDiffRequest::file, "Text of a server configuration; its [[queues]] count."),
                 optional_field("file_name", &QueueDiffRequest::file_name, "For messages only."));
};

template <>
struct Table<JobChange> {
  static constexpr std::string_view kName = "JobChange";
  static constexpr std::string_view kText = "What would happen to a job.";
  static constexpr auto kFields = std::tuple(
      field("job", &JobChange::job, ""), field("name", &JobChange::name, ""), field("queue", &JobChange::queue, ""),
      field("change", &JobChange::change, "starts, stops, claims, blocked or unblocked."),
      field("text", &JobChange::text, "Why."));
};

template <>
struct Table<QueueDiff> {
  static constexpr std::string_view kName = "QueueDiff";
  static constexpr std::string_view kText = "What other queues would change at once.";
  static constexpr auto kFields =
      std::tuple(field("jobs", &QueueDiff::jobs, "In the order of events."), field("before", &QueueDiff::before, ""),
                 field("after", &QueueDiff::after, ""));
};

template <>
struct Table<UsageRow> {
  static constexpr std::string_view kName = "UsageRow";
  static constexpr std::string_view kText = "Card time of whole jobs, in thousandths of a card x milliseconds.";
  static constexpr auto kFields = std::tuple(
      field("queue", &UsageRow::queue, "Empty in sums by user."),
      field("user", &UsageRow::user, "Empty in sums by queue."), field("job", &UsageRow::job, "0 in sums."),
      field("name", &UsageRow::name, "Of the job."), field("jobs", &UsageRow::jobs, "How many are in it."),
      field("allocated_milli_card_ms", &UsageRow::allocated_milli_card_ms, "From placement to the end."),
      field("busy_milli_card_ms", &UsageRow::busy_milli_card_ms, "Of that, computing and saving checkpoints."),
      field("lost_milli_card_ms", &UsageRow::lost_milli_card_ms, "Of that, not saved when an attempt ended."));
};

template <>
struct Table<UsageList> {
  static constexpr std::string_view kName = "UsageList";
  static constexpr std::string_view kText = "Card time by queue, user or job; most first.";
  static constexpr auto kFields = std::tuple(field("rows", &UsageList::rows, ""));
};

template <>
struct Table<ReservationRequest> {
  static constexpr std::string_view kName = "ReservationRequest";
  static constexpr std::string_view kText = "Nodes to keep free for some jobs, or for none, during a window.";
  static constexpr auto kFields = std::tuple(
      field("name", &ReservationRequest::name, "One that exists is replaced."),
      field("nodes", &ReservationRequest::nodes, "Names of nodes."),
      optional_field("from_ms", &ReservationRequest::from_ms, "0, or past: from now on."),
      field("duration_ms", &ReservationRequest::duration_ms, ""),
      optional_field("users", &ReservationRequest::users, "Whose jobs may use the nodes."),
      optional_field("queues", &ReservationRequest::queues, "Jobs of these may use them too; with no users: nobody."));
};

template <>
struct Table<ReservationStatus> {
  static constexpr std::string_view kName = "ReservationStatus";
  static constexpr std::string_view kText = "A reservation; it goes by itself when its window is over.";
  static constexpr auto kFields =
      std::tuple(field("name", &ReservationStatus::name, ""), field("nodes", &ReservationStatus::nodes, ""),
                 field("from_ms", &ReservationStatus::from_ms, ""),
                 field("until_ms", &ReservationStatus::until_ms, "The first moment after it."),
                 field("users", &ReservationStatus::users, ""), field("queues", &ReservationStatus::queues, ""),
                 field("is_active", &ReservationStatus::is_active, "Its window has begun."),
                 field("jobs_in_the_way", &ReservationStatus::jobs_in_the_way,
                       "On its nodes, not admitted, and not sure to have ended before; they are left alone."));
};

template <>
struct Table<ReservationList> {
  static constexpr std::string_view kName = "ReservationList";
  static constexpr std::string_view kText = "Reservations that are not over, by name.";
  static constexpr auto kFields = std::tuple(field("reservations", &ReservationList::reservations, ""));
};

template <>
struct Table<EventStatus> {
  static constexpr std::string_view kName = "EventStatus";
  static constexpr std::string_view kText = "One line of the users' event log.";
  static constexpr auto kFields =
      std::tuple(field("id", &EventStatus::id, "Ascending."), field("time_ms", &EventStatus::time_ms, ""),
                 field("job", &EventStatus::job, "0: about no job."), field("kind", &EventStatus::kind, ""),
                 field("text", &EventStatus::text, ""));
};

template <>
struct Table<EventList> {
  static constexpr std::string_view kName = "EventList";
  static constexpr std::string_view kText = "Events, oldest first.";
  static constexpr auto kFields = std::tuple(field("events", &EventList::events, ""));
};

template <>
struct Table<KeyRequest> {
  static constexpr std::string_view kName = "KeyRequest";
  static constexpr std::string_view kText = "A key that shall be made.";
  static constexpr auto kFields = std::tuple(
      field("name", &KeyRequest::name, "For people; unique among a tenant's keys."),
      optional_field("tenant", &KeyRequest::tenant, "Whose limits and share it counts to; yours if absent."),
      optional_field("services", &KeyRequest::services, "That it may call; all that let its tenant in if absent."),
      optional_field("requests", &KeyRequest::requests, "A rate like 10/s; no bound of its own if absent."),
      optional_field("tokens", &KeyRequest::tokens, "Of language models, like 50000/m."));
};

template <>
struct Table<KeyStatus> {
  static constexpr std::string_view kName = "KeyStatus";
  static constexpr std::string_view kText = "A key of a caller of services.";
  static constexpr auto kFields = std::tuple(
      field("id", &KeyStatus::id, "Stands in the gateway's metrics and log."), field("name", &KeyStatus::name, ""),
      field("user", &KeyStatus::user, "Who made it."), field("tenant", &KeyStatus::tenant, ""),
      field("services", &KeyStatus::services, "Empty: all that let its tenant in."),
      optional_field("requests", &KeyStatus::requests, ""), optional_field("tokens", &KeyStatus::tokens, ""),
      field("created_ms", &KeyStatus::created_ms, ""),
      optional_field("key", &KeyStatus::key, "Its text; only in the answer to its making, and kept nowhere."));
};

template <>
struct Table<KeyList> {
  static constexpr std::string_view kName = "KeyList";
  static constexpr std::string_view kText = "All keys, by tenant and name.";
  static constexpr auto kFields = std::tuple(field("keys", &KeyList::keys, ""));
};

template <>
struct Table<TenantRequest> {
  static constexpr std::string_view kName = "TenantRequest";
  static constexpr std::string_view kText = "What a tenant's keys may use together.";
  static constexpr auto kFields = std::tuple(
      optional_field("weight", &TenantRequest::weight, "Share of a service that has not enough for all; 1 if absent."),
      optional_field("requests", &TenantRequest::requests, "A rate like 100/s; no bound if absent."),
      optional_field("tokens", &TenantRequest::tokens, "Of language models, like 1000000/m."));
};

template <>
struct Table<TenantStatus> {
  static constexpr std::string_view kName = "TenantStatus";
  static constexpr std::string_view kText = "A tenant of services.";
  static constexpr auto kFields =
      std::tuple(field("name", &TenantStatus::name, ""), field("weight", &TenantStatus::weight, ""),
                 optional_field("requests", &TenantStatus::requests, ""),
                 optional_field("tokens", &TenantStatus::tokens, ""), field("keys", &TenantStatus::keys, "How many."));
};

template <>
struct Table<TenantList> {
  static constexpr std::string_view kName = "TenantList";
  static constexpr std::string_view kText = "Tenants that are described or that keys name.";
  static constexpr auto kFields = std::tuple(field("tenants", &TenantList::tenants, ""));
};

template <>
struct Table<SecretStatus> {
  static constexpr std::string_view kName = "SecretStatus";
  static constexpr std::string_view kText = "A secret without its value, which no answer ever holds.";
  static constexpr auto kFields =
      std::tuple(field("name", &SecretStatus::name, ""), field("changed_ms", &SecretStatus::changed_ms, ""));
};

template <>
struct Table<SecretList> {
  static constexpr std::string_view kName = "SecretList";
  static constexpr std::string_view kText = "All secrets, by name.";
  static constexpr auto kFields = std::tuple(field("secrets", &SecretList::secrets, ""));
};

template <>
struct Table<LogLine> {
  static constexpr std::string_view kName = "LogLine";
  static constexpr std::string_view kText = "One line of a task's output.";
  static constexpr auto kFields =
      std::tuple(field("task", &LogLine::task, "Rank."), field("attempt", &LogLine::attempt, ""),
                 field("time_ms", &LogLine::time_ms, ""), field("stream", &LogLine::stream, "1 stdout, 2 stderr."),
                 field("text", &LogLine::text, "Without the line feed."));
};

template <>
struct Table<ServerStatus::Capability> {
  static constexpr std::string_view kName = "Capability";
  static constexpr std::string_view kText = "Something that the engine can or cannot do here.";
  static constexpr auto kFields =
      std::tuple(field("name", &ServerStatus::Capability::name, ""),
                 field("available", &ServerStatus::Capability::is_available, ""),
                 field("detail", &ServerStatus::Capability::detail, "How, or why not and what to do."));
};

template <>
struct Table<ServerStatus> {
  static constexpr std::string_view kName = "ServerStatus";
  static constexpr std::string_view kText = "The server itself.";
  static constexpr auto kFields =
      std::tuple(field("version", &ServerStatus::version, ""), field("build_id", &ServerStatus::build_id, ""),
                 field("started_ms", &ServerStatus::started_ms, ""),
                 field("journal_sequence", &ServerStatus::journal_sequence, "The last step of the journal."),
                 field("state_hash", &ServerStatus::state_hash, "Of the scheduling core after it, hexadecimal."),
                 field("runtime", &ServerStatus::runtime, "The container runtime in use."),
                 field("capabilities", &ServerStatus::capabilities, ""));
};

/// What an error's object holds; ErrorBody itself is read leniently (error_body.cc).
struct ErrorFields {
  std::string code = {};
  std::string message = {};
  std::string cause = {};
  bool is_retryable = false;
  std::vector<Diagnostic> diagnostics = {};
};
template <>
struct Table<ErrorFields> {
  static constexpr std::string_view kName = "Error";
  static constexpr std::string_view kText = "What went wrong.";
  static constexpr auto kFields = std::tuple(
      field("code", &ErrorFields::code, "not_found, invalid_argument ...: decides the HTTP status and the exit code."),
      field("message", &ErrorFields::message, "What, which, the limit, what to do."),
      field("cause", &ErrorFields::cause, "The failure below; may be empty."),
      field("retryable", &ErrorFields::is_retryable, "The same request may succeed later."),
      optional_field("diagnostics", &ErrorFields::diagnostics, "All that is wrong with a job file."));
};
struct ErrorAnswer {
  ErrorFields error = {};
};
template <>
struct Table<ErrorAnswer> {
  static constexpr std::string_view kName = "ErrorBody";
  static constexpr std::string_view kText = "The body of every answer with a status of 400 and above.";
  static constexpr auto kFields = std::tuple(field("error", &ErrorAnswer::error, ""));
};

/// Every component of the OpenAPI document.
using AllTypes =
    std::tuple<Diagnostic, SubmitRequest, TaskStatus, AttemptStatus, ProgressStatus, EfficiencyStatus, JobStatus,
               ReplicaStatus, ServiceStatus, ServiceList, SubmitAnswer, JobList, ChangeStatus, WhyAnswer, WhenAnswer,
               CardStatus, NodeStatus, NodeList, CardList, QueueRequest, QueueStatus, QueueList, QueueDiffRequest,
               JobChange, QueueDiff, UsageRow, UsageList, ReservationRequest, ReservationStatus, ReservationList,
               EventStatus, EventList, KeyRequest, KeyStatus, KeyList, TenantRequest, TenantStatus, TenantList,
               SecretStatus, SecretList, LogLine, ServerStatus::Capability, ServerStatus, ErrorFields, ErrorAnswer>;

}  // namespace busbar::api::internal
