#include "control/controller.h"

#include <gtest/gtest.h>

#include <future>
#include <memory>
#include <set>

#include "engine/fake_engine.h"
#include "launch/job_file.h"
#include "launch/launch_plan.h"
#include "os/system_clock.h"
#include "os/test_dir.h"
#include "store/sqlite/sqlite_store.h"

namespace busbar::control {
namespace {

using model::JobState;

class NoSecretsBuilder final : public LaunchBuilder {
 public:
  Result<engine::AttemptLaunch> build(const StartOrder& order, const Ledger&) override {
    engine::AttemptLaunch launch{.id = order.attempt, .job_name = order.spec.name, .user = order.user};
    if (order.spec.service) launch.service_port = static_cast<std::uint16_t>(20'000 + order.attempt.job.value);
    for (const model::TaskPlacement& task : order.placement.tasks) {
      launch.tasks.push_back({.rank = task.rank, .argv = {"/bin/sh", "-c", order.spec.run}});
    }
    return launch;
  }
};

/// Lets a test wait for a state instead of looking again and again.
class Listener final : public ChangeListener {
 public:
  void on_job(const api::JobStatus& status) override {
    const std::lock_guard lock(mutex_);
    last_[status.id] = status;
    changed_.notify_all();
  }
  void on_event(const store::EventRow& event) override {
    const std::lock_guard lock(mutex_);
    kinds_.insert(event.kind);
  }
  void on_services(const ServiceView& view) override {
    const std::lock_guard lock(mutex_);
    services_ = view;
    changed_.notify_all();
  }
  ServiceView wait_services(const std::function<bool(const ServiceView&)>& is_there) {
    std::unique_lock lock(mutex_);
    EXPECT_TRUE(changed_.wait_for(lock, std::chrono::seconds(20), [&] { return is_there(services_); }))
        << route::to_json(services_.table).dump();
    return services_;
  }
  api::JobStatus wait(model::JobId id, JobState state) {
    std::unique_lock lock(mutex_);
    const bool is_there = changed_.wait_for(lock, std::chrono::seconds(20), [&] {
      const auto found = last_.find(id);
      return found != last_.end() && found->second.state == state;
    });
    EXPECT_TRUE(is_there) << "job " << id.value << " is not " << model::job_state_name(state) << " but "
                          << (last_.contains(id) ? model::job_state_name(last_[id].state) : "unknown");
    return last_[id];
  }
  bool has_seen(const std::string& kind) {
    const std::lock_guard lock(mutex_);
    return kinds_.contains(kind);
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<model::JobId, api::JobStatus> last_;
  std::set<std::string> kinds_;
  ServiceView services_;
};

/// A store that can be told to refuse, as a full disk does.
class FlakyStore final : public store::Store {
 public:
  explicit FlakyStore(std::unique_ptr<store::Store> inner) : inner_(std::move(inner)) {}
  std::atomic<bool> is_full = false;
  /// Full after so many more commits; negative: never.
  std::atomic<int> fails_after = -1;

  void wait_full() const { is_full.wait(false); }

  Result<void> commit(const store::Transaction& transaction) override {
    if (!is_full && fails_after == 0) {
      is_full = true;
      is_full.notify_all();
    }
    if (fails_after > 0) --fails_after;
    if (is_full) return make_error(ErrorCode::kResourceExhausted, "no space left");
    return inner_->commit(transaction);
  }
  Result<std::vector<store::JobRow>> jobs(const store::JobFilter& filter) override { return inner_->jobs(filter); }
  Result<std::optional<store::JobRow>> job(model::JobId id) override { return inner_->job(id); }
  Result<std::optional<store::JobRow>> job_by_client_key(std::string_view user, std::string_view key) override {
    return inner_->job_by_client_key(user, key);
  }
  Result<std::vector<store::AttemptRow>> attempts(model::JobId job) override { return inner_->attempts(job); }
  Result<std::vector<store::AttemptRow>> open_attempts() override { return inner_->open_attempts(); }
  Result<std::vector<store::EventRow>> events(model::JobId job, std::uint64_t after, std::size_t limit) override {
    return inner_->events(job, after, limit);
  }
  Result<std::vector<store::SecretRow>> secrets() override { return inner_->secrets(); }
  Result<std::vector<store::ServiceRow>> services() override { return inner_->services(); }
  Result<std::vector<store::CallerRow>> callers() override { return inner_->callers(); }
  Result<std::optional<std::string>> meta(std::string_view name) override { return inner_->meta(name); }
  Result<std::optional<store::SnapshotRow>> latest_snapshot() override { return inner_->latest_snapshot(); }
  Result<void> read_frames(std::uint64_t after,
                           const std::function<Result<void>(std::uint64_t, std::string_view)>& each) override {
    return inner_->read_frames(after, each);
  }
  Result<std::uint64_t> last_sequence() override { return inner_->last_sequence(); }
  Result<std::uint64_t> last_event_id() override { return inner_->last_event_id(); }
  Result<model::JobId> last_job_id() override { return inner_->last_job_id(); }
  Result<void> backup(const std::string& path) override { return inner_->backup(path); }
  Result<void> verify() override { return inner_->verify(); }

