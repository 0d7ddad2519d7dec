#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <csignal>
#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "base/clock.h"
#include "engine/engine.h"
#include "engine/log_line.h"

/// What tests of engines share: collecting facts and output, small launches.
namespace busbar::engine {

/// One machine for one test.
class EngineFixture {
 public:
  virtual ~EngineFixture() = default;
  /// A new engine on this machine, as after a restart of the server. The one before is shut down and destroyed.
  virtual std::unique_ptr<Engine> open() = 0;
  /// Why this engine cannot be tested here; empty if it can.
  virtual std::string skip_reason() const { return {}; }
};

struct EngineContractParam {
  std::string name;
  std::function<std::unique_ptr<EngineFixture>()> make;
};

/// Collects facts and waits for them.
class FactLog {
 public:
  FactSink sink() {
    return [this](Fact fact) {
      const std::lock_guard lock(mutex_);
      facts_.push_back(std::move(fact));
      changed_.notify_all();
    };
  }

  template <class Body>
  std::vector<Body> all() const {
    const std::lock_guard lock(mutex_);
    return all_locked<Body>();
  }

  /// Waits until `count` facts of this kind are there; false after 30 s.
  template <class Body>
  bool wait_for(std::size_t count = 1) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(30), [&] { return all_locked<Body>().size() >= count; });
  }

  /// Waits for the first fact of either kind.
  template <class First, class Second>
  bool wait_for_any() {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(30),
                             [&] { return !all_locked<First>().empty() || !all_locked<Second>().empty(); });
  }

  /// Positions in the order of arrival; -1 if there is none.
  template <class Body>
  int first_index() const {
    const std::lock_guard lock(mutex_);
    for (std::size_t i = 0; i < facts_.size(); ++i) {
      if (std::holds_alternative<Body>(facts_[i].body)) {
        return static_cast<int>(i);
      }
    }
    return -1;
  }

 private:
  template <class Body>
  std::vector<Body> all_locked() const {
    std::vector<Body> found;
    for (const Fact& fact : facts_) {
      if (const Body* body = std::get_if<Body>(&fact.body)) {
        found.push_back(*body);
      }
    }
    return found;
  }

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Fact> facts_;
};

/// Collects what a terminal session says.
class SessionLog {
 public:
  TerminalSession::Callbacks callbacks() {
    return {.on_output =
                [this](int, std::string_view bytes) {
                  const std::lock_guard lock(mutex_);
                  output_ += bytes;
                  changed_.notify_all();
                },
            .on_input_drained = {},
            .on_exit =
                [this](int code) {
                  const std::lock_guard lock(mutex_);
                  exit_code_ = code;
                  changed_.notify_all();
                }};
  }
  bool wait_for_output(const std::string& text) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(30), [&] { return output_.find(text) != std::string::npos; });
  }
  bool wait_for_exit() {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(30), [&] { return exit_code_.has_value(); });
  }
  std::string output() const {
    const std::lock_guard lock(mutex_);
    return output_;
  }
  int exit_code() const {
    const std::lock_guard lock(mutex_);
    return exit_code_.value_or(-1);
  }

 private:
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::string output_;
  std::optional<int> exit_code_;
};

inline AttemptLaunch launch_of(std::uint64_t job, std::vector<std::vector<std::string>> argvs) {
  AttemptLaunch launch{.id = {.job = {job}, .number = 1}, .job_name = "contract", .user = "tester"};
  for (std::uint32_t rank = 0; rank < argvs.size(); ++rank) {
    launch.tasks.push_back({.rank = rank,
                            .hostname = "task-" + std::to_string(rank),
                            .argv = std::move(argvs[rank]),
                            .env = {{"PATH", "/usr/local/bin:/usr/bin:/bin"}},
                            .workdir = "/"});
  }
  return launch;
}

inline std::vector<std::string> shell(std::string script) {
  return {"/bin/sh", "-c", std::move(script)};
}

/// The texts of all log lines of a task.
inline std::string log_text(const Engine& engine, model::TaskId task) {
  std::string text;
  const auto files = engine.logs(task);
  if (!files) {
    return text;
  }
  for (const std::string& path : files->paths) {
    std::ifstream in(path);
    std::string line;
    while (std::getline(in, line)) {
      if (const auto parsed = parse_log_line(line)) {
        text += std::string(parsed->text) + (parsed->is_partial ? "" : "\n");
      }
    }
  }
  return text;
}

}  // namespace busbar::engine
