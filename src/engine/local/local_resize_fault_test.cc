#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <functional>
#include <random>

#include "engine/local/local_engine_fixture.h"

namespace busbar::engine {
namespace {

/// A server that is killed by kill -9 while tasks come to a gang or leave it, then a new one that asks again for what
/// it had decided: no task is missing, none is there twice, and nothing is left behind in the end.
class LocalResizeCrash : public EngineTestBase {
 protected:
  static AttemptLaunch gang(std::size_t tasks) {
    AttemptLaunch launch = launch_of(1, std::vector<std::vector<std::string>>(tasks, shell("echo here; sleep 1000")));
    launch.is_live = true;
    return launch;
  }

  /// In a child process: starts `launch`, `then` once it runs, and dies after `delay_us`.
  void crash(const AttemptLaunch& launch, const std::function<void(Engine&)>& then, unsigned delay_us) {
    close();
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      auto engine = fixture_.open();
      (void)engine->adopt({}, [&](const Fact& fact) {
        if (std::holds_alternative<GangCreated>(fact.body)) (void)engine->release(launch.id);
        if (std::holds_alternative<GangReleased>(fact.body)) then(*engine);
      });
      (void)engine->start(launch);
      ::usleep(delay_us);
      ::kill(::getpid(), SIGKILL);
    }
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status));
  }

  /// False: it was lost before its barrier.
  bool adopt_running(const AttemptLaunch& record) {
    reopen({record});
    EXPECT_TRUE((facts_->wait_for_any<GangCreated, AttemptGone>()));
    if (facts_->all<GangCreated>().empty()) return false;
    EXPECT_TRUE(engine_->release(record.id).has_value());
    EXPECT_TRUE(facts_->wait_for<GangReleased>());
    return true;
  }

  void end(model::AttemptId attempt, std::size_t tasks) {
    stop_and_wait(attempt);
    EXPECT_EQ(facts_->all<TaskEnded>().size(), tasks);
    EXPECT_TRUE(os::list_dir(fixture_.dir().file("run/runtime")).value().empty());
    ASSERT_TRUE(engine_->forget(attempt).has_value());
  }

  /// The processes of the task's container: the init, its shell and the sleep.
  std::uint32_t processes_of(model::TaskId task) {
    const auto stats = engine_->stats(task);
    return stats ? stats->processes : 0;
  }

  std::mt19937 random_{std::random_device{}()};
};

TEST_F(LocalResizeCrash, TasksThatCameAreThereOnceWheneverTheServerDied) {
  AttemptLaunch record = gang(3);
  const AttemptLaunch first = gang(1);
  const Extension more{.attempt = record.id, .tasks = {record.tasks[1], record.tasks[2]}};
  for (std::size_t rank = 1; rank < 3; ++rank) record.tasks[rank].is_awaited = true;
  const auto grow = [&](Engine& engine) { (void)engine.extend(more); };
  std::size_t grown = 0;
  for (int i = 0; i < 12; ++i) {
    const unsigned delay_us = random_() % 500'000;
    SCOPED_TRACE("killed after " + std::to_string(delay_us) + " us");
    crash(first, grow, delay_us);
    if (!adopt_running(record)) {
      ASSERT_TRUE(facts_->wait_for<AttemptGone>());
      ASSERT_TRUE(engine_->forget(record.id).has_value());
      continue;
    }
    ASSERT_TRUE(engine_->extend(more).has_value());
    ASSERT_TRUE(facts_->wait_for<TasksAdded>()) << detail();
    EXPECT_EQ(facts_->all<TasksAdded>().at(0).tasks, 3U);
    EXPECT_TRUE(facts_->all<TaskEnded>().empty()) << detail();
    for (std::uint32_t rank = 0; rank < 3; ++rank) {
      ASSERT_TRUE(wait_for_log({record.id, rank}, "here"));
      EXPECT_LE(processes_of({record.id, rank}), 3U);
      EXPECT_GE(processes_of({record.id, rank}), 1U);
    }
    ++grown;
    end(record.id, 3);
  }
  EXPECT_GT(grown, 0U);
}

TEST_F(LocalResizeCrash, TasksThatLeftAreGoneWheneverTheServerDied) {
  const AttemptLaunch record = gang(3);
  const Reduction fewer{.attempt = record.id, .kept = 1, .grace_ms = 50};
  const auto shrink = [&](Engine& engine) { (void)engine.shrink(fewer); };
  std::size_t shrunk = 0;
  for (int i = 0; i < 12; ++i) {
    const unsigned delay_us = random_() % 500'000;
    SCOPED_TRACE("killed after " + std::to_string(delay_us) + " us");
    crash(record, shrink, delay_us);
    if (!adopt_running(record)) {
      ASSERT_TRUE(facts_->wait_for<AttemptGone>());
      ASSERT_TRUE(engine_->forget(record.id).has_value());
      continue;
    }
    ASSERT_TRUE(engine_->shrink(fewer).has_value());
    ASSERT_TRUE(facts_->wait_for<TasksRemoved>()) << detail();
    EXPECT_EQ(facts_->all<TaskEnded>().size(), 2U);
    EXPECT_TRUE(facts_->all<AttemptGone>().empty());
    EXPECT_GE(processes_of({record.id, 0}), 1U);
    EXPECT_EQ(processes_of({record.id, 1}) + processes_of({record.id, 2}), 0U);
    ++shrunk;
    end(record.id, 3);
  }
  EXPECT_GT(shrunk, 0U);
}

}  // namespace
}  // namespace busbar::engine
