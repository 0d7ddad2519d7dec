#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "api/types.h"
#include "base/clock.h"
#include "base/error.h"
#include "chip/builtin_catalogue.h"
#include "control/callers.h"
#include "control/job_record.h"
#include "control/services.h"
#include "engine/engine.h"
#include "sched/core.h"
#include "sched/journal.h"
#include "store/store.h"

namespace busbar::control {

struct LedgerOptions {
  /// At least; and until the journal since the last one is as large as that: docs/configuration.md.
  std::uint64_t snapshot_every_steps = 1'000;
  std::vector<model::Queue> queues = {};  ///< Of the configuration; made or changed at start.
  sched::Policy policy = {};              ///< Same.
  /// What names of chips mean; borrowed.
  const chip::Catalogue* catalogue = &chip::builtin_catalogue();
  ServiceOptions services = {};
};

/// What a user asks to run, already parsed: one spec, or the members of an array in index order.
struct SubmitCommand {
  std::vector<model::JobSpec> members = {};
  std::string user = {};
  std::string client_key = {};
  std::string request_id = {};
  bool has_terminal = false;
  bool may_wait_infeasible = false;
};
struct SubmitOutcome {
  std::vector<api::JobStatus> jobs = {};
  bool is_repeated = false;
};

// Orders to the engine that follow from a step. Carried out only after the step is committed.
struct StartOrder {
  model::AttemptId attempt = {};
  model::Placement placement = {};
  model::JobSpec spec = {};
  std::string user = {};
  bool has_terminal = false;
};
struct ReleaseOrder {
  model::AttemptId attempt = {};
};
/// More tasks for an attempt that runs: `start` with the whole placement, of which those from `first_rank` on are new.
struct ExtendOrder {
  StartOrder start = {};
  std::uint32_t first_rank = 0;
  std::uint32_t generation = 0;  ///< Of its members.
};
/// The tasks from rank `placement.tasks.size()` on end; `start` with those that go on.
struct ShrinkOrder {
  StartOrder start = {};
  std::uint32_t generation = 0;
  std::int64_t grace_ms = 0;
  int signal_first = 0;
};
struct StopOrder {
  model::AttemptId attempt = {};
  std::int64_t grace_ms = 0;
  int signal_first = 0;
};
struct PauseOrder {
  model::AttemptId attempt = {};
  bool is_paused = true;  ///< False: it goes on.
};
using EngineOrder = std::variant<StartOrder, ReleaseOrder, StopOrder, PauseOrder, ExtendOrder, ShrinkOrder>;

/// All that came of one or more changes: to be committed as one, then carried out and told.
struct Step {
  store::Transaction transaction = {};
  std::vector<EngineOrder> orders = {};
  std::vector<api::JobStatus> changed_jobs = {};  ///< Full status, for watchers.
  std::vector<store::EventRow> events = {};
  std::optional<ServiceView> services = {};    ///< Set where it has changed.
  std::vector<std::int64_t> reclaims_ms = {};  ///< How long jobs waited that started on cards claimed from others.
};

/// Makes or changes queues on a core, in whatever order the tree allows; gives all that was decided. The error of the
/// first that cannot be made.
Result<std::vector<sched::Decision>> try_queues(sched::Core& core, std::vector<model::Queue> queues, TimeMs now_ms);

/// The server's state as a state machine around the core: commands and facts in, a Step out. No threads, no engine, no
/// waiting; the clock gives times only. Reads the store (client keys, ended jobs), writes it never: `take_step` hands
/// out what is to be committed. Not thread-safe: owned by the Controller's thread.
class Ledger final : private ReplicaJobs {
 public:
  /// Borrows both. Starts empty; `recover` first.
  Ledger(const Clock& clock, store::Store& store, LedgerOptions options);

  /// Reads the last snapshot and the journal after it, and the rows of jobs that are not over.
  Result<void> recover();
  /// Attempts that should exist, for Engine::adopt.
  std::vector<engine::AttemptLaunch> open_attempts() const;
  /// What was decided and committed but may not have reached the engine: the start of what it says has not begun, and
  /// stops (idempotent there).
  std::vector<EngineOrder> orders_to_repeat(const std::vector<model::AttemptId>& not_begun) const;
  /// Declares what the engine has; nodes that it no longer has become unreachable.
  Result<void> observe_nodes(const std::vector<model::Node>& nodes);

