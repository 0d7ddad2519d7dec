#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/hash.h"
#include "sched/core.h"

namespace busbar::sched::testing {

/// Numbers from a seed, the same everywhere: a failing property names its seed.
class Dice {
 public:
  explicit Dice(std::uint64_t seed) : state_(seed) {}
  /// 0 .. sides - 1.
  std::uint64_t roll(std::uint64_t sides) { return mix64(state_++) % sides; }
  bool chance(std::uint64_t percent) { return roll(100) < percent; }

 private:
  std::uint64_t state_;
};

/// Plays users, nodes and engine at random: gives events that make sense after the decisions it was told of.
class RandomStream {
 public:
  explicit RandomStream(std::uint64_t seed);

  std::vector<model::Node> first_nodes();
  Event next(const Core& core);
  /// No more submissions and troubles: only what brings what runs to its end. A Tick when there is nothing to do.
  Event next_to_end(const Core& core);
  void note(const std::vector<Decision>& decisions);

 private:
  struct Running {
    model::AttemptId attempt = {};
    std::vector<bool> exited = {};
    std::uint32_t staying = 0;  ///< While others leave.
    bool is_ready = false;
    bool is_started = false;
    bool is_stopping = false;
  };

  model::Node make_node(std::uint64_t id);
  JobRequest make_job();
  EventBody progress();
  EventBody trouble(const Core& core);
  EventBody change_queue(const Core& core);
  EventBody change_policy(const Core& core);
  model::CardAmounts make_amounts(std::uint64_t most);
  EventBody exit_one(Running& running);
  Event at_now(EventBody body) const { return {.time_ms = now_ms_, .body = std::move(body), .actor = "random"}; }

  Dice dice_;
  TimeMs now_ms_ = 1'000'000;
  std::uint64_t next_job_ = 1;
  std::uint64_t node_count_ = 0;
  std::map<model::AttemptId, Running> running_;
};

}  // namespace busbar::sched::testing