 private:
  std::unique_ptr<store::Store> inner_;
};

/// One server life after another on the same directory and the same machine.
class ControllerTest : public testing::Test {
 protected:
  void SetUp() override { boot(); }
  void TearDown() override { crash(); }

  void boot() {
    auto opened = store::open_sqlite_store({.path = dir_.path() + "/busbar.db", .is_synchronous_full = false});
    ASSERT_TRUE(opened) << opened.error().to_string();
    store_ = std::make_unique<FlakyStore>(*std::move(opened));
    engine_ = std::make_unique<engine::FakeEngine>(machine_, clock_);
    metrics_ = std::make_unique<Metrics>();
    listener_ = std::make_unique<Listener>();
    auto started = Controller::start({.store = *store_,
                                      .engine = *engine_,
                                      .launches = builder_,
                                      .listener = *listener_,
                                      .clock = clock_,
                                      .metrics = *metrics_},
                                     options_);
    ASSERT_TRUE(started) << started.error().to_string();
    controller_ = *std::move(started);
  }

  void crash() {
    if (engine_) engine_->shutdown();
    controller_.reset();
    engine_.reset();
    store_.reset();
  }

  /// Runs on the control thread and waits for the commit.
  template <class T>
  Result<T> ask(std::function<Result<T>(Ledger&)> question) {
    auto promise = std::make_shared<std::promise<Result<T>>>();
    auto future = promise->get_future();
    controller_->post([question, promise](Ledger& ledger) -> Controller::Reply {
      auto result = std::make_shared<Result<T>>(question(ledger));
      return [promise, result](const Ledger&) { promise->set_value(std::move(*result)); };
    });
    return future.get();
  }

  Result<SubmitOutcome> submit(const std::string& text, const std::string& key = "") {
    const launch::ParsedJob parsed = launch::parse_job_file(text);
    EXPECT_TRUE(parsed.is_valid) << launch::format_diagnostics("job", text, parsed.diagnostics);
    SubmitCommand command{.members = launch::expand_array(parsed.spec), .user = "ada", .client_key = key};
    return ask<SubmitOutcome>([command](Ledger& ledger) { return ledger.submit(command); });
  }

  api::JobStatus status(model::JobId id) {
    return *ask<api::JobStatus>([id](Ledger& ledger) { return ledger.job_status(id); });
  }