  // Commands. An error leaves everything as it was.
  Result<SubmitOutcome> submit(SubmitCommand command);
  /// Also of a job that is stopping: a shorter grace then takes effect.
  Result<void> cancel(model::JobId job, std::optional<std::int64_t> grace_ms, const std::string& actor,
                      const std::string& request_id);
  Result<void> set_node_state(const std::string& node, model::NodeState state, const std::string& actor);
  Result<void> put_queue(const model::Queue& queue, const std::string& actor);
  Result<api::ReservationStatus> reserve(const api::ReservationRequest& request, const std::string& actor);
  Result<void> cancel_reservation(const std::string& name, const std::string& actor);
  void put_secret(store::SecretRow row);
  void note_files_deleted(model::JobId job, std::string text) { note(job, "files_deleted", std::move(text)); }
  /// Ids up to this one are not given to new jobs: files of such a job are there, though the store (restored from a
  /// backup) does not know it.
  void skip_job_ids(model::JobId last) { last_job_id_ = std::max(last_job_id_, last.value); }
  Result<void> remove_secret(const std::string& name);
  /// Where a job would be placed on the cluster as declared, were it empty. kInfeasible with the proof.
  Result<model::Placement> placement_when_empty(const model::JobSpec& spec) const;

  // Services. An error leaves everything as it was.
  /// `may_wait`: also where the cluster as declared could not run one replica.
  Result<api::ServiceStatus> apply_service(const model::JobSpec& spec, const std::string& user, bool may_wait);
  Result<api::ServiceStatus> remove_service(const std::string& name);
  Result<api::ServiceStatus> scale_service(const std::string& name, std::uint32_t min, std::uint32_t max);
  Result<api::ServiceStatus> roll_back_service(const std::string& name);
  Result<api::KeyStatus> create_key(const api::KeyRequest& request, const NewKey& key, const std::string& user);
  Result<api::KeyStatus> revoke_key(const std::string& id_or_name, const std::string& actor);
  Result<api::TenantStatus> put_tenant(const std::string& name, const api::TenantRequest& request,
                                       const std::string& actor);
  Result<api::TenantStatus> remove_tenant(const std::string& name, const std::string& actor);
  void on_demand(const route::Demand& demand) { services_.on_demand(demand, now_ms()); }
  void on_health(const std::string& endpoint, bool is_ready, const std::string& detail) {
    services_.on_health(endpoint, is_ready, detail, now_ms());
  }
  /// Where the leader of an attempt listens; says nothing of jobs that are no replicas.
  void on_pause_refused(model::AttemptId attempt, const std::string& error) {
    services_.on_pause_refused(attempt, error);
  }
  void on_endpoint(model::AttemptId attempt, const std::string& address, std::uint16_t port) {
    services_.on_endpoint(attempt, address, port, now_ms());
  }

  /// What the engine saw. Facts that do not fit (late, repeated, of an older attempt) change nothing.
  void on_fact(const engine::Fact& fact);
  /// Time went by.
  void tick();
  std::optional<TimeMs> next_wakeup() const;

  bool has_changes() const;
  /// What has changed since the last call. The caller must commit its transaction, however often that takes, before it
  /// acts on the rest.
  Step take_step();

  // Reading.
  const sched::Core& core() const { return core_; }
  const std::map<model::JobId, JobRecord>& live_jobs() const { return jobs_; }
  const std::map<std::string, store::SecretRow>& secrets() const { return secrets_; }
  /// An id, or a name: the newest job so called, over or not; a service: its newest replica.
  Result<model::JobId> resolve_job(const std::string& id_or_name) const;
  Result<api::JobStatus> job_status(model::JobId id) const;
  Result<api::JobList> list_jobs(const store::JobFilter& filter) const;
  /// Of a job that is over: what ended it.
  Result<api::WhyAnswer> why_over(model::JobId id) const;
  std::vector<api::NodeStatus> node_statuses() const;
  api::ReservationList reservations() const;
  const Services& services() const { return services_; }
  const Callers& callers() const { return callers_; }
  Result<api::ServiceStatus> service_status(const std::string& name) const;
  api::ServiceList list_services() const;
  std::uint64_t sequence() const { return sequence_; }

