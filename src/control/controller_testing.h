#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "control/controller.h"
#include "engine/fake_engine.h"
#include "launch/job_file.h"
#include "launch/launch_plan.h"
#include "os/system_clock.h"
#include "os/test_dir.h"
#include "store/sqlite/sqlite_store.h"

/// What tests of the controller have in common.
namespace busbar::control {

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
  Result<engine::Extension> extend(const ExtendOrder& order, const Ledger& ledger) override {
    TRY_ASSIGN(engine::AttemptLaunch launch, build(order.start, ledger));
    engine::Extension extension{.attempt = launch.id};
    extension.tasks.assign(launch.tasks.begin() + order.first_rank, launch.tasks.end());
    return extension;
  }
  Result<engine::Reduction> shrink(const ShrinkOrder& order, const Ledger&) override {
    if (knows_no_members) return make_error(ErrorCode::kInternal, "a node is not known");
    return engine::Reduction{.attempt = order.start.attempt,
                             .kept = static_cast<std::uint32_t>(order.start.placement.tasks.size()),
                             .grace_ms = order.grace_ms};
  }

  std::atomic<bool> knows_no_members = false;  ///< Of a gang that gives up tasks.
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
    changed_.notify_all();
  }
  void wait_event(const std::string& kind) {
    std::unique_lock lock(mutex_);
    EXPECT_TRUE(changed_.wait_for(lock, std::chrono::seconds(20), [&] { return kinds_.contains(kind); })) << kind;
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
  api::JobStatus wait(model::JobId id, model::JobState state) {
    std::unique_lock lock(mutex_);
    const bool is_there = changed_.wait_for(lock, std::chrono::seconds(20), [&] {
      const auto found = last_.find(id);
      return found != last_.end() && found->second.state == state;
    });
    EXPECT_TRUE(is_there) << "job " << id.value << " is not " << model::job_state_name(state) << " but "
                          << (last_.contains(id) ? model::job_state_name(last_[id].state) : "unknown");
    return last_[id];
  }
  api::JobStatus wait_for(model::JobId id, const std::function<bool(const api::JobStatus&)>& is_there) {
    std::unique_lock lock(mutex_);
    EXPECT_TRUE(changed_.wait_for(lock, std::chrono::seconds(20), [&] { return is_there(last_[id]); }))
        << model::job_state_name(last_[id].state) << ": " << last_[id].reason;
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
class ControllerTest : public ::testing::Test {
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

}  // namespace busbar::control
