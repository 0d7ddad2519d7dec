#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "control/controller_testing.h"

// Services through the controller: the core, the store and a fake engine.
namespace busbar::control {
namespace {

using ControllerServices = ControllerTest;

TEST_F(ControllerServices, AServiceIsTheSameAfterACrash) {
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

TEST_F(ControllerServices, FindsWhereAReplicaListensThatWasStartedRightBeforeTheCrash) {
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

TEST_F(ControllerServices, SaysWhenTheEngineCannotPauseWhatIsKeptWarm) {
  crash();
  machine_ = std::make_shared<engine::FakeMachine>(engine::FakeMachineOptions{.can_pause = false});
  boot();
  const launch::ParsedJob parsed = launch::parse_job_file(
      "name: vad\ntype: service\nrun: sleep 1000\nresources: {accelerators: 'cpu:1'}\n"
      "service: {replicas: 0..2, warm: 1}\n");
  ASSERT_TRUE(parsed.is_valid);
  ASSERT_TRUE(
      ask<api::ServiceStatus>([&parsed](Ledger& ledger) { return ledger.apply_service(parsed.spec, "ada", false); }));
  const auto status = [this] {
    return *ask<api::ServiceStatus>([](Ledger& ledger) { return ledger.service_status("vad"); });
  };
  const ServiceView view = listener_->wait_services([](const ServiceView& one) { return one.targets.size() == 1; });
  EXPECT_EQ(status().warning, "");
  controller_->post([id = view.targets[0].id](Ledger& ledger) -> Controller::Reply {
    ledger.on_health(id, true, "");
    return {};
  });
  listener_->wait_event("pause_refused");
  const api::ServiceStatus warm = status();
  EXPECT_EQ(
      warm.warning,
      "vad-1 is kept warm without being paused, so it uses CPU while nobody needs it: tasks cannot be paused here: "
      "pretended; do pretend otherwise; or write warm: 0, then replicas start when needed");
  EXPECT_EQ(warm.replicas.at(0).state, "paused");
  EXPECT_EQ(warm.replicas.at(0).detail, "not paused: tasks cannot be paused here: pretended; do pretend otherwise");
  EXPECT_EQ(api::to_json(warm)["warning"].as_string(), warm.warning);

  // Needed, it serves as if it had been paused.
  controller_->post([](Ledger& ledger) -> Controller::Reply {
    ledger.on_demand({.gateway = "g", .interval_ms = 250, .services = {{.name = "vad", .waiting = 1, .arrivals = 1}}});
    return {};
  });
  listener_->wait_services([](const ServiceView& one) { return one.table.services.at(0).endpoints.size() == 1; });
  EXPECT_EQ(status().warning, "");
}

}  // namespace
}  // namespace busbar::control