 private:
  // ledger_core.cc: events into the core, decisions out of it.
  Result<void> apply(sched::EventBody body, const std::string& actor, const std::string& request_id);
  Result<std::vector<sched::Decision>> decide(sched::EventBody body, const std::string& actor,
                                              const std::string& request_id);
  void carry_out(const std::vector<sched::Decision>& decisions);
  void carry_out(const sched::Place& place);
  void carry_out(const sched::Stop& stop);
  void carry_out(const sched::Requeue& requeue);
  void carry_out(const sched::Finish& finish);
  void carry_out(const sched::Refuse& refuse);
  void carry_out(const sched::Block& block);
  StopOrder stop_order(const JobRecord& record, model::AttemptId attempt) const;
  void carry_out(const sched::Claim& claim);
  void carry_out(const sched::EndHold& end);
  void carry_out(const sched::Reserve& reserve);
  void carry_out(const sched::Extend& extend);
  void carry_out(const sched::Shrink& shrink);
  StartOrder start_order(const JobRecord& record, model::Placement placement) const;
  void add_resize_orders(const JobRecord& record, std::vector<EngineOrder>& orders) const;
  Result<void> apply_configured_queues();
  void follow_state(JobRecord& record);
  void note(model::JobId job, std::string kind, std::string text, Json detail = {});
  JobRecord* find_live(model::JobId id);
  api::TaskStatus* find_task(const model::TaskId& task);

  Result<void> change_health(const model::Node& node);
  std::string health_detail(const std::string& node, const model::Card& card) const;

  // ledger_facts.cc
  void on(const engine::NodeObserved& fact, TimeMs at_ms);
  void on(const engine::ImageReady& fact, TimeMs at_ms);
  void on(const engine::GangCreated& fact, TimeMs at_ms);
  void on(const engine::GangReleased& fact, TimeMs at_ms);
  void on(const engine::TaskEnded& fact, TimeMs at_ms);
  void on(const engine::AttemptGone& fact, TimeMs at_ms);
  void on(const engine::ReportLines& fact, TimeMs at_ms);
  void on(const engine::TasksAdded& fact, TimeMs at_ms);
  void on(const engine::TasksRemoved& fact, TimeMs at_ms);

  Result<model::NodeId> find_node(const std::string& name) const;
  api::ReservationStatus status_of(const model::Reservation& reservation) const;

  // ledger_submit.cc
  Result<std::vector<sched::JobRequest::Dependency>> resolve_dependencies(const model::JobSpec& spec) const;
  std::optional<SubmitOutcome> repeated_submit(const SubmitCommand& command) const;
  Result<void> check_submit(const SubmitCommand& command) const;

  // ledger_services.cc
  Result<model::JobId> start_replica(const model::JobSpec& spec, const std::string& user) override;
  void stop_replica(model::JobId job) override;
  void pause_replica(model::JobId job, bool is_paused) override;
  std::optional<Job> find_replica(model::JobId job) const override;
  void note_service(const std::string& kind, std::string text) override { note({}, kind, std::move(text)); }
  Result<void> recover_services();
  void run_services();
  void take_service_changes();
  void take_caller_changes();

  TimeMs now_ms() const;
  bool is_snapshot_due() const;

  const Clock& clock_;
  store::Store& store_;
  LedgerOptions options_;
  sched::Core core_;
  std::map<model::JobId, JobRecord> jobs_;  ///< Not over, or over in this step.
  std::map<std::string, store::SecretRow> secrets_;
  /// What the engine last said of unhealthy cards: by node, then card.
  std::map<std::string, std::map<std::uint16_t, std::string>> health_details_;
  std::uint64_t sequence_ = 0;
  std::uint64_t last_event_id_ = 0;
  std::uint64_t last_job_id_ = 0;
  std::uint64_t last_snapshot_sequence_ = 0;
  std::size_t last_snapshot_bytes_ = 0;
  std::size_t journal_bytes_ = 0;  ///< Since then.
  bool is_first_snapshot_due_ = true;
  Step step_;
  std::map<model::JobId, TimeMs> claimed_ms_;  ///< Since when cards are being freed for them.
  std::set<model::JobId> dirty_jobs_;
  Services services_;
  Callers callers_;
  std::string refusal_;  ///< Of the submission being decided.
  ErrorCode refusal_code_ = ErrorCode::kInternal;
};

}  // namespace busbar::control
