#include "api/internal/tables.h"

namespace busbar::api::internal {

template <>
const ObjectTable& table_of<Diagnostic>() {
  static constexpr Field kFields[] = {
      field<&Diagnostic::line>("line", "From 1; 0: not from the file."),
      field<&Diagnostic::column>("column", "From 1; 0: unknown."),
      field<&Diagnostic::field>("field", "For example resources.cpus."),
      field<&Diagnostic::message>("message", "What is wrong, with the allowed values."),
      field<&Diagnostic::hint>("hint", "What to do; may be empty."),
      optional_field<&Diagnostic::is_warning>("warning", "True: the job was accepted all the same.")};
  static constexpr ObjectTable kTable = {
      .name = "Diagnostic", .text = "One thing wrong with a job file.", .fields = kFields};
  return kTable;
}

template <>
const ObjectTable& table_of<SubmitRequest>() {
  static constexpr Field kFields[] = {
      field<&SubmitRequest::file>("file", "Text of a job file (YAML or JSON), or of a script with #SBATCH lines."),
      optional_field<&SubmitRequest::file_name>("file_name", "For messages only."),
      optional_field<&SubmitRequest::overrides>("overrides",
                                                "Changes to the file, in its own words: resources.cpus=4."),
      optional_field<&SubmitRequest::default_workdir>(
          "default_workdir", "Absolute; used if the file has no workdir and the image is host."),
      optional_field<&SubmitRequest::client_key>("client_key",
                                                 "Same key, same job: a repeated submit gives the first one's answer."),
      optional_field<&SubmitRequest::is_dry_run>("dry_run", "Show what would run; submit nothing."),
      optional_field<&SubmitRequest::may_wait_infeasible>(
          "may_wait_infeasible", "Accept a job that the cluster as declared could never run; it waits, blocked."),
      optional_field<&SubmitRequest::has_terminal>("terminal", "Give each task a terminal.")};
  static constexpr ObjectTable kTable = {.name = "SubmitRequest", .text = "A job to submit.", .fields = kFields};
  return kTable;
}

template <>
const ObjectTable& table_of<TaskStatus>() {
  static constexpr Field kFields[] = {
      field<&TaskStatus::rank>("rank", "Place in the gang's order, from 0."),
      field<&TaskStatus::node>("node", ""),
      field<&TaskStatus::cards>("cards", "Indices on the node."),
      field<&TaskStatus::state>("state", "creating, created, running, leaving or ended."),
      field<&TaskStatus::exit_code>("exit_code", "128 + signal where a signal ended it."),
      field<&TaskStatus::exit_class>("exit_class", "Why it ended; empty before."),
      field<&TaskStatus::detail>("detail", "")};
  static constexpr ObjectTable kTable = {
      .name = "TaskStatus", .text = "One container of an attempt.", .fields = kFields};
  return kTable;
}

template <>
const ObjectTable& table_of<AttemptStatus>() {
  static constexpr Field kFields[] = {
      field<&AttemptStatus::number>("number", "From 1."),
      field<&AttemptStatus::placed_ms>("placed_ms", "Cards granted."),
      field<&AttemptStatus::image_ready_ms>("image_ready_ms", "Root file systems made."),
      field<&AttemptStatus::started_ms>("started_ms", "User code began."),
      field<&AttemptStatus::ended_ms>("ended_ms", ""),
      field<&AttemptStatus::exit_class>("exit_class", ""),
      field<&AttemptStatus::reason>("reason", ""),
      field<&AttemptStatus::chip>("chip", "The chip granted; empty without cards."),
      field<&AttemptStatus::tasks>("tasks", "In rank order."),
      optional_field<&AttemptStatus::left>("left", "Of a live gang: tasks that it gave up, in rank order.")};
  static constexpr ObjectTable kTable = {
      .name = "AttemptStatus", .text = "One start of a job. Times are 0 until they are reached.", .fields = kFields};
  return kTable;
}

template <>
const ObjectTable& table_of<ProgressStatus>() {
  static constexpr Field kFields[] = {field<&ProgressStatus::step>("step", ""),
                                      field<&ProgressStatus::total_steps>("total_steps", "0: unknown."),
                                      field<&ProgressStatus::loss>("loss", ""),
                                      field<&ProgressStatus::steps_per_second>("steps_per_second", ""),
                                      field<&ProgressStatus::samples_per_second>("samples_per_second", ""),
                                      field<&ProgressStatus::tokens_per_second>("tokens_per_second", ""),
                                      field<&ProgressStatus::eta_ms>("eta_ms", ""),
                                      field<&ProgressStatus::metrics>("metrics", "The last value of each metric."),
                                      field<&ProgressStatus::last_checkpoint>("last_checkpoint", "Path."),
                                      field<&ProgressStatus::message>("message", "The last one.")};
  static constexpr ObjectTable kTable = {
      .name = "ProgressStatus", .text = "What the job itself reports.", .fields = kFields};
  return kTable;
}

template <>
const ObjectTable& table_of<EfficiencyStatus>() {
  static constexpr Field kFields[] = {
      field<&EfficiencyStatus::milli_card_ms>("milli_card_ms",
                                              "By bucket: queue, image, start, compute, checkpoint, idle, lost."),
      field<&EfficiencyStatus::total_milli_card_ms>("total_milli_card_ms", "The exact sum of the buckets."),
      field<&EfficiencyStatus::mfu>("mfu", "Model FLOPs utilisation, 0 to 1."),
      field<&EfficiencyStatus::mfu_denominator>("mfu_denominator", "Which peak it is compared with.")};
  static constexpr ObjectTable kTable = {
      .name = "EfficiencyStatus",
      .text =
          "Where the job's card time went: each card-millisecond is in exactly one bucket, in thousandths of a card.",
      .fields = kFields};
  return kTable;
}

template <>
const ObjectTable& table_of<JobStatus>() {
  static constexpr Field kFields[] = {
      field<&JobStatus::id>("id", ""),
      field<&JobStatus::name>("name", ""),
      field<&JobStatus::user>("user", ""),
      field<&JobStatus::queue>("queue", ""),
      field<&JobStatus::type>("type", "job, service or dev."),
      field<&JobStatus::state>("state", ""),
      field<&JobStatus::reason>("reason", "Why it waits, or how it ended."),
      field<&JobStatus::priority>("priority", ""),
      field<&JobStatus::nodes>("nodes", "Tasks of the gang."),
      field<&JobStatus::cards>("cards", "For people: 8x8 H100."),
      field<&JobStatus::milli_cards>("milli_cards", "All cards together; 1000 is one card."),
      field<&JobStatus::submitted_ms>("submitted_ms", "Milliseconds since 1970 UTC, as all times."),
      field<&JobStatus::started_ms>("started_ms", ""),
      field<&JobStatus::ended_ms>("ended_ms", ""),
      field<&JobStatus::attempt>("attempt", "Current or last; 0 before the first."),
      field<&JobStatus::restarts>("restarts", ""),
      field<&JobStatus::exit_class>("exit_class", "Empty until it is over."),
      field<&JobStatus::exit_code>("exit_code", ""),
      field<&JobStatus::node_names>("node_names", ""),
      field<&JobStatus::array>("array", "Id of the array's first member; 0: no array."),
      field<&JobStatus::array_index>("array_index", ""),
      field<&JobStatus::progress>("progress", ""),
      field<&JobStatus::efficiency>("efficiency", ""),
      field<&JobStatus::attempts>("attempts", "Oldest first."),
      optional_field<&JobStatus::spec>("spec", "The effective job: itself a valid job file."),
      field<&JobStatus::log_paths>("log_paths", "On the server's machine."),
      field<&JobStatus::are_files_deleted>(
          "files_deleted",
          "The job is over, and its logs and files were deleted since (`keep_ended_jobs` and the like).")};
  static constexpr ObjectTable kTable = {
      .name = "JobStatus",
      .text =
          "A job as users see it. Lists leave attempts, spec and log_paths empty. Times are 0 until they are reached.",
      .fields = kFields};
  return kTable;
}

template <>
const ObjectTable& table_of<ReplicaStatus>() {
  static constexpr Field kFields[] = {
      field<&ReplicaStatus::name>("name", "As in the route table; its job's name, and its attempt after the first."),
      field<&ReplicaStatus::job>("job", ""),
      field<&ReplicaStatus::revision>("revision", "That it runs."),
      field<&ReplicaStatus::state>("state", "queued, blocked, starting, ready, unready, draining, stopping or paused."),
      field<&ReplicaStatus::address>("address", "Where it listens; empty: not known yet."),
      field<&ReplicaStatus::created_ms>("created_ms", "When it was decided on."),
      field<&ReplicaStatus::ready_ms>("ready_ms", "0: it is not yet."),
      field<&ReplicaStatus::running>("running", "Requests that gateways have given it."),
      field<&ReplicaStatus::detail>("detail", "What its health check last said, or why it waits.")};
  static constexpr ObjectTable kTable = {
      .name = "ReplicaStatus", .text = "One replica of a service: a job of its own.", .fields = kFields};
  return kTable;
}

template <>
const ObjectTable& table_of<ServiceStatus>() {
  static constexpr Field kFields[] = {
      field<&ServiceStatus::name>("name", ""),
      field<&ServiceStatus::user>("user", "Who applied it last."),
      field<&ServiceStatus::queue>("queue", ""),
      field<&ServiceStatus::state>("state",
                                   "ready, idle (no replica wanted), starting, updating, failing or deleting."),
      field<&ServiceStatus::revision>("revision", "That is wanted."),
      field<&ServiceStatus::updating_from>("updating_from", "The revision that serves during an update; 0: none."),
      field<&ServiceStatus::previous_revision>("previous_revision", "What a rollback goes back to; 0: nothing."),
      field<&ServiceStatus::min_replicas>("min_replicas", ""),
      field<&ServiceStatus::max_replicas>("max_replicas", ""),
      field<&ServiceStatus::desired>("desired", "As many as the requests need."),
      field<&ServiceStatus::ready>("ready", "Given requests."),
      field<&ServiceStatus::target>("target", "Requests that one replica should have at once."),
      field<&ServiceStatus::waiting>("waiting", "Requests that wait for a replica, in all gateways."),
      field<&ServiceStatus::running>("running", "Requests that replicas have."),
      field<&ServiceStatus::requests_per_second>("requests_per_second", "Mean of the last 30 s."),
      field<&ServiceStatus::start_ms>("start_ms", "How long a replica takes to be ready; 0: not known."),
      field<&ServiceStatus::failures>("failures", "Replicas in a row that ended soon after their start."),
      field<&ServiceStatus::last_error>("last_error", ""),
      field<&ServiceStatus::warning>(
          "warning", "What is not as its file wants it though it serves, and what to do; empty: nothing."),
      field<&ServiceStatus::created_ms>("created_ms", ""),
      field<&ServiceStatus::changed_ms>("changed_ms", "By a user."),
      field<&ServiceStatus::url>("url", "Where it answers."),
      field<&ServiceStatus::hosts>("hosts", ""),
      field<&ServiceStatus::models>("models", ""),
      field<&ServiceStatus::replicas>("replicas", "Oldest first."),
      optional_field<&ServiceStatus::spec>("spec", "The effective job file; left out of lists.")};
  static constexpr ObjectTable kTable = {
      .name = "ServiceStatus", .text = "A service with its replicas.", .fields = kFields};
  return kTable;
}

template <>
const ObjectTable& table_of<ServiceList>() {
  static constexpr Field kFields[] = {field<&ServiceList::services>("services", "")};
  static constexpr ObjectTable kTable = {.name = "ServiceList", .text = "All services, by name.", .fields = kFields};
  return kTable;
}

template <>
const ObjectTable& table_of<SubmitAnswer>() {
  static constexpr Field kFields[] = {
      field<&SubmitAnswer::jobs>("jobs", ""),
      optional_field<&SubmitAnswer::service>("service", "Of a job file of type service."),
      field<&SubmitAnswer::warnings>("warnings", ""),
      field<&SubmitAnswer::is_repeated>("repeated",
                                        "The client key was known: these are the jobs of the first submit."),
      optional_field<&SubmitAnswer::dry_run>(
          "dry_run", "Dry run only: effective spec, launch environment and OCI configuration by rank.")};
  static constexpr ObjectTable kTable = {
      .name = "SubmitAnswer",
      .text = "The jobs that a submit made: one, or the members of an array; or the service.",
      .fields = kFields};
  return kTable;
}

template <>
const ObjectTable& table_of<JobList>() {
  static constexpr Field kFields[] = {
      field<&JobList::jobs>("jobs", ""),
      field<&JobList::next_before>("next_before", "`before` of the next page; 0: no more.")};
  static constexpr ObjectTable kTable = {.name = "JobList", .text = "Jobs, newest first.", .fields = kFields};
  return kTable;
}

template <>
const ObjectTable& table_of<ChangeStatus>() {
  static constexpr Field kFields[] = {
      field<&ChangeStatus::kind>("kind",
                                 "fewer_nodes, other_chip, other_level, more_quota, jobs_ending, node_returned ..."),
      field<&ChangeStatus::text>("text", ""), field<&ChangeStatus::jobs>("jobs", "The jobs that the change is about.")};
  static constexpr ObjectTable kTable = {
      .name = "ChangeStatus",
      .text = "One change that would start the job now, tried on a copy of the state.",
      .fields = kFields};
  return kTable;
}

template <>
const ObjectTable& table_of<WhyAnswer>() {
  static constexpr Field kFields[] = {
      field<&WhyAnswer::id>("id", ""),
      field<&WhyAnswer::state>("state", ""),
      field<&WhyAnswer::constraint>(
          "constraint",
          "capacity, quota, priority, dependency, backoff, infeasible, array_limit, replacement or none."),
      field<&WhyAnswer::text>("text", "The binding constraint in a sentence."),
      field<&WhyAnswer::position>("position", "In the queue's order, from 1."),
      field<&WhyAnswer::changes>("changes", "Smallest first.")};
  static constexpr ObjectTable kTable = {.name = "WhyAnswer", .text = "Why a job does not run.", .fields = kFields};
  return kTable;
}

template <>
const ObjectTable& table_of<WhenAnswer>() {
  static constexpr Field kFields[] = {
      field<&WhenAnswer::id>("id", ""),
      field<&WhenAnswer::p50_ms>("p50_ms", "Absent: in half of the trials it did not start."),
      field<&WhenAnswer::p90_ms>("p90_ms", "Same for nine of ten."),
      field<&WhenAnswer::trials>("trials", ""),
      field<&WhenAnswer::starts>("starts", "Trials in which it started."),
      field<&WhenAnswer::text>("text", "What the answer rests on.")};
  static constexpr ObjectTable kTable = {
      .name = "WhenAnswer", .text = "When a waiting job starts, by trials of the future.", .fields = kFields};
  return kTable;
}

template <>
const ObjectTable& table_of<LogLine>() {
  static constexpr Field kFields[] = {field<&LogLine::task>("task", "Rank."), field<&LogLine::attempt>("attempt", ""),
                                      field<&LogLine::time_ms>("time_ms", ""),
                                      field<&LogLine::stream>("stream", "1 stdout, 2 stderr."),
                                      field<&LogLine::text>("text", "Without the line feed.")};
  static constexpr ObjectTable kTable = {.name = "LogLine", .text = "One line of a task's output.", .fields = kFields};
  return kTable;
}

template <>
const ObjectTable& table_of<ErrorFields>() {
  static constexpr Field kFields[] = {
      field<&ErrorFields::code>("code", "not_found, invalid_argument ...: decides the HTTP status and the exit code."),
      field<&ErrorFields::message>("message", "What, which, the limit, what to do."),
      field<&ErrorFields::cause>("cause", "The failure below; may be empty."),
      field<&ErrorFields::is_retryable>("retryable", "The same request may succeed later."),
      optional_field<&ErrorFields::diagnostics>("diagnostics", "All that is wrong with a job file.")};
  static constexpr ObjectTable kTable = {.name = "Error", .text = "What went wrong.", .fields = kFields};
  return kTable;
}

template <>
const ObjectTable& table_of<ErrorAnswer>() {
  static constexpr Field kFields[] = {field<&ErrorAnswer::error>("error", "")};
  static constexpr ObjectTable kTable = {
      .name = "ErrorBody", .text = "The body of every answer with a status of 400 and above.", .fields = kFields};
  return kTable;
}

}  // namespace busbar::api::internal
