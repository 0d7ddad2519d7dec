#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/json.h"
#include "base/units.h"
#include "model/cluster.h"
#include "model/ids.h"
#include "model/job.h"

/// Requests and answers of the HTTP API as plain values, each with to_json and from_json. The server writes them, the
/// command line reads them, OpenAPI is generated from the same field tables (internal/tables_*.cc). Readers ignore keys
/// that they do not know, so that an older client can talk to a newer server; request readers of the server refuse
/// them.
namespace busbar::api {

/// One thing wrong with a job file; line 0: not from the file.
struct Diagnostic {
  int line = 0;
  int column = 0;
  std::string field = {};
  std::string message = {};
  std::string hint = {};
  bool is_warning = false;
  friend bool operator==(const Diagnostic&, const Diagnostic&) = default;
};

/// POST /v1/jobs
struct SubmitRequest {
  std::string file = {};                    ///< The text of a job file or of a script with #SBATCH lines.
  std::string file_name = {};               ///< For messages only.
  std::vector<std::string> overrides = {};  ///< "resources.cpus=4"
  std::string default_workdir = {};         ///< Absolute; used if the file has none and the image is host.
  std::string client_key = {};              ///< Same key, same job: a repeated submit gives the first one's answer.
  bool is_dry_run = false;
  bool may_wait_infeasible = false;
  bool has_terminal = false;  ///< dev and `run --tty`.
  friend bool operator==(const SubmitRequest&, const SubmitRequest&) = default;
};

struct TaskStatus {
  std::uint32_t rank = 0;
  std::string node = {};
  std::vector<std::uint16_t> cards = {};
  std::string state = {};  ///< "creating", "created", "running", "leaving", "ended", "left"
  std::optional<std::int32_t> exit_code = {};
  std::string exit_class = {};
  std::string detail = {};
  friend bool operator==(const TaskStatus&, const TaskStatus&) = default;
};

struct AttemptStatus {
  std::uint32_t number = 0;
  TimeMs placed_ms = 0;
  TimeMs image_ready_ms = 0;
  TimeMs started_ms = 0;
  TimeMs ended_ms = 0;
  std::string exit_class = {};
  std::string reason = {};
  std::string chip = {};
  std::vector<TaskStatus> tasks = {};
  std::vector<TaskStatus> left = {};  ///< Of a live gang: the last of each rank that it gave up.
  friend bool operator==(const AttemptStatus&, const AttemptStatus&) = default;
};

struct ProgressStatus {
  std::int64_t step = 0;
  std::int64_t total_steps = 0;
  std::optional<double> loss = {};
  std::optional<double> steps_per_second = {};
  std::optional<double> samples_per_second = {};
  std::optional<double> tokens_per_second = {};
  std::optional<std::int64_t> eta_ms = {};
  std::vector<std::pair<std::string, double>> metrics = {};
  std::string last_checkpoint = {};
  std::string message = {};
  friend bool operator==(const ProgressStatus&, const ProgressStatus&) = default;
};

/// Card-milliseconds (of whole cards, in thousandths) by bucket; they add up to `total_milli_card_ms` exactly.
struct EfficiencyStatus {
  std::vector<std::pair<std::string, std::int64_t>> milli_card_ms = {};
  std::int64_t total_milli_card_ms = 0;
  std::optional<double> mfu = {};
  std::string mfu_denominator = {};
  friend bool operator==(const EfficiencyStatus&, const EfficiencyStatus&) = default;
};

/// A job as users see it. `ps` leaves `attempts`, `spec` and what follows them empty; `describe` fills everything.
struct JobStatus {
  model::JobId id = {};
  std::string name = {};
  std::string user = {};
  std::string queue = {};
  std::string type = "job";
  model::JobState state = model::JobState::kQueued;
  std::string reason = {};  ///< Why it waits, or how it ended.
  std::int32_t priority = 0;
  std::uint32_t nodes = 1;
  std::string cards = {};  ///< "2x1 cpu", "8x8 H100"
  std::int64_t milli_cards = 0;
  TimeMs submitted_ms = 0;
  TimeMs started_ms = 0;
  TimeMs ended_ms = 0;
  std::uint32_t attempt = 0;
  std::uint32_t restarts = 0;
  std::string exit_class = {};
  std::optional<std::int32_t> exit_code = {};
  std::vector<std::string> node_names = {};
  model::JobId array = {};
  std::optional<std::uint32_t> array_index = {};
  ProgressStatus progress = {};
  EfficiencyStatus efficiency = {};
  std::vector<AttemptStatus> attempts = {};
  Json spec = {};
  std::vector<std::string> log_paths = {};
  bool are_files_deleted = false;
  friend bool operator==(const JobStatus&, const JobStatus&) = default;
};

/// One replica of a service: a job of its own.
struct ReplicaStatus {
  std::string name = {};
  model::JobId job = {};
  std::uint32_t revision = 1;
  std::string state = {};
  std::string address = {};  ///< "127.0.0.1:20017"; empty: not known yet.
  TimeMs created_ms = 0;
  TimeMs ready_ms = 0;
  std::uint32_t running = 0;
  std::string detail = {};
  friend bool operator==(const ReplicaStatus&, const ReplicaStatus&) = default;
};

struct ServiceStatus {
  std::string name = {};
  std::string user = {};
  std::string queue = {};
  std::string state = {};
  std::uint32_t revision = 1;
  std::uint32_t updating_from = 0;
  std::uint32_t previous_revision = 0;
  std::uint32_t min_replicas = 0;
  std::uint32_t max_replicas = 0;
  std::uint32_t desired = 0;
  std::uint32_t ready = 0;
  std::uint32_t target = 0;
  std::uint32_t waiting = 0;
  std::uint32_t running = 0;
  double requests_per_second = 0;
  std::int64_t start_ms = 0;
  std::uint32_t failures = 0;
  std::string last_error = {};
  std::string warning = {};
  TimeMs created_ms = 0;
  TimeMs changed_ms = 0;
  std::string url = {};
  std::vector<std::string> hosts = {};
  std::vector<std::string> models = {};
  std::vector<ReplicaStatus> replicas = {};
  Json spec = {};
  friend bool operator==(const ServiceStatus&, const ServiceStatus&) = default;
};

struct ServiceList {
  std::vector<ServiceStatus> services = {};  ///< By name.
  friend bool operator==(const ServiceList&, const ServiceList&) = default;
};

struct SubmitAnswer {
  std::vector<JobStatus> jobs = {};  ///< One, or the members of an array; none for a service.
  std::optional<ServiceStatus> service = {};
  std::vector<Diagnostic> warnings = {};
  bool is_repeated = false;  ///< The client key was known: these are the jobs of the first submit.
  /// Dry run only: effective spec, launch environment and OCI config by rank.
  Json dry_run = {};
  friend bool operator==(const SubmitAnswer&, const SubmitAnswer&) = default;
};

struct JobList {
  std::vector<JobStatus> jobs = {};
  model::JobId next_before = {};  ///< For the next page; 0: no more.
  friend bool operator==(const JobList&, const JobList&) = default;
};

struct ChangeStatus {
  std::string kind = {};
  std::string text = {};
  std::vector<model::JobId> jobs = {};
  friend bool operator==(const ChangeStatus&, const ChangeStatus&) = default;
};

/// GET /v1/jobs/{job}/why
struct WhyAnswer {
  model::JobId id = {};
  std::string state = {};
  std::string constraint = {};
  std::string text = {};
  std::optional<std::uint32_t> position = {};
  std::vector<ChangeStatus> changes = {};
  friend bool operator==(const WhyAnswer&, const WhyAnswer&) = default;
};

/// GET /v1/jobs/{job}/when
struct WhenAnswer {
  model::JobId id = {};
  std::optional<TimeMs> p50_ms = {};  ///< Absent: not within what the trials look at.
  std::optional<TimeMs> p90_ms = {};
  std::uint32_t trials = 0;
  std::uint32_t starts = 0;
  std::string text = {};
  friend bool operator==(const WhenAnswer&, const WhenAnswer&) = default;
};

struct CardStatus {
  std::uint16_t index = 0;
  std::string node = {};
  std::string chip = {};
  std::string device = {};
  std::string health = {};
  std::int64_t used_milli = 0;
  std::vector<model::JobId> jobs = {};
  std::int64_t memory_bytes = 0;
  std::int32_t numa_node = -1;
  std::uint32_t link_group = 0;
  std::string health_detail = {};
  friend bool operator==(const CardStatus&, const CardStatus&) = default;
};

struct NodeStatus {
  std::uint64_t id = 0;
  std::string name = {};
  std::string state = {};
  std::int64_t milli_cpus = 0;
  std::int64_t memory_bytes = 0;
  std::vector<CardStatus> cards = {};
  std::vector<std::pair<std::string, std::string>> labels = {};
  std::vector<std::string> fabric = {};
  std::uint32_t running_tasks = 0;
  friend bool operator==(const NodeStatus&, const NodeStatus&) = default;
};

struct EventStatus {
  std::uint64_t id = 0;
  TimeMs time_ms = 0;
  model::JobId job = {};
  std::string kind = {};
  std::string text = {};
  friend bool operator==(const EventStatus&, const EventStatus&) = default;
};

struct NodeList {
  std::vector<NodeStatus> nodes = {};  ///< By name.
  friend bool operator==(const NodeList&, const NodeList&) = default;
};

struct CardList {
  std::vector<CardStatus> cards = {};  ///< By node, then index.
  friend bool operator==(const CardList&, const CardList&) = default;
};

/// PUT /v1/queues/{queue}
struct QueueRequest {
  std::string parent = {};
  std::int64_t guarantee_milli_cards = -1;  ///< Of all cards; negative: none is given. So for the limit.
  std::vector<std::pair<std::string, std::int64_t>> guarantee_by_chip = {};
  std::int64_t limit_milli_cards = -1;
  std::vector<std::pair<std::string, std::int64_t>> limit_by_chip = {};
  std::int64_t weight = 1;
  std::vector<std::pair<std::string, std::int64_t>> weight_by_chip = {};
  std::int32_t priority = 0;
  std::int64_t reclaim_bound_ms = 3'600'000;
  std::string enforce = "later";
  friend bool operator==(const QueueRequest&, const QueueRequest&) = default;
};

struct QueueStatus {
  std::string name = {};
  std::string parent = {};
  std::int64_t guarantee_milli_cards = -1;  ///< Of all cards; negative: none is given. So for the limit.
  std::vector<std::pair<std::string, std::int64_t>> guarantee_by_chip = {};
  std::int64_t limit_milli_cards = -1;
  std::vector<std::pair<std::string, std::int64_t>> limit_by_chip = {};
  std::int64_t weight = 1;
  std::vector<std::pair<std::string, std::int64_t>> weight_by_chip = {};
  std::int32_t priority = 0;
  std::int64_t reclaim_bound_ms = 3'600'000;
  std::string enforce = "later";
  std::int64_t used_milli_cards = 0;
  std::vector<std::pair<std::string, std::int64_t>> used_by_chip = {};
  std::int64_t borrowed_milli_cards = 0;
  std::int64_t share_ppm = 0;
  std::int64_t past_share_ppm = 0;
  std::uint32_t running_jobs = 0;
  std::uint32_t queued_jobs = 0;
  friend bool operator==(const QueueStatus&, const QueueStatus&) = default;
};

struct QueueList {
  std::vector<QueueStatus> queues = {};  ///< By name.
  friend bool operator==(const QueueList&, const QueueList&) = default;
};

/// POST /v1/queues/diff: what these queues would change, tried on a copy of the state.
struct QueueDiffRequest {
  std::string file = {};       ///< Text of a server configuration; only its [[queues]] count.
  std::string file_name = {};  ///< For messages.
  friend bool operator==(const QueueDiffRequest&, const QueueDiffRequest&) = default;
};

struct JobChange {
  model::JobId job = {};
  std::string name = {};
  std::string queue = {};
  std::string change = {};  ///< "starts", "stops", "claims", "blocked", "unblocked"
  std::string text = {};
  friend bool operator==(const JobChange&, const JobChange&) = default;
};

struct QueueDiff {
  std::vector<JobChange> jobs = {};      ///< In the order in which they would happen.
  std::vector<QueueStatus> before = {};  ///< By name.
  std::vector<QueueStatus> after = {};
  friend bool operator==(const QueueDiff&, const QueueDiff&) = default;
};

/// Card time of whole jobs, in thousandths of a card x ms.
struct UsageRow {
  std::string queue = {};
  std::string user = {};
  model::JobId job = {};  ///< 0 in sums.
  std::string name = {};
  std::uint64_t jobs = 0;
  std::int64_t allocated_milli_card_ms = 0;  ///< From placement to the end: busy, lost, and the rest.
  std::int64_t busy_milli_card_ms = 0;       ///< Computing and saving checkpoints.
  std::int64_t lost_milli_card_ms = 0;       ///< Work that was not saved when an attempt ended.
  friend bool operator==(const UsageRow&, const UsageRow&) = default;
};

/// GET /v1/usage
struct UsageList {
  std::vector<UsageRow> rows = {};
  friend bool operator==(const UsageList&, const UsageList&) = default;
};

/// POST /v1/reservations: nodes kept free for some, or for nobody, during a window.
struct ReservationRequest {
  std::string name = {};  ///< One that exists is replaced.
  std::vector<std::string> nodes = {};
  TimeMs from_ms = 0;  ///< 0, or past: from now on.
  std::int64_t duration_ms = 0;
  std::vector<std::string> users = {};  ///< Whose jobs may use them; with `queues` empty too: nobody's.
  std::vector<std::string> queues = {};
  friend bool operator==(const ReservationRequest&, const ReservationRequest&) = default;
};

struct ReservationStatus {
  std::string name = {};
  std::vector<std::string> nodes = {};
  TimeMs from_ms = 0;
  TimeMs until_ms = 0;
  std::vector<std::string> users = {};
  std::vector<std::string> queues = {};
  bool is_active = false;
  /// On these nodes, not among its users, and not sure to have ended before the window: they are left alone.
  std::vector<model::JobId> jobs_in_the_way = {};
  friend bool operator==(const ReservationStatus&, const ReservationStatus&) = default;
};

struct ReservationList {
  std::vector<ReservationStatus> reservations = {};  ///< By name.
  friend bool operator==(const ReservationList&, const ReservationList&) = default;
};

struct EventList {
  std::vector<EventStatus> events = {};  ///< Oldest first.
  friend bool operator==(const EventList&, const EventList&) = default;
};

/// A secret without its value, which no answer ever holds.
struct SecretStatus {
  std::string name = {};
  TimeMs changed_ms = 0;
  friend bool operator==(const SecretStatus&, const SecretStatus&) = default;
};

struct SecretList {
  std::vector<SecretStatus> secrets = {};  ///< By name.
  friend bool operator==(const SecretList&, const SecretList&) = default;
};

/// POST /v1/keys
struct KeyRequest {
  std::string name = {};
  std::string tenant = {};                 ///< Whose limits and share it counts to; empty: the user's own.
  std::vector<std::string> services = {};  ///< Empty: all that let its tenant in.
  std::string requests = {};               ///< "10/s"; empty: no bound of its own.
  std::string tokens = {};                 ///< "50000/m"
  friend bool operator==(const KeyRequest&, const KeyRequest&) = default;
};

/// A key without its text, which only the answer to its making holds.
struct KeyStatus {
  std::string id = {};
  std::string name = {};
  std::string user = {};
  std::string tenant = {};
  std::vector<std::string> services = {};
  std::string requests = {};
  std::string tokens = {};
  TimeMs created_ms = 0;
  std::optional<std::string> key = {};  ///< Only in the answer to POST /v1/keys.
  friend bool operator==(const KeyStatus&, const KeyStatus&) = default;
};

struct KeyList {
  std::vector<KeyStatus> keys = {};  ///< By name.
  friend bool operator==(const KeyList&, const KeyList&) = default;
};

/// PUT /v1/tenants/{tenant}
struct TenantRequest {
  std::int64_t weight = 1;
  std::string requests = {};
  std::string tokens = {};
  friend bool operator==(const TenantRequest&, const TenantRequest&) = default;
};

struct TenantStatus {
  std::string name = {};
  std::int64_t weight = 1;
  std::string requests = {};
  std::string tokens = {};
  std::uint32_t keys = 0;
  friend bool operator==(const TenantStatus&, const TenantStatus&) = default;
};

struct TenantList {
  std::vector<TenantStatus> tenants = {};  ///< By name: those described, and those that keys name.
  friend bool operator==(const TenantList&, const TenantList&) = default;
};

/// One line of a task's output: `line` events of GET /v1/jobs/{job}/logs.
struct LogLine {
  std::uint32_t task = 0;
  std::uint32_t attempt = 0;
  TimeMs time_ms = 0;
  int stream = 1;  ///< 1 stdout, 2 stderr
  std::string text = {};
  friend bool operator==(const LogLine&, const LogLine&) = default;
};

struct ServerStatus {
  std::string version = {};
  std::string build_id = {};
  TimeMs started_ms = 0;
  std::uint64_t journal_sequence = 0;
  std::string state_hash = {};
  std::string runtime = {};
  struct Capability {
    std::string name = {};
    bool is_available = false;
    std::string detail = {};
    friend bool operator==(const Capability&, const Capability&) = default;
  };
  std::vector<Capability> capabilities = {};
  friend bool operator==(const ServerStatus&, const ServerStatus&) = default;
};

// For each type T above: Json to_json(const T&); Result<T> from_json<T>(const Json&).
Json to_json(const Diagnostic& value);
Json to_json(const SubmitRequest& value);
Json to_json(const TaskStatus& value);
Json to_json(const AttemptStatus& value);
Json to_json(const ProgressStatus& value);
Json to_json(const EfficiencyStatus& value);
Json to_json(const JobStatus& value);
Json to_json(const ReplicaStatus& value);
Json to_json(const ServiceStatus& value);
Json to_json(const ServiceList& value);
Json to_json(const SubmitAnswer& value);
Json to_json(const JobList& value);
Json to_json(const ChangeStatus& value);
Json to_json(const WhyAnswer& value);
Json to_json(const WhenAnswer& value);
Json to_json(const CardStatus& value);
Json to_json(const NodeStatus& value);
Json to_json(const NodeList& value);
Json to_json(const CardList& value);
Json to_json(const QueueRequest& value);
Json to_json(const QueueStatus& value);
Json to_json(const QueueList& value);
Json to_json(const QueueDiffRequest& value);
Json to_json(const JobChange& value);
Json to_json(const QueueDiff& value);
Json to_json(const UsageRow& value);
Json to_json(const UsageList& value);
Json to_json(const ReservationRequest& value);
Json to_json(const ReservationStatus& value);
Json to_json(const ReservationList& value);
Json to_json(const EventStatus& value);
Json to_json(const EventList& value);
Json to_json(const KeyRequest& value);
Json to_json(const KeyStatus& value);
Json to_json(const KeyList& value);
Json to_json(const TenantRequest& value);
Json to_json(const TenantStatus& value);
Json to_json(const TenantList& value);
Json to_json(const SecretStatus& value);
Json to_json(const SecretList& value);
Json to_json(const LogLine& value);
Json to_json(const ServerStatus& value);
/// kInvalidArgument names the field of a wrong type. Absent keys give the field's default, unknown keys are ignored.
template <class T>
Result<T> from_json(const Json& json);
/// The server's reader of requests (SubmitRequest, QueueRequest, ReservationRequest): unknown keys are refused too.
template <class T>
Result<T> from_json_strict(const Json& json);

/// Body of every answer with a status of 400 and above:
/// {"error": {"code", "message", "cause", "retryable", "diagnostics": [...]}}.
struct ErrorBody {
  Error error = {};
  std::vector<Diagnostic> diagnostics = {};
};
Json to_json(const ErrorBody& value);
/// Never fails: for a body that is not ours, the code nearest to the status.
ErrorBody error_body_from_json(const Json& json, int http_status);

/// Frames of the exec and attach WebSockets: binary messages, one byte of kind, then the payload.
enum class TerminalFrame : unsigned char {
  kStdin = 0,
  kStdinEnd = 1,
  kResize = 2,  ///< "ROWS COLUMNS"
  kSignal = 3,  ///< The number as text.
  kStdout = 11,
  kStderr = 12,
  kExit = 13,   ///< The exit code as text; the last frame.
  kError = 14,  ///< An error body; the last frame.
};

}  // namespace busbar::api
