#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <random>

#include "base/text.h"
#include "engine/local/local_engine_fixture.h"
#include "os/files.h"
#include "os/process.h"

namespace busbar::engine {
namespace {

using model::ExitClass;

class LocalFault : public EngineTestBase {
 protected:
  std::string bundle(std::uint32_t rank = 0) const {
    return fixture_.dir().file("state/attempts/1.1/" + std::to_string(rank));
  }

  void kill_recorded(const std::string& pid_file) {
    const auto text = os::read_file(bundle() + "/" + pid_file, 64);
    ASSERT_TRUE(text.has_value());
    ASSERT_EQ(::kill(static_cast<pid_t>(parse_int(trim(*text)).value()), SIGKILL), 0);
  }

  /// Nothing of any attempt is left on the machine.
  void expect_clean() const {
    EXPECT_EQ(os::read_file("/proc/self/mounts", 16 << 20).value().find(fixture_.dir().file("state/attempts")),
              std::string::npos);
    EXPECT_TRUE(os::list_dir(fixture_.dir().file("run/runtime")).value().empty());
    const auto processes = os::list_dir("/proc").value();
    for (const os::DirEntry& process : processes) {
      const std::string command = os::read_file("/proc/" + process.name + "/cmdline", 1 << 20).value_or("");
      EXPECT_EQ(command.find(fixture_.dir().file("state/attempts")), std::string::npos) << command;
    }
  }
};

TEST_F(LocalFault, AKilledMonitorEndsTheTaskAsInfrastructure) {
  const AttemptLaunch launch = launch_of(1, {{"/bin/sleep", "1000"}});
  start_and_release(launch);
  kill_recorded("conmon.pid");
  ASSERT_TRUE(facts_->wait_for<AttemptGone>());
  EXPECT_EQ(facts_->all<TaskEnded>().at(0).exit_class, ExitClass::kInfrastructure);
  EXPECT_NE(facts_->all<TaskEnded>().at(0).detail.find("conmon"), std::string::npos);
  expect_clean();
}

TEST_F(LocalFault, AContainersInitKilledFromOutsideIsInfrastructure) {
  const AttemptLaunch launch = launch_of(1, {{"/bin/sleep", "1000"}});
  start_and_release(launch);
  kill_recorded("init.pid");
  ASSERT_TRUE(facts_->wait_for<AttemptGone>());
  EXPECT_EQ(facts_->all<TaskEnded>().at(0).exit_class, ExitClass::kInfrastructure);
  EXPECT_EQ(facts_->all<TaskEnded>().at(0).exit_code, 137);
  expect_clean();
}

TEST_F(LocalFault, AContainerKilledAtTheBarrierIsInfrastructure) {
  const AttemptLaunch launch = launch_of(1, {{"/bin/sleep", "1000"}});
  ASSERT_TRUE(engine_->start(launch).has_value());
  ASSERT_TRUE(facts_->wait_for<GangCreated>());
  kill_recorded("init.pid");
  ASSERT_TRUE(facts_->wait_for<AttemptGone>());
  EXPECT_EQ(facts_->all<TaskEnded>().at(0).exit_class, ExitClass::kInfrastructure);
  expect_clean();
}

TEST_F(LocalFault, ExitsWhileTheServerIsDownAreDelivered) {
  const AttemptLaunch launch = launch_of(1, {shell("read x < /run/busbar/go; echo late; exit 5")});
  ASSERT_TRUE(engine_->start(launch).has_value());
  ASSERT_TRUE(facts_->wait_for<GangCreated>());
  ASSERT_EQ(::mkfifo((bundle() + "/busbar/go").c_str(), 0600), 0);
  ASSERT_TRUE(engine_->release(launch.id).has_value());
  ASSERT_TRUE(facts_->wait_for<GangReleased>());
  close();
  {
    const auto go = os::open_file(bundle() + "/busbar/go", O_WRONLY);
  }
  ASSERT_TRUE(wait_until([&] { return !os::list_dir(fixture_.dir().file("run/exits")).value().empty(); }));
  reopen({launch});
  ASSERT_TRUE(facts_->wait_for<AttemptGone>());
  EXPECT_EQ(facts_->all<TaskEnded>().at(0).exit_code, 5);
  EXPECT_EQ(facts_->all<TaskEnded>().at(0).exit_class, ExitClass::kUser);
  EXPECT_EQ(log({launch.id, 0}), "late\n");
}

TEST_F(LocalFault, AMonitorKilledWhileTheServerIsDownIsNoticed) {
  const AttemptLaunch launch = launch_of(1, {{"/bin/sleep", "1000"}});
  start_and_release(launch);
  close();
  kill_recorded("conmon.pid");
  reopen({launch});
  ASSERT_TRUE(facts_->wait_for<AttemptGone>());
  EXPECT_EQ(facts_->all<TaskEnded>().at(0).exit_class, ExitClass::kInfrastructure);
  expect_clean();
}

TEST_F(LocalFault, AStopIsFinishedByTheNextServer) {
  const AttemptLaunch launch = launch_of(1, {shell("trap '' TERM; echo {} >> /run/busbar/report.jsonl; sleep 1000")});
  start_and_release(launch);
  ASSERT_TRUE(facts_->wait_for<ReportLines>());
  ASSERT_TRUE(engine_->stop(launch.id, 300, 0).has_value());
  close();
  reopen({launch});
  ASSERT_TRUE(facts_->wait_for<AttemptGone>());
  EXPECT_EQ(facts_->all<TaskEnded>().at(0).exit_class, ExitClass::kCancelled);
}

TEST_F(LocalFault, TwoEnginesDoNotShareAStateDirectory) {
  auto host = make_host_rootfs({});
  const os::SystemClock clock;
  const auto second = make_local_engine(fixture_.options(), {host.get()}, fixture_.probe, clock);
  ASSERT_FALSE(second.has_value());
  EXPECT_EQ(second.error().code, ErrorCode::kFailedPrecondition);
}

TEST_F(LocalFault, AFullDiskFailsTheAttemptAndNothingElse) {
  close();
  const std::string state = fixture_.dir().file("state");
  ASSERT_TRUE(os::remove_tree(state));
  ASSERT_TRUE(os::make_dirs(state));
  ASSERT_EQ(::mount("tmpfs", state.c_str(), "tmpfs", 0, "size=4m"), 0);
  reopen({});
  AttemptLaunch launch = launch_of(1, {shell("head -c 100000000 /dev/zero > /var/big; echo code $?")});
  run(launch);
  EXPECT_EQ(facts_->all<TaskEnded>().at(0).exit_class, ExitClass::kSuccess);

  launch = launch_of(2, {shell("true")});
  launch.tasks[0].files = {{"big", std::string(8 << 20, 'x')}};
  const auto started = engine_->start(launch);
  if (started) {
    ASSERT_TRUE(facts_->wait_for<AttemptGone>(2));
    EXPECT_EQ(facts_->all<TaskEnded>().at(1).exit_class, ExitClass::kInfrastructure);
    EXPECT_NE(facts_->all<TaskEnded>().at(1).detail.find("No space left"), std::string::npos)
        << facts_->all<TaskEnded>().at(1).detail;
  }
  ASSERT_TRUE(engine_->forget({.job = {2}, .number = 1}).has_value());
  facts_ = std::make_unique<FactLog>();
  reopen({});
  EXPECT_EQ(run(launch_of(3, {shell("exit 0")})).exit_code, 0);
  close();
  EXPECT_EQ(::umount2(state.c_str(), MNT_DETACH), 0);
}

/// A server that is killed by kill -9 at a chosen point, then a new one: the attempt has one end, which is told, and
/// nothing is left behind, whatever the point.
class LocalCrash : public LocalFault {
 protected:
  /// Runs an engine in a child process, which is killed by `should_die` (asked at each fact) or after `delay_us`.
  void crash(const AttemptLaunch& launch, const std::function<bool(const Fact&)>& should_die, unsigned delay_us) {
    close();
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      auto engine = fixture_.open();
      const auto adopted = engine->adopt({}, [&](const Fact& fact) {
        if (should_die(fact)) {
          ::kill(::getpid(), SIGKILL);
        }
        if (std::holds_alternative<GangCreated>(fact.body)) {
          (void)engine->release(launch.id);
        }
      });
      (void)adopted;
      (void)engine->start(launch);
      ::usleep(delay_us);
      ::kill(::getpid(), SIGKILL);
    }
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status));
  }

  void recover_and_check(const AttemptLaunch& launch) {
    reopen({launch});
    // Adopted at the barrier: the server releases it, as it would have done.
    if (!facts_->wait_for_any<GangCreated, AttemptGone>()) {
      ADD_FAILURE() << "no facts after the restart";
    }
    (void)engine_->release(launch.id);
    ASSERT_TRUE(facts_->wait_for<AttemptGone>()) << detail();
    EXPECT_EQ(facts_->all<AttemptGone>().size(), 1U);
    ASSERT_EQ(facts_->all<TaskEnded>().size(), launch.tasks.size());
    for (const TaskEnded& ended : facts_->all<TaskEnded>()) {
      const bool ran = ended.exit_class == ExitClass::kUser && ended.exit_code == 9;
      const bool lost = ended.exit_class == ExitClass::kInfrastructure;
      EXPECT_TRUE(ran || lost) << ended.detail;
      // Started at most once, and if it says that it ran, exactly once.
      const std::string text = log(ended.task);
      EXPECT_TRUE(text == "ran\n" || (lost && text.empty())) << text;
    }
    expect_clean();
    ASSERT_TRUE(engine_->forget(launch.id).has_value());
  }
};

