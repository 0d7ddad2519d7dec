#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <map>
#include <vector>

#include "sched/core.h"
#include "sched/random_stream.h"

namespace busbar::sched {
namespace {

using Views = std::map<model::JobId, JobView>;

bool is_in(const std::vector<model::TaskPlacement>& tasks, const model::TaskPlacement& task) {
  return std::find(tasks.begin(), tasks.end(), task) != tasks.end();
}

/// A random world in which gangs lose tasks, watched from Requeue to Place.
class SwapWatch {
 public:
  explicit SwapWatch(std::uint64_t seed) : stream_(seed), core_(Policy{}) {
    for (const model::Node& node : stream_.first_nodes()) {
      RC_ASSERT(core_.apply({.body = NodeJoined{.node = node}}).has_value());
    }
  }

  void run(int events) {
    for (int i = 0; i < events; ++i) {
      const Views before = views();
      const Event event = stream_.next(core_);
      const auto decisions = core_.apply(event);
      RC_ASSERT(decisions.has_value());
      stream_.note(*decisions);
      for (const Decision& decision : *decisions) {
        if (const Requeue* requeue = std::get_if<Requeue>(&decision)) {
          check(*requeue, before.at(requeue->job));
        } else if (const EndHold* end = std::get_if<EndHold>(&decision)) {
          RC_ASSERT(gang_tasks_.erase(end->job) == 1U);
        } else if (const Place* place = std::get_if<Place>(&decision)) {
          check(*place, event, before);
        }
      }
    }
  }
  int swaps() const { return swaps_; }

 private:
  Views views() const {
    Views views;
    for (const model::JobId id : core_.jobs()) views.emplace(id, *core_.find_job(id));
    return views;
  }

  // What is held is a part of what was had, on nodes in service; the fault of the platform is not charged.
  void check(const Requeue& requeue, const JobView& before) {
    if (requeue.because == model::ExitClass::kInfrastructure) {
      RC_ASSERT(core_.find_job(requeue.job)->counted_restarts == before.counted_restarts);
    }
    gang_tasks_.erase(requeue.job);
    if (requeue.hold_until_ms == 0) {
      RC_ASSERT(requeue.held.tasks.empty());
      return;
    }
    const auto& had = before.placement->tasks;
    RC_ASSERT(requeue.because == model::ExitClass::kInfrastructure);
    RC_ASSERT(requeue.gang_tasks == had.size());
    RC_ASSERT(!requeue.held.tasks.empty() && requeue.held.tasks.size() < had.size());
    for (const model::TaskPlacement& task : requeue.held.tasks) {
      RC_ASSERT(task == had[task.rank]);
      RC_ASSERT(core_.find_node(task.node)->state == model::NodeState::kReady);
    }
    gang_tasks_[requeue.job] = requeue.gang_tasks;
  }

  // As many tasks as before, those that were held where they were, the others not on nodes that failed it.
  void check(const Place& place, const Event& event, const Views& before) {
    const auto gang = gang_tasks_.find(place.attempt.job);
    const auto view = before.find(place.attempt.job);
    if (gang == gang_tasks_.end() || view == before.end() || !view->second.held.has_value()) {
      gang_tasks_.erase(place.attempt.job);
      return;
    }
    std::vector<model::TaskPlacement> held = view->second.held->tasks;
    if (const NodeStateChanged* changed = std::get_if<NodeStateChanged>(&event.body)) {
      std::erase_if(held, [&](const model::TaskPlacement& task) { return task.node == changed->node; });
    }
    const auto& tasks = place.placement.tasks;
    if (!held.empty()) {
      ++swaps_;
      RC_ASSERT(tasks.size() == gang->second);
      for (const model::TaskPlacement& task : held) RC_ASSERT(tasks[task.rank] == task);
      for (const model::TaskPlacement& task : tasks) {
        const auto& excluded = view->second.excluded;
        RC_ASSERT(is_in(held, task) || std::find(excluded.begin(), excluded.end(), task.node) == excluded.end());
      }
    }
    gang_tasks_.erase(gang);
  }

  testing::RandomStream stream_;
  Core core_;
  std::map<model::JobId, std::uint32_t> gang_tasks_;  ///< Of jobs that hold a part of one.
  int swaps_ = 0;
};

RC_GTEST_PROP(SwapProperty, KeepsTheGangWholeAndWhatItHeldInPlace, (std::uint64_t seed)) {
  SwapWatch(seed).run(200);
}

TEST(SwapProperty, ReplacesTasks) {
  int swaps = 0;
  for (std::uint64_t seed = 1; seed <= 100; ++seed) {
    SwapWatch watch(seed);
    watch.run(200);
    swaps += watch.swaps();
  }
  EXPECT_GT(swaps, 5) << "else the property above says little";
}

}  // namespace
}  // namespace busbar::sched