  os::TestDir dir_;
  os::SystemClock clock_;
  NoSecretsBuilder builder_;
  LedgerOptions options_{.snapshot_every_steps = 5};
  std::shared_ptr<engine::FakeMachine> machine_ = std::make_shared<engine::FakeMachine>();
  std::unique_ptr<FlakyStore> store_;
  std::unique_ptr<engine::FakeEngine> engine_;
  std::unique_ptr<Metrics> metrics_;
  std::unique_ptr<Listener> listener_;
  std::unique_ptr<Controller> controller_;
};

TEST_F(ControllerTest, RunsAJobToItsEndAndKeepsItsStory) {
  const auto outcome = submit("name: one\nrun: exit 0\n");
  ASSERT_TRUE(outcome) << outcome.error().to_string();
  const model::JobId id = outcome->jobs.front().id;
  listener_->wait(id, JobState::kSucceeded);
  const api::JobStatus done = status(id);
  EXPECT_EQ(done.exit_code, 0);
  ASSERT_EQ(done.attempts.size(), 1U);
  EXPECT_EQ(done.attempts.front().tasks.front().state, "ended");
  EXPECT_GT(done.ended_ms, 0);
  for (const char* kind : {"submitted", "placed", "started", "succeeded"})
    EXPECT_TRUE(listener_->has_seen(kind)) << kind;
}

TEST_F(ControllerTest, CardMillisecondsAddUpToTheJobsWholeLife) {
  const auto outcome = submit("name: one\nrun: exit 0\nnodes: 2\nresources: {accelerators: 'cpu:2'}\n");
  ASSERT_TRUE(outcome) << outcome.error().to_string();
  const model::JobId id = outcome->jobs.front().id;
  listener_->wait(id, JobState::kSucceeded);
  const api::JobStatus done = status(id);
  EXPECT_EQ(done.efficiency.total_milli_card_ms, (done.ended_ms - done.submitted_ms) * 4000);
}

TEST_F(ControllerTest, GivesTheSameJobForTheSameClientKeyAlsoAfterARestart) {
  const auto first = submit("name: one\nrun: exit 0\n", "key");
  ASSERT_TRUE(first);
  listener_->wait(first->jobs.front().id, JobState::kSucceeded);
  crash();
  boot();
  const auto again = submit("name: one\nrun: exit 0\n", "key");
  ASSERT_TRUE(again);
  EXPECT_TRUE(again->is_repeated);
  EXPECT_EQ(again->jobs.front().id, first->jobs.front().id);
}

TEST_F(ControllerTest, FindsAfterARestartTheExitThatHappenedInBetween) {
  const auto outcome = submit("name: one\nrun: sleep 1000\n");
  ASSERT_TRUE(outcome);
  const model::JobId id = outcome->jobs.front().id;
  listener_->wait(id, JobState::kRunning);
  crash();
  machine_->end_task({{id, 1}, 0}, model::ExitClass::kUser, 9);
  boot();
  listener_->wait(id, JobState::kFailed);
  const api::JobStatus done = status(id);
  EXPECT_EQ(done.exit_code, 9);
  EXPECT_EQ(machine_->started().size(), 1U) << "nothing may start twice";
}

TEST_F(ControllerTest, StartsAgainAnAttemptThatTheEngineNeverGot) {
  machine_->fail_next_start({.code = ErrorCode::kUnavailable, .message = "runtime away"});
  const auto outcome = submit("name: one\nrun: exit 0\n");
  ASSERT_TRUE(outcome);
  const api::JobStatus done = listener_->wait(outcome->jobs.front().id, JobState::kSucceeded);
  EXPECT_EQ(done.attempt, 2U);
  EXPECT_EQ(done.attempts.front().exit_class, "infrastructure");
}

TEST_F(ControllerTest, AServerThatDiesWhileItStartsAJobCostsTheJobNothing) {
  machine_ = std::make_shared<engine::FakeMachine>(engine::FakeMachineOptions{.creates_by_itself = false});
  crash();
  boot();
  const auto outcome = submit("name: one\nrun: sleep 1000\n");
  ASSERT_TRUE(outcome);
  const model::JobId id = outcome->jobs.front().id;
  for (int life = 0; life < 8; ++life) {  // more than the failures of the platform that a job is given
    crash();
    boot();
  }
  machine_->create_gang({id, 1});
  const api::JobStatus running = listener_->wait(id, JobState::kRunning);
  EXPECT_EQ(running.attempt, 1U);
}

TEST_F(ControllerTest, AStopThatNeverReachedTheEngineIsGivenAgain) {
  const auto outcome = submit("name: one\nrun: sleep 1000\n");
  ASSERT_TRUE(outcome);
  const model::JobId id = outcome->jobs.front().id;
  listener_->wait(id, JobState::kRunning);
  crash();
  {
    // What a server does that dies between its commit and its order.
    auto opened = store::open_sqlite_store({.path = dir_.path() + "/busbar.db", .is_synchronous_full = false});
    ASSERT_TRUE(opened);
    Ledger ledger(clock_, **opened, {});
    ASSERT_TRUE(ledger.recover());
    ASSERT_TRUE(ledger.cancel(id, std::nullopt, "ada", ""));
    ASSERT_TRUE((*opened)->commit(ledger.take_step().transaction));
  }
  boot();
  listener_->wait(id, JobState::kCancelled);
}

TEST_F(ControllerTest, RefusesWhatCanNeverFitWithTheProof) {
  const auto outcome = submit("name: big\nrun: exit 0\nresources: {accelerators: 'cpu:400'}\n");
  ASSERT_FALSE(outcome);
  EXPECT_EQ(outcome.error().code, ErrorCode::kInfeasible);
  EXPECT_NE(outcome.error().message.find("400"), std::string::npos) << outcome.error().message;
}

TEST_F(ControllerTest, CancelsAWaitingJobAtOnce) {
  const auto holder = submit("name: holder\nrun: sleep 1000\nresources: {accelerators: 'cpu:4'}\n");
  ASSERT_TRUE(holder);
  const auto waiting = submit("name: waiting\nrun: exit 0\nresources: {accelerators: 'cpu:1'}\n");
  ASSERT_TRUE(waiting);
  const model::JobId id = waiting->jobs.front().id;
  EXPECT_EQ(waiting->jobs.front().state, JobState::kQueued);
  ASSERT_TRUE(ask<bool>([id](Ledger& ledger) -> Result<bool> {
    TRY(ledger.cancel(id, std::nullopt, "ada", ""));
    return true;
  }));
  listener_->wait(id, JobState::kCancelled);
}

TEST_F(ControllerTest, KeepsReservedNodesFreeAcrossARestartUntilCancelled) {
  const auto made = ask<api::ReservationStatus>([](Ledger& ledger) {
    const std::string node = ledger.core().find_node(ledger.core().nodes().front())->name;
    return ledger.reserve({.name = "firmware", .nodes = {node}, .duration_ms = 3'600'000}, "root");
  });
  ASSERT_TRUE(made) << made.error().to_string();
  EXPECT_TRUE(made->is_active);
  const auto outcome = submit("name: one\nrun: exit 0\ntime_limit: 1m\n");
  ASSERT_TRUE(outcome) << outcome.error().to_string();
  EXPECT_EQ(outcome->jobs.front().state, JobState::kQueued);
  crash();
  boot();
  const auto list =
      ask<api::ReservationList>([](Ledger& ledger) -> Result<api::ReservationList> { return ledger.reservations(); });
  ASSERT_EQ(list->reservations.size(), 1U);
  EXPECT_EQ(list->reservations.front(), *made);
  EXPECT_EQ(status(outcome->jobs.front().id).state, JobState::kQueued);
  ASSERT_TRUE(ask<bool>([](Ledger& ledger) -> Result<bool> {
    TRY(ledger.cancel_reservation("firmware", "root"));
    return true;
  }));
  listener_->wait(outcome->jobs.front().id, JobState::kSucceeded);
}

TEST_F(ControllerTest, TheRulesOfTheConfigurationHoldFromItsStartOn) {
  const auto hold_ms = [&] {
    return *ask<std::int64_t>([](Ledger& ledger) -> Result<std::int64_t> { return ledger.core().policy().hold_ms; });
  };
  const auto sequence = [&] {
    return *ask<std::uint64_t>([](Ledger& ledger) -> Result<std::uint64_t> { return ledger.sequence(); });
  };
  ASSERT_EQ(hold_ms(), sched::Policy{}.hold_ms);
  crash();
  options_.policy.hold_ms = 77'000;
  boot();
  EXPECT_EQ(hold_ms(), 77'000);
  const std::uint64_t before = sequence();
  crash();
  boot();
  EXPECT_EQ(hold_ms(), 77'000);
  EXPECT_EQ(sequence(), before) << "what holds already is not recorded again";
}

TEST_F(ControllerTest, RefusesReservationsOfNodesAndQueuesThatDoNotExist) {
  const auto reserve = [this](api::ReservationRequest request) {
    return ask<api::ReservationStatus>([request](Ledger& ledger) { return ledger.reserve(request, "root"); });
  };
  const auto unknown_node = reserve({.name = "x", .nodes = {"nowhere"}, .duration_ms = 1'000});
  EXPECT_EQ(unknown_node.error().code, ErrorCode::kNotFound);
  EXPECT_EQ(reserve({.name = "x", .nodes = {}, .duration_ms = 1'000}).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(reserve({.name = "X Y", .duration_ms = 1'000}).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(reserve({.name = "x", .duration_ms = 0}).error().code, ErrorCode::kInvalidArgument);
}

TEST_F(ControllerTest, HoldsEverythingBackWhileTheStoreRefusesAndGoesOnAfter) {
  store_->is_full = true;
  const launch::ParsedJob parsed = launch::parse_job_file("name: one\nrun: exit 0\n");
  std::promise<std::pair<model::JobId, bool>> answered;
  controller_->post([&](Ledger& ledger) -> Controller::Reply {
    const auto outcome = ledger.submit({.members = {parsed.spec}, .user = "ada"});
    const model::JobId id = outcome->jobs.front().id;
    return [&, id](const Ledger&) { answered.set_value({id, controller_->is_degraded()}); };
  });
  const auto [id, is_unconfirmed] = answered.get_future().get();
  EXPECT_TRUE(is_unconfirmed);
  EXPECT_TRUE(machine_->started().empty()) << "nothing starts that is not on disk";
  store_->is_full = false;
  listener_->wait(id, JobState::kSucceeded);
  EXPECT_FALSE(controller_->is_degraded());
}

TEST_F(ControllerTest, ReportsBecomeProgressAndAreCountedOnce) {
  const auto outcome = submit("name: one\nrun: sleep 1000\n");
  ASSERT_TRUE(outcome);
  const model::JobId id = outcome->jobs.front().id;
  listener_->wait(id, JobState::kRunning);
  machine_->report({{id, 1}, 0}, {R"({"kind":"step","time_ms":1,"step":5,"total_steps":10,"loss":0.5})"});
  crash();
  boot();
  machine_->end_task({{id, 1}, 0}, model::ExitClass::kSuccess, 0);
  listener_->wait(id, JobState::kSucceeded);
  EXPECT_EQ(status(id).progress.step, 5);
  EXPECT_EQ(status(id).progress.total_steps, 10);
}

TEST_F(ControllerTest, ACardThatFailsIsToldWithItsReasonAndGetsNoMoreWork) {
  const auto card_of = [this](std::size_t index) {
    return *ask<api::CardStatus>(
        [index](Ledger& ledger) -> Result<api::CardStatus> { return ledger.node_statuses().at(0).cards.at(index); });
  };
  // What the engine saw at its start comes before the end of a job.
  const auto first = submit("name: first\nrun: exit 0\n");
  ASSERT_TRUE(first);
  listener_->wait(first->jobs.front().id, JobState::kSucceeded);
  const std::size_t cards = engine_->observe_nodes()->at(0).cards.size();
  const auto observe = [this](model::CardHealth health, const std::string& why) {
    engine::NodeObserved fact{.node = engine_->observe_nodes()->at(0)};
    fact.node.cards.at(0).health = health;
    if (!why.empty()) fact.health_details[0] = why;
    (void)ask<bool>([fact](Ledger& ledger) -> Result<bool> {
      ledger.on_fact({.time_ms = 1, .body = fact});
      return true;
    });
  };
  // Facts come in order: what the engine said of its node when it began is behind us once a job has run.
  listener_->wait(submit("name: first\nrun: exit 0\n")->jobs.front().id, JobState::kSucceeded);
  observe(model::CardHealth::kUnhealthy, "Xid 79");
  EXPECT_TRUE(listener_->has_seen("card_health"));
  EXPECT_EQ(card_of(0).health, "unhealthy");
  EXPECT_EQ(card_of(0).health_detail, "Xid 79");
  std::string text = "name: all\nrun: exit 0\nresources: {accelerators: 'cpu:" + std::to_string(cards) + "'}\n";
  const auto waiting = submit(text);
  ASSERT_TRUE(waiting) << waiting.error().to_string();
  EXPECT_EQ(waiting->jobs.front().state, JobState::kQueued);
  observe(model::CardHealth::kHealthy, "");
  EXPECT_EQ(card_of(0).health_detail, "");
  listener_->wait(waiting->jobs.front().id, JobState::kSucceeded);
}

TEST_F(ControllerTest, RunsAThousandJobsInOneQueue) {
  constexpr int kJobs = 1'000;
  std::vector<model::JobId> ids;
  for (int i = 0; i < kJobs; ++i) {
    const auto outcome = submit("name: short\nrun: exit 0\nresources: {accelerators: 'cpu:1'}\n");
    ASSERT_TRUE(outcome) << outcome.error().to_string();
    ids.push_back(outcome->jobs.front().id);
  }
  for (const model::JobId id : ids) listener_->wait(id, JobState::kSucceeded);
  EXPECT_TRUE(machine_->present().empty());
}

TEST_F(ControllerTest, AServiceIsTheSameAfterACrash) {
  const launch::ParsedJob parsed =
      launch::parse_job_file("name: vad\ntype: service\nrun: sleep 1000\nservice: {replicas: 2}\n");
  ASSERT_TRUE(parsed.is_valid);
  const auto applied =
      ask<api::ServiceStatus>([&parsed](Ledger& ledger) { return ledger.apply_service(parsed.spec, "ada", false); });
  ASSERT_TRUE(applied) << applied.error().to_string();
  const ServiceView started =
      listener_->wait_services([](const ServiceView& view) { return view.targets.size() == 2; });
  EXPECT_EQ(started.targets[0].port, 20'001);
  EXPECT_TRUE(started.table.services.at(0).endpoints.empty());
  for (const HealthTarget& target : started.targets) {
    controller_->post([id = target.id](Ledger& ledger) -> Controller::Reply {
      ledger.on_health(id, true, "");
      return {};
    });
  }
  const auto is_ready = [](const ServiceView& view) {
    return !view.table.services.empty() && view.table.services.at(0).endpoints.size() == 2;
  };
  const route::Table before = listener_->wait_services(is_ready).table;

  crash();
  boot();
  const ServiceView after = listener_->wait_services(is_ready);
  EXPECT_EQ(after.table.services, before.services);
  EXPECT_GT(after.table.version, before.version);
  EXPECT_EQ(after.targets.size(), 2u);
  EXPECT_EQ(machine_->started().size(), 2u);

  const auto removed = ask<api::ServiceStatus>([](Ledger& ledger) { return ledger.remove_service("vad"); });
  ASSERT_TRUE(removed);
  listener_->wait_services([](const ServiceView& view) { return view.table.services.empty(); });
  EXPECT_TRUE(machine_->present().empty());
}

TEST_F(ControllerTest, FindsWhereAReplicaListensThatWasStartedRightBeforeTheCrash) {
  const launch::ParsedJob parsed = launch::parse_job_file("name: vad\ntype: service\nrun: sleep 1000\n");
  ASSERT_TRUE(parsed.is_valid);
  // Everything up to the order is committed; that it was carried out is not.
  ASSERT_TRUE(engine_->lease_ports({{1}, 1}, 2));
  const auto leased = engine_->leased_ports({{1}, 1});
  ASSERT_TRUE(ask<int>([](Ledger&) -> Result<int> { return 0; }));  // what the start itself commits is done
  store_->fails_after = 1;
  controller_->post([&parsed](Ledger& ledger) -> Controller::Reply {
    EXPECT_TRUE(ledger.apply_service(parsed.spec, "ada", false));
    return {};
  });
  store_->wait_full();
  crash();
  boot();
  const ServiceView view = listener_->wait_services([](const ServiceView& one) { return one.targets.size() == 1; });
  EXPECT_EQ(view.targets[0].port, leased.at(1));
  EXPECT_EQ(machine_->started().size(), 1u);
}

}  // namespace
}  // namespace busbar::control