TEST_F(LocalCrash, AtEachFactTheNextServerFinishesTheAttempt) {
  const AttemptLaunch launch = launch_of(1, {shell("echo ran; exit 9"), shell("echo ran; exit 9")});
  const std::vector<std::pair<const char*, std::function<bool(const Fact&)>>> points{
      {"node observed", [](const Fact& fact) { return std::holds_alternative<NodeObserved>(fact.body); }},
      {"image ready", [](const Fact& fact) { return std::holds_alternative<ImageReady>(fact.body); }},
      {"gang created", [](const Fact& fact) { return std::holds_alternative<GangCreated>(fact.body); }},
      {"gang released", [](const Fact& fact) { return std::holds_alternative<GangReleased>(fact.body); }},
      {"task ended", [](const Fact& fact) { return std::holds_alternative<TaskEnded>(fact.body); }},
      {"gone", [](const Fact& fact) { return std::holds_alternative<AttemptGone>(fact.body); }}};
  for (const auto& [name, should_die] : points) {
    SCOPED_TRACE(name);
    crash(launch, should_die, 20'000'000);
    recover_and_check(launch);
  }
}

TEST_F(LocalCrash, AtRandomMomentsTheNextServerFinishesTheAttempt) {
  const AttemptLaunch launch = launch_of(1, {shell("echo ran; exit 9"), shell("echo ran; exit 9")});
  std::random_device seed_source;
  const unsigned seed = seed_source();
  std::mt19937 random(seed);
  for (int i = 0; i < 12; ++i) {
    const unsigned delay_us = random() % 300'000;
    SCOPED_TRACE("seed " + std::to_string(seed) + ", killed after " + std::to_string(delay_us) + " us");
    crash(launch, [](const Fact&) { return false; }, delay_us);
    recover_and_check(launch);
  }
}

