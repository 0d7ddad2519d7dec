#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <map>
#include <optional>
#include <set>

#include "sched/random_stream.h"
#include "sched/test_cluster.h"

namespace busbar::sched {
namespace {

using testing::Dice;
using testing::Host;
using testing::kMinute;

/// A small crowded cluster without failures, where most gangs are elastic and save often, half of them are live, and
/// some may be moved.
class ElasticCrowd {
 public:
  explicit ElasticCrowd(std::uint64_t seed) : dice_(seed), host_(make_nodes(dice_), make_policy(dice_)) {
    has_limits_ = dice_.chance(50);
    if (has_limits_) {
      host_.send(QueueChanged{.queue = {.name = "a", .guarantee = {{amount()}, {}}, .limit = {{6000 + amount()}, {}}}});
      host_.send(QueueChanged{.queue = {.name = "b", .guarantee = {{amount()}, {}}}});
    } else {
      host_.send(QueueChanged{.queue = {.name = "a"}});
      host_.send(QueueChanged{.queue = {.name = "b"}});
    }
  }

  void run(int events) {
    for (int i = 0; i < events; ++i) {
      const EventBody body = next();
      note(body, host_.send(body));
    }
  }
  int grown() const { return grown_; }
  int shrunk() const { return shrunk_; }
  int moved() const { return moved_; }
  int extended() const { return extended_; }
  int reduced() const { return reduced_; }

 private:
  static std::vector<model::Node> make_nodes(Dice& dice) {
    return testing::cluster()
        .leaves(1 + static_cast<int>(dice.roll(2)))
        .nodes(1 + static_cast<int>(dice.roll(3)))
        .cards(1 + static_cast<int>(dice.roll(3)))
        .build();
  }
  static Policy make_policy(Dice& dice) {
    Policy policy;
    policy.claim_timeout_ms = policy.start_deadline_ms = std::int64_t{365} * 86'400'000;
    policy.eviction_interval_ms = dice.chance(50) ? 10 * kMinute : policy.eviction_interval_ms;
    policy.restart_cost_ms = dice.chance(50) ? 0 : kMinute;
    policy.live_resize_interval_ms = dice.chance(50) ? 1 : 10 * kMinute;
    policy.may_backfill_yield = dice.chance(30);
    policy.max_moves_per_hour = dice.chance(50) ? 10 : 0;
    return policy;
  }
  std::int64_t amount() { return static_cast<std::int64_t>(1 + dice_.roll(6)) * 1000; }

  JobRequest make_job() {
    JobRequest request = testing::job(next_job_++, static_cast<std::uint32_t>(1 + dice_.roll(2)),
                                      dice_.chance(20) ? 500 : 1000 * (1 + static_cast<std::int64_t>(dice_.roll(2))));
    request.max_nodes = request.min_nodes + static_cast<std::uint32_t>(dice_.roll(4));
    if (dice_.chance(20)) {
      request.sizes = {request.min_nodes};
      if (request.max_nodes > request.min_nodes) request.sizes.push_back(request.max_nodes);
    }
    request.is_live = request.max_nodes > request.min_nodes && dice_.chance(50);
    request.max_tasks_per_node = static_cast<std::uint32_t>(dice_.roll(3));
    request.queue = dice_.chance(50) ? "a" : "b";
    request.priority = static_cast<std::int32_t>(dice_.roll(3));
    request.time_limit_ms = dice_.chance(30) ? static_cast<std::int64_t>(1 + dice_.roll(300)) * kMinute : 0;
    if (dice_.chance(20)) {
      request.topology = {.mode = model::TopologyRequest::Mode::kRequired, .level = "leaf"};
    }
    return request;
  }

  EventBody next() {
    host_.now_ms += static_cast<TimeMs>(dice_.roll(8 * kMinute));
    std::vector<model::JobId> live;
    for (const model::JobId id : host_.core.jobs()) {
      if (host_.holds_cards(id.value)) live.push_back(id);
    }
    if (live.empty() || dice_.chance(live.size() > 3 ? 10 : 30)) {
      return JobSubmitted{.job = make_job()};
    }
    const JobView view = *host_.core.find_job(live[dice_.roll(live.size())]);
    if (over_.contains(view.attempt)) return GangGone{.attempt = view.attempt};
    if (view.staying > 0 && dice_.chance(70)) return TasksGone{.attempt = view.attempt, .kept = view.staying};
    switch (view.state) {
      case model::JobState::kStarting:
        return GangStarted{.attempt = view.attempt};
      case model::JobState::kStopping:
        return GangGone{.attempt = view.attempt};
      default:
        break;
    }
    if (dice_.chance(75)) return CheckpointReached{.attempt = view.attempt};
    if (dice_.chance(20)) return JobCancelled{.job = view.request.id};
    over_.insert(view.attempt);
    return TaskExited{.task = {.attempt = view.attempt}, .ends_gang = true};
  }

