#include <grp.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>

#include "engine/local/local_engine_fixture.h"
#include "os/files.h"

namespace busbar::engine {
namespace {

constexpr uid_t kNobody = 65534;

/// The engine of an ordinary user, in a child process that has given up root. What it finds wrong comes back as text.
class LocalRootless : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) {
      GTEST_SKIP() << "needs root, to become somebody else";
    }
    if (os::read_file("/proc/sys/user/max_user_namespaces", 64).value_or("0\n") == "0\n" ||
        os::read_file("/proc/sys/kernel/unprivileged_userns_clone", 64).value_or("1\n") == "0\n") {
      GTEST_SKIP() << "the machine does not let users make namespaces";
    }
    const std::string helper = fixture_.options().helper_dir + "/busbar-rsh";
    ASSERT_TRUE(os::make_dirs(fixture_.dir().file("helper")));
    std::filesystem::copy_file(helper, fixture_.dir().file("helper/busbar-rsh"));
    ASSERT_TRUE(os::write_file_atomic(fixture_.dir().file("token"), "secret-token", 0644));
    ASSERT_EQ(::chown(fixture_.dir().path().c_str(), kNobody, kNobody), 0);
  }

  LocalOptions options() const {
    LocalOptions options = fixture_.options();
    options.helper_dir = fixture_.dir().file("helper");
    options.masked_paths = {fixture_.dir().file("token")};
    return options;
  }

  /// Runs `body` as nobody; the text that it returns is what failed.
  void as_nobody(const std::function<std::string(Engine&, FactLog&)>& body,
                 const std::vector<AttemptLaunch>& active = {}) {
    const std::string report = fixture_.dir().file("failure");
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      ::setgroups(0, nullptr);
      const bool is_nobody = ::setresgid(kNobody, kNobody, kNobody) == 0 && ::setresuid(kNobody, kNobody, kNobody) == 0;
      auto host = make_host_rootfs({});
      const os::SystemClock clock;
      FactLog facts;
      auto engine = make_local_engine(options(), {host.get()}, fixture_.probe, clock);
      std::string failure = !is_nobody ? "cannot become nobody" : engine ? "" : engine.error().to_string();
      if (failure.empty()) {
        (void)(*engine)->adopt(active, facts.sink());
        failure = body(**engine, facts);
        (*engine)->shutdown();
      }
      (void)os::write_file_atomic(report, failure);
      ::_exit(failure.empty() ? 0 : 1);
    }
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << os::read_file(report, 1 << 20).value_or("it crashed");
  }

  LocalFixture fixture_;
};

TEST_F(LocalRootless, RunsAGangInUserNamespaces) {
  AttemptLaunch launch =
      launch_of(1, {shell("id -u; touch /usr/mine /etc/mine && echo wrote; cat /run/secrets/s; cat " +
                          fixture_.dir().file("token") + " 2>/dev/null; /run/busbar/rsh task-1 hostname; exit 7"),
                    shell("sleep 1000")});
  launch.tasks[0].secrets = {{.name = "s", .value = "in memory\n"}};
  as_nobody([&](Engine& engine, FactLog& facts) -> std::string {
    (void)engine.start(launch);
    (void)engine.release(launch.id);
    if (!facts.wait_for<TaskEnded>()) {
      return "the task did not end";
    }
    const TaskEnded ended = facts.all<TaskEnded>().at(0);
    const std::string text = log_text(engine, {launch.id, 0});
    if (ended.exit_code != 7 || ended.exit_class != model::ExitClass::kUser) {
      return ended.detail + "\n" + text;
    }
    if (text.find("secret-token") != std::string::npos || !text.starts_with("0\nwrote\nin memory\n") ||
        !text.ends_with("task-1\n")) {
      return "the log is " + text;
    }
    const auto stats = engine.stats({launch.id, 1});
    if (!stats || stats->processes < 1) {
      return "no stats of the task that runs";
    }
    SessionLog session;
    const auto exec = engine.exec({.task = {launch.id, 1}, .argv = shell("echo inside; exit 4")}, session.callbacks());
    if (!exec || !session.wait_for_exit() || session.output() != "inside\n" || session.exit_code() != 4) {
      return "exec gave " + session.output();
    }
    (void)engine.stop(launch.id, 0, 0);
    return facts.wait_for<AttemptGone>() ? "" : "the attempt is not gone";
  });
  EXPECT_FALSE(os::file_exists(fixture_.dir().file("state/attempts/1.1/0/upper")));
  EXPECT_FALSE(os::file_exists("/usr/mine"));
}

TEST_F(LocalRootless, AdoptsWhatRunsAfterARestart) {
  const AttemptLaunch launch = launch_of(1, {shell("sleep 1000")});
  as_nobody([&](Engine& engine, FactLog& facts) -> std::string {
    (void)engine.start(launch);
    (void)engine.release(launch.id);
    return facts.wait_for<GangReleased>() ? "" : facts.all<TaskEnded>().at(0).detail;
  });
  as_nobody(
      [&](Engine& engine, FactLog& facts) -> std::string {
        if (!facts.wait_for<GangReleased>() || !facts.all<TaskEnded>().empty()) {
          return "it was not adopted";
        }
        (void)engine.stop(launch.id, 20'000, 0);
        if (!facts.wait_for<AttemptGone>()) {
          return "it did not stop";
        }
        const TaskEnded ended = facts.all<TaskEnded>().at(0);
        return ended.exit_code == 128 + SIGTERM ? "" : ended.detail;
      },
      {launch});
}

TEST_F(LocalRootless, SaysWhatNeedsRoot) {
  as_nobody([&](Engine& engine, FactLog&) -> std::string {
    for (const Capability& capability : engine.capabilities()) {
      if (capability.name == "memory_limit" &&
          (capability.is_available || capability.detail.find("needs root") == std::string::npos)) {
        return capability.detail;
      }
      if (capability.name == "user_namespace" && !capability.is_available) {
        return capability.detail;
      }
    }
    return "";
  });
}

}  // namespace
}  // namespace busbar::engine
