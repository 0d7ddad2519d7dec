#pragma once

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "engine/local/local_fixture.h"
#include "os/files.h"

namespace busbar::engine {

/// An engine on this machine with what most tests of it do.
class EngineTestBase : public ::testing::Test {
 protected:
  void SetUp() override {
    if (const std::string reason = fixture_.skip_reason(); !reason.empty()) {
      GTEST_SKIP() << reason;
    }
    reopen({});
  }

  void TearDown() override {
    if (HasFailure()) {
      // Leave no container behind: an engine that is asked for none removes all.
      close();
      if ((engine_ = fixture_.open())) {
        (void)engine_->adopt({}, [](const Fact&) {});
      }
    }
    close();
  }

  void close() {
    if (engine_) {
      engine_->shutdown();
      engine_.reset();
    }
  }

  void reopen(const std::vector<AttemptLaunch>& active) {
    close();
    facts_ = std::make_unique<FactLog>();
    engine_ = fixture_.open();
    ASSERT_TRUE(engine_);
    const auto adopted = engine_->adopt(active, facts_->sink());
    ASSERT_TRUE(adopted.has_value()) << adopted.error().to_string();
    not_begun_ = *adopted;
  }

  void start_and_release(const AttemptLaunch& launch) {
    const auto started = engine_->start(launch);
    ASSERT_TRUE(started.has_value()) << started.error().to_string();
    ASSERT_TRUE(engine_->release(launch.id).has_value());
    ASSERT_TRUE(facts_->wait_for<GangReleased>()) << detail();
  }

  /// Runs to the end; the end of the first task that ended.
  TaskEnded run(const AttemptLaunch& launch) {
    start_and_release(launch);
    EXPECT_TRUE(facts_->wait_for<AttemptGone>());
    const auto ended = facts_->all<TaskEnded>();
    EXPECT_EQ(ended.size(), launch.tasks.size());
    return ended.empty() ? TaskEnded{} : ended.front();
  }

  void stop_and_wait(model::AttemptId attempt) {
    ASSERT_TRUE(engine_->stop(attempt, 0, 0).has_value());
    ASSERT_TRUE(facts_->wait_for<AttemptGone>());
  }

  std::string log(model::TaskId task) const { return log_text(*engine_, task); }

  std::string detail() const {
    const auto ended = facts_->all<TaskEnded>();
    return ended.empty() ? "no task has ended" : ended.front().detail;
  }

  /// For what no event tells: looks again until it is so, at most 30 s.
  static bool wait_until(const std::function<bool()>& condition) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    while (!condition()) {
      if (std::chrono::steady_clock::now() > deadline) {
        return false;
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    return true;
  }

  bool wait_for_log(model::TaskId task, const std::string& text) const {
    return wait_until([&] { return log(task).find(text) != std::string::npos; });
  }

  /// The first file below `dir`, mounts in memory left out, that holds the text.
  static std::string files_holding(const std::string& dir, const std::string& text) {
    namespace fs = std::filesystem;
    const auto options = fs::directory_options::skip_permission_denied;
    for (auto it = fs::recursive_directory_iterator(dir, options); it != fs::recursive_directory_iterator(); ++it) {
      if (it->path().filename() == "rootfs" || it->path().filename() == "secrets") {
        it.disable_recursion_pending();
        continue;
      }
      if (it->is_regular_file() &&
          os::read_file(it->path().string(), 64 << 20).value_or("").find(text) != std::string::npos) {
        return it->path().string();
      }
    }
    return {};
  }

  LocalFixture fixture_;
  std::unique_ptr<FactLog> facts_;
  std::vector<model::AttemptId> not_begun_;
  std::unique_ptr<Engine> engine_;
};

}  // namespace busbar::engine
