#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "control/services.h"

/// What tests of services have in common.
namespace busbar::control {

/// Jobs as a test wants them to be.
class FakeJobs final : public ReplicaJobs {
 public:
  struct One {
    Job job = {};
    model::JobSpec spec = {};
  };
  std::map<model::JobId, One> jobs;
  std::set<std::string> notes;
  std::set<model::JobId> paused;
  std::optional<Error> refusal;

  Result<model::JobId> start_replica(const model::JobSpec& spec, const std::string&) override {
    if (refusal) return tl::unexpected(*refusal);
    const model::JobId id{jobs.size() + 1};
    jobs.emplace(id, One{.spec = spec});
    return id;
  }
  void stop_replica(model::JobId job) override {
    Job& one = jobs.at(job).job;
    one.state = one.state == model::JobState::kQueued ? model::JobState::kCancelled : model::JobState::kStopping;
  }
  void pause_replica(model::JobId job, bool is_paused) override {
    is_paused ? static_cast<void>(paused.insert(job)) : static_cast<void>(paused.erase(job));
  }
  std::optional<Job> find_replica(model::JobId job) const override {
    const auto found = jobs.find(job);
    return found == jobs.end() ? std::nullopt : std::optional(found->second.job);
  }
  void note_service(const std::string& kind, std::string) override { notes.insert(kind); }

  std::vector<std::string> live() const {
    std::vector<std::string> names;
    for (const auto& [id, one] : jobs) {
      if (!model::is_terminal(one.job.state)) names.push_back(one.spec.name);
    }
    return names;
  }
};

/// A service "vad" whose replicas do what a test says, on a clock by hand.
class ServicesTest : public ::testing::Test {
 protected:
  void SetUp() override { boot({}, 0); }

  void boot(const std::vector<store::ServiceRow>& rows, std::uint64_t version) {
    services_ = std::make_unique<Services>(jobs_, ServiceOptions{.scale_down_after_ms = 60'000});
    ASSERT_TRUE(services_->recover(rows, version, now_ms_));
    run();
  }

  void run() {
    services_->run(now_ms_);
    for (store::ServiceRow& row : services_->take_changes().rows) rows_[row.name] = row;
  }
  void later(std::int64_t by_ms) {
    now_ms_ += by_ms;
    run();
  }

  static model::JobSpec spec(std::uint32_t min, std::uint32_t max, const std::string& text = "serve") {
    model::JobSpec job{.name = "vad", .type = model::JobType::kService, .run = text};
    job.service = model::ServiceSpec{.min_replicas = min, .max_replicas = max, .target = 4};
    return job;
  }
  void apply(const model::JobSpec& job) {
    const auto done = services_->apply(job, "ada", now_ms_);
    ASSERT_TRUE(done) << done.error().to_string();
    run();
  }
  /// What a replica does when all goes well.
  void become_ready(std::uint64_t number) {
    start(number);
    services_->on_health(name_of(number), true, "", now_ms_);
    run();
  }
  void start(std::uint64_t number) {
    const Replica& replica = find(number);
    auto& job = jobs_.jobs.at(replica.job).job;
    job = {.state = model::JobState::kRunning, .attempt = job.attempt + 1};
    services_->on_endpoint({replica.job, job.attempt}, "127.0.0.1", static_cast<std::uint16_t>(20'000 + number),
                           now_ms_);
    services_->on_job(replica.job);
    run();
  }
  void end(std::uint64_t number, model::JobState state, const std::string& reason) {
    const model::JobId id = find(number).job;
    jobs_.jobs.at(id).job.state = state;
    jobs_.jobs.at(id).job.reason = reason;
    services_->on_job(id);
    run();
  }
  void tell(route::ServiceDemand demand, std::uint64_t version = 1'000'000) {
    demand.name = "vad";
    services_->on_demand({.gateway = "g", .table_version = version, .interval_ms = 250, .services = {demand}}, now_ms_);
    run();
  }

  const ServiceRecord& record() const { return services_->all().at("vad"); }
  const Replica& find(std::uint64_t number) const {
    const auto& all = record().replicas;
    return *std::find_if(all.begin(), all.end(), [number](const Replica& one) { return one.number == number; });
  }
  std::string name_of(std::uint64_t number) const { return endpoint_name(record(), find(number)); }
  std::vector<std::string> routed() const {
    std::vector<std::string> names;
    for (const route::Endpoint& one : services_->table().services.at(0).endpoints) {
      names.push_back(one.replica + (one.is_draining ? " draining" : ""));
    }
    return names;
  }
  using Names = std::vector<std::string>;

  FakeJobs jobs_;
  TimeMs now_ms_ = 1'000'000;
  std::map<std::string, store::ServiceRow> rows_;
  std::unique_ptr<Services> services_;
};

}  // namespace busbar::control
