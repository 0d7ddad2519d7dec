#pragma once

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "sched/core.h"

namespace busbar::sched::testing {

/// Builds nodes for tests: cluster().leaves(2).nodes(3).cards(8, "h100").build() are six nodes of eight cards, named
/// "n1".."n6", in leaves "leaf-1", "leaf-2" of "spine-1".
class ClusterBuilder {
 public:
  ClusterBuilder& leaves(int count) {
    leaves_ = count;
    return *this;
  }
  ClusterBuilder& nodes(int per_leaf) {
    nodes_ = per_leaf;
    return *this;
  }
  ClusterBuilder& cards(int count, std::string chip = "h100") {
    cards_ = count;
    chip_ = std::move(chip);
    return *this;
  }
  ClusterBuilder& cpus(int count) {
    cpus_ = count;
    return *this;
  }
  ClusterBuilder& memory(std::int64_t bytes) {
    memory_ = bytes;
    return *this;
  }
  ClusterBuilder& link_groups(int of_cards) {
    cards_per_link_group_ = of_cards;
    return *this;
  }
  ClusterBuilder& first_id(std::uint64_t id) {
    first_id_ = id;
    return *this;
  }
  std::vector<model::Node> build() const;

 private:
  int leaves_ = 1;
  int nodes_ = 1;
  int cards_ = 8;
  std::string chip_ = "h100";
  int cpus_ = 0;
  std::int64_t memory_ = 0;
  int cards_per_link_group_ = 0;
  std::uint64_t first_id_ = 1;
};
inline ClusterBuilder cluster() {
  return {};
}

/// `milli` milli-cards of h100 (or `chip`) on each of `nodes` nodes.
JobRequest job(std::uint64_t id, std::uint32_t nodes, std::int64_t milli, std::string chip = "h100");
JobRequest in_queue(JobRequest request, std::string queue);
/// An amount of `count` cards of any chip, for quotas.
model::CardAmounts cards(std::int64_t count);

/// With a time limit.
JobRequest limited(JobRequest request, std::int64_t limit_ms);

inline constexpr TimeMs kMinute = 60'000;
inline constexpr TimeMs kHour = 60 * kMinute;

/// A core with a clock by hand that collects decisions. An event that is refused fails the test.
class Host {
 public:
  explicit Host(std::vector<model::Node> nodes, Policy policy = {});

  std::vector<Decision> send(EventBody body);
  Result<std::vector<Decision>> try_send(EventBody body);
  std::vector<Decision> submit(JobRequest request) { return send(JobSubmitted{.job = std::move(request)}); }
  std::vector<Decision> cancel(std::uint64_t id) { return send(JobCancelled{.job = {id}}); }
  /// GangReady and GangStarted of the current attempt.
  void start(std::uint64_t id);
  /// Submits a job that must be placed at once, and starts it.
  void run(JobRequest request);
  std::vector<Decision> exit_task(std::uint64_t id, std::uint32_t rank, std::int32_t code,
                                  model::ExitClass exit_class = model::ExitClass::kUser, bool ends_gang = false);
  std::vector<Decision> gone(std::uint64_t id) { return send(GangGone{.attempt = attempt(id)}); }
  /// All tasks exit with 0 and the attempt is gone.
  std::vector<Decision> succeed(std::uint64_t id);
  std::vector<Decision> tick_at(TimeMs time_ms);

  model::AttemptId attempt(std::uint64_t id) const { return core.find_job({id})->attempt; }
  std::optional<model::JobState> state(std::uint64_t id) const;
  bool holds_cards(std::uint64_t id) const;
  /// Node of each task in rank order: {1, 1, 2}.
  std::vector<std::uint64_t> nodes_of(std::uint64_t id) const;
  model::CardList cards_of(std::uint64_t id, std::uint32_t rank = 0) const;

  Core core;
  TimeMs now_ms = 1'000'000;
};

template <class T>
std::optional<T> find(const std::vector<Decision>& decisions) {
  for (const Decision& decision : decisions) {
    if (const T* found = std::get_if<T>(&decision)) {
      return *found;
    }
  }
  return std::nullopt;
}

}  // namespace busbar::sched::testing