  // Who is stopped to go on elsewhere, or for whom others are, starts on what was claimed, in the step in which the
  // last of it comes free, unless who is ending counts for the limit still.
  void note(const EventBody& body, const std::vector<Decision>& decisions) {
    if (const JobCancelled* cancelled = std::get_if<JobCancelled>(&body)) claims_.erase(cancelled->job);
    for (const Decision& decision : decisions) {
      if (const Claim* claim = std::get_if<Claim>(&decision)) {
        RC_ASSERT(!claim->placement.tasks.empty());
        claims_[claim->job] = claim->placement;
      } else if (const Stop* stop = std::get_if<Stop>(&decision)) {
        check_stop(*stop);
      } else if (const Extend* extend = std::get_if<Extend>(&decision)) {
        check_size(extend->attempt, std::nullopt);
        ++extended_;
      } else if (const Shrink* shrink = std::get_if<Shrink>(&decision)) {
        check_size(shrink->attempt, shrink->kept);
        ++reduced_;
      } else if (const Place* place = std::get_if<Place>(&decision)) {
        if (const auto claimed = claims_.find(place->attempt.job); claimed != claims_.end()) {
          RC_ASSERT(place->placement == claimed->second);
          claims_.erase(claimed);
        }
      }
    }
    for (const auto& [job, claim] : claims_) {
      RC_ASSERT(host_.core.find_job(job)->claim == claim);
      RC_ASSERT(has_limits_ || host_.holds_cards(job.value) || !is_free(claim));
    }
  }

  void check_stop(const Stop& stop) {
    const JobView view = *host_.core.find_job(stop.attempt.job);
    const auto claim = claims_.find(stop.attempt.job);
    const std::size_t had = view.placement->tasks.size();
    if (stop.reason == StopReason::kResized) {
      RC_ASSERT(claim != claims_.end());
      RC_ASSERT(claim->second.tasks.size() > had);
      ++grown_;
    } else if (stop.reason == StopReason::kMoved) {
      RC_ASSERT(claim != claims_.end());
      RC_ASSERT(claim->second.tasks.size() == had);
      RC_ASSERT(claim->second != *view.placement);
      ++moved_;
    } else if (claim != claims_.end()) {
      RC_ASSERT(stop.reason == StopReason::kPreempted);
      RC_ASSERT(claim->second.tasks.size() < had);
      ++shrunk_;
    }
    if (claim != claims_.end()) check_accepted(view.request, claim->second.tasks.size());
  }

  static void check_accepted(const JobRequest& request, std::size_t tasks) {
    const auto size = static_cast<std::uint32_t>(tasks);
    RC_ASSERT(size >= request.min_nodes && size <= request.max_nodes);
    RC_ASSERT(request.sizes.empty() ||
              std::find(request.sizes.begin(), request.sizes.end(), size) != request.sizes.end());
  }

  // Live gangs go on running, at a size that they accept; what they give up is somebody's.
  void check_size(model::AttemptId attempt, std::optional<std::uint32_t> kept) {
    const JobView view = *host_.core.find_job(attempt.job);
    RC_ASSERT(view.attempt == attempt);
    RC_ASSERT(view.request.is_live);
    RC_ASSERT(view.state == model::JobState::kRunning);
    if (kept.has_value()) {
      RC_ASSERT(view.staying == *kept);
      RC_ASSERT(*kept < view.placement->tasks.size());
      RC_ASSERT(!claims_.empty());
    }
    check_accepted(view.request, kept.value_or(static_cast<std::uint32_t>(view.placement->tasks.size())));
  }

  // No attempt that is there still has any of its cards.
  bool is_free(const model::Placement& claim) const {
    for (const model::JobId id : host_.core.jobs()) {
      const JobView view = *host_.core.find_job(id);
      if (!view.placement.has_value()) continue;
      for (const model::TaskPlacement& theirs : view.placement->tasks) {
        for (const model::TaskPlacement& mine : claim.tasks) {
          if (theirs.node == mine.node &&
              std::find_first_of(theirs.cards.begin(), theirs.cards.end(), mine.cards.begin(), mine.cards.end()) !=
                  theirs.cards.end()) {
            return false;
          }
        }
      }
    }
    return true;
  }

  Dice dice_;
  Host host_;
  std::uint64_t next_job_ = 1;
  std::map<model::JobId, model::Placement> claims_;
  std::set<model::AttemptId> over_;
  bool has_limits_ = false;
  int grown_ = 0;
  int shrunk_ = 0;
  int moved_ = 0;
  int extended_ = 0;
  int reduced_ = 0;
};

RC_GTEST_PROP(ElasticProperty, WhoIsStoppedToGoOnGoesOnWhereItWasTold, (std::uint64_t seed)) {
  ElasticCrowd(seed).run(150);
}

TEST(ElasticProperty, GangsGrowShrinkAndMove) {
  int grown = 0;
  int shrunk = 0;
  int moved = 0;
  int extended = 0;
  int reduced = 0;
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    ElasticCrowd crowd(seed);
    crowd.run(150);
    grown += crowd.grown();
    shrunk += crowd.shrunk();
    moved += crowd.moved();
    extended += crowd.extended();
    reduced += crowd.reduced();
  }
  EXPECT_GT(grown, 20) << "else the property above says little";
  EXPECT_GT(shrunk, 20);
  EXPECT_GT(moved, 5);
  EXPECT_GT(extended, 20);
  EXPECT_GT(reduced, 20);
}

}  // namespace
}  // namespace busbar::sched