/// As the server does it: what had not reached the barrier begins again, so nothing is ever lost.
TEST_F(LocalCrash, WhatHadNotReachedTheBarrierBeginsAgain) {
  AttemptLaunch launch = launch_of(1, {shell("echo ran; exit 9"), shell("echo ran; exit 9")});
  launch.may_begin_again = true;
  std::random_device seed_source;
  const unsigned seed = seed_source();
  std::mt19937 random(seed);
  for (int i = 0; i < 12; ++i) {
    const unsigned delay_us = random() % 200'000;
    SCOPED_TRACE("seed " + std::to_string(seed) + ", killed after " + std::to_string(delay_us) + " us");
    crash(launch, [](const Fact& fact) { return std::holds_alternative<GangCreated>(fact.body); }, delay_us);
    reopen({launch});
    if (!not_begun_.empty()) {
      ASSERT_TRUE(engine_->start(launch).has_value());
    }
    ASSERT_TRUE(facts_->wait_for<GangCreated>()) << detail();
    ASSERT_TRUE(engine_->release(launch.id).has_value());
    ASSERT_TRUE(facts_->wait_for<AttemptGone>()) << detail();
    ASSERT_EQ(facts_->all<TaskEnded>().size(), launch.tasks.size());
    for (const TaskEnded& ended : facts_->all<TaskEnded>()) {
      EXPECT_EQ(ended.exit_code, 9) << ended.detail;
      EXPECT_EQ(log(ended.task), "ran\n");
    }
    expect_clean();
    ASSERT_TRUE(engine_->forget(launch.id).has_value());
  }
}

}  // namespace
}  // namespace busbar::engine
