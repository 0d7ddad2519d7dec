#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/units.h"
#include "control/health_checker.h"
#include "control/service_record.h"
#include "model/job.h"
#include "route/autoscale.h"
#include "route/demand_book.h"
#include "route/latency_sketch.h"
#include "route/table.h"
#include "store/store.h"

namespace busbar::control {

/// What `Services` needs of the jobs that its replicas are.
class ReplicaJobs {
 public:
  struct Job {
    model::JobState state = model::JobState::kQueued;
    std::uint32_t attempt = 0;  ///< The current or last; 0: none yet.
    bool is_attempt_over = false;
    std::string reason = {};
  };
  virtual ~ReplicaJobs() = default;
  virtual Result<model::JobId> start_replica(const model::JobSpec& spec, const std::string& user) = 0;
  virtual void stop_replica(model::JobId job) = 0;
  /// Pauses what its current attempt runs, or lets it go on.
  virtual void pause_replica(model::JobId job, bool is_paused) = 0;
  /// nullopt: it is over and forgotten.
  virtual std::optional<Job> find_replica(model::JobId job) const = 0;
  virtual void note_service(const std::string& kind, std::string text) = 0;
};

struct ServiceOptions {
  std::int64_t scale_down_after_ms = 60'000;
};

/// What others follow: told whole at each change.
struct ServiceView {
  route::Table table = {};
  std::vector<HealthTarget> targets = {};
};

/// What has to be committed before it is told.
struct ServiceChanges {
  std::vector<store::ServiceRow> rows = {};
  std::vector<std::string> removed = {};
  std::optional<std::uint64_t> table_version = {};
  std::optional<ServiceView> view = {};
};

/// All services as a state machine: what users want, what gateways see and what becomes of replicas in; replicas'
/// jobs started and stopped, the route table and the health checks wanted out. No threads, no clock, no store; times
/// come with the calls. Commands and observations only note what is new; `run` acts on it. Owned by the Ledger.
class Services {
 public:
  /// Borrows `jobs`.
  Services(ReplicaJobs& jobs, ServiceOptions options) : jobs_(jobs), options_(options) {}

  Result<void> recover(const std::vector<store::ServiceRow>& rows, std::uint64_t table_version, TimeMs now_ms);

  // Commands. An error leaves everything as it was. kNotFound names the nearest service.
  /// Makes it, or makes it so; the same again changes nothing.
  Result<void> apply(const model::JobSpec& spec, const std::string& user, TimeMs now_ms);
  Result<void> remove(const std::string& name, TimeMs now_ms);
  Result<void> scale(const std::string& name, std::uint32_t min, std::uint32_t max, TimeMs now_ms);
  /// To the revision that served before; also in the middle of an update.
  Result<void> roll_back(const std::string& name, TimeMs now_ms);

  // What was seen.
  void on_demand(const route::Demand& demand, TimeMs now_ms);
  /// `endpoint` as in HealthTarget::id.
  void on_health(const std::string& endpoint, bool is_ready, const std::string& detail, TimeMs now_ms);
  void on_job(model::JobId job);
  /// Where the leader of an attempt listens.
  void on_endpoint(model::AttemptId attempt, const std::string& address, std::uint16_t port, TimeMs now_ms);
  /// The engine could not pause a replica: it runs on, uses CPU and stands in for others all the same. Forgotten when
  /// it goes on or ends.
  void on_pause_refused(model::AttemptId attempt, const std::string& error);
  /// Attempts of replicas that run and whose address is not known: the server died before it was written down.
  std::vector<model::AttemptId> without_endpoint() const;

  /// Who may call, as gateways are told with the route table.
  void set_callers(std::vector<route::Key> keys, std::vector<route::Tenant> tenants);

  void run(TimeMs now_ms);
  std::optional<TimeMs> next_wakeup() const;
  bool has_changes() const { return !dirty_rows_.empty() || !removed_.empty() || is_view_changed_; }
  ServiceChanges take_changes();

  // Reading.
  const std::map<std::string, ServiceRecord>& all() const { return records_; }
  Result<const ServiceRecord*> find(const std::string& name) const;
  const route::Table& table() const { return table_; }
  const route::DemandBook& demand() const { return demand_; }
  /// Why the engine could not pause this replica; "": it could, or was not asked to.
  std::string pause_refusal(model::JobId replica) const;
  std::int64_t arrivals_per_second_milli(const std::string& name, TimeMs now_ms) const;

 private:
  struct RevisionCount {
    std::uint64_t finished = 0;
    std::uint64_t failed = 0;
    route::LatencySketch latency = {};
  };

  Result<ServiceRecord*> find_wanted(const std::string& name);
  Result<void> check_routes(const model::JobSpec& spec) const;
  void touch(const ServiceRecord& record);
  route::Autoscaler& scaler_of(const ServiceRecord& record, TimeMs now_ms);
  void begin_revision(ServiceRecord& record, ServiceRevision next, TimeMs now_ms);

  // services_run.cc
  void reconcile(ServiceRecord& record, TimeMs now_ms);
  bool step(ServiceRecord& record, TimeMs now_ms);
  void follow_jobs(ServiceRecord& record, TimeMs now_ms);
  bool follow_job(ServiceRecord& record, Replica& replica, TimeMs now_ms);
  void note_failure(ServiceRecord& record, const std::string& error, TimeMs now_ms);
  void give_up_late(ServiceRecord& record, TimeMs now_ms);
  void rescale(ServiceRecord& record, TimeMs now_ms);
  void judge_canary(ServiceRecord& record, TimeMs now_ms);
  std::string fault_of_canary(const ServiceRecord& record);
  bool start(ServiceRecord& record, const ServiceRevision& revision, std::uint32_t count, TimeMs now_ms);
  void drain(ServiceRecord& record, Replica& replica, TimeMs now_ms);
  void stop(ServiceRecord& record, Replica& replica, TimeMs now_ms);
  void stop_drained(ServiceRecord& record, TimeMs now_ms);
  void tell_pauses(const ServiceRecord& record);
  std::uint32_t wanted_paused(const ServiceRecord& record) const;
  bool may_stop(const ServiceRecord& record, const Replica& replica, TimeMs now_ms) const;
  void set_phase(ServiceRecord& record, Replica& replica, ReplicaPhase phase, TimeMs now_ms);
  std::optional<TimeMs> wakeup_of(const ServiceRecord& record, TimeMs now_ms) const;
  void refresh_view();
  void count_gateways();

  ReplicaJobs& jobs_;
  ServiceOptions options_;
  TimeMs since_ms_ = 0;  ///< When this life of the server began.
  std::map<std::string, ServiceRecord> records_;
  std::map<std::string, route::Autoscaler> scalers_;
  std::map<std::string, std::uint32_t> expected_;  ///< Replicas that will be needed soon.
  std::map<std::string, std::map<std::uint32_t, RevisionCount>> canaries_;
  std::map<model::JobId, std::string> service_of_job_;
  std::map<model::JobId, bool> is_paused_;  ///< What the engine was told last; absent: nothing, so it is not.
  std::map<model::JobId, std::string> refused_pauses_;
  route::DemandBook demand_;
  std::set<std::string> due_;  ///< To be looked at by the next `run`.
  std::map<std::string, TimeMs> wakeups_;
  route::Table table_;
  std::vector<HealthTarget> targets_;
  std::set<std::string> dirty_rows_;
  std::vector<std::string> removed_;
  bool is_view_changed_ = false;
};

}  // namespace busbar::control
