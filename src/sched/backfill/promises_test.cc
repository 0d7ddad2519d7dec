#include "sched/backfill/promises.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "sched/journal.h"
#include "sched/random_stream.h"
#include "sched/test_cluster.h"

namespace busbar::sched {
namespace {

using testing::cluster;
using testing::Dice;
using testing::find;
using testing::Host;
using testing::in_queue;
using testing::job;
using testing::kMinute;
using testing::limited;

std::optional<Reserve> promise_of(const Host& host, std::uint64_t id) {
  return host.core.find_job({id})->promise;
}

/// Two leaves of two nodes: the first is free in 90 minutes, the second, of which one node is free, in `second_ms`.
Host two_busy_leaves(std::int64_t second_ms) {
  Host host(cluster().leaves(2).nodes(2).cards(8).build());
  const std::vector<std::int64_t> limits = {60 * kMinute, 90 * kMinute, second_ms};
  for (std::uint64_t id = 1; id <= limits.size(); ++id) {
    host.submit(limited(job(id, 1, 8000), limits[id - 1]));
    host.start(id);
  }
  return host;
}

JobRequest leaf_gang(std::uint64_t id) {
  JobRequest gang = job(id, 2, 8000);
  gang.topology = {.mode = model::TopologyRequest::Mode::kRequired, .level = "leaf"};
  return gang;
}

TEST(Promises, NameTheLeafTheStartAndTheNodes) {
  Host host(cluster().leaves(2).nodes(2).cards(8).build());
  host.submit(limited(job(1, 2, 8000), 60 * kMinute));
  host.start(1);
  host.submit(limited(job(2, 1, 8000), 90 * kMinute));
  host.start(2);
  const TimeMs first_end = host.now_ms + 60 * kMinute;
  host.submit(leaf_gang(3));
  EXPECT_FALSE(promise_of(host, 3).has_value()) << "made when a job behind it could start";
  host.submit(limited(job(4, 1, 1000), 30 * kMinute));
  const auto promise = promise_of(host, 3);
  ASSERT_TRUE(promise.has_value());
  EXPECT_EQ(promise->start_ms, first_end);
  EXPECT_EQ(promise->level, 1U);
  std::vector<model::NodeId> leaf;
  for (const std::uint64_t node : host.nodes_of(1)) leaf.push_back({node});
  EXPECT_EQ(promise->nodes, leaf) << "where the job ends that ends first";
  EXPECT_TRUE(host.holds_cards(4)) << "the other leaf is nobody's";
}

TEST(Promises, LeaveTheRestOfTheFabricToThoseBehind) {
  Host host = two_busy_leaves(120 * kMinute);
  host.submit(leaf_gang(4));
  host.submit(job(5, 1, 4000));
  ASSERT_TRUE(host.holds_cards(5)) << "no limit, but the other leaf is not kept";
  const auto promise = promise_of(host, 4);
  ASSERT_TRUE(promise.has_value());
  EXPECT_FALSE(std::binary_search(promise->nodes.begin(), promise->nodes.end(), model::NodeId{host.nodes_of(5)[0]}));
}

TEST(Promises, GoToTheFirstJobOfEachQueue) {
  Host host(cluster().leaves(3).nodes(2).cards(8).build());
  host.send(QueueChanged{.queue = {.name = "a"}});
  host.send(QueueChanged{.queue = {.name = "b"}});
  host.send(QueueChanged{.queue = {.name = "small"}});
  for (std::uint64_t id = 1; id <= 5; ++id) {
    host.submit(limited(job(id, 1, 8000), 60 * kMinute));
    host.start(id);
  }
  host.submit(in_queue(leaf_gang(11), "a"));
  host.submit(in_queue(leaf_gang(12), "a"));
  host.submit(in_queue(leaf_gang(13), "b"));
  host.submit(in_queue(limited(job(14, 1, 1000), kMinute), "small"));
  const auto a = promise_of(host, 11);
  const auto b = promise_of(host, 13);
  ASSERT_TRUE(a.has_value());
  ASSERT_TRUE(b.has_value());
  EXPECT_FALSE(promise_of(host, 12).has_value()) << "its queue has one already";
  for (const model::NodeId node : a->nodes) {
    EXPECT_FALSE(std::binary_search(b->nodes.begin(), b->nodes.end(), node)) << "plans do not overlap";
  }
}

TEST(Promises, AreNoMoreThanThePolicyAllows) {
  Host host(cluster().leaves(3).nodes(2).cards(8).build(), {.max_reservations = 1});
  host.send(QueueChanged{.queue = {.name = "a"}});
  host.send(QueueChanged{.queue = {.name = "b"}});
  for (std::uint64_t id = 1; id <= 5; ++id) {
    host.submit(limited(job(id, 1, 8000), 60 * kMinute));
    host.start(id);
  }
  host.submit(in_queue(leaf_gang(11), "a"));
  host.submit(in_queue(leaf_gang(12), "b"));
  host.submit(limited(job(13, 1, 1000), kMinute));
  EXPECT_TRUE(promise_of(host, 11).has_value());
  EXPECT_FALSE(promise_of(host, 12).has_value());
}

TEST(Promises, AreWithdrawnFromAJobThatIsNotFirstAnyMore) {
  Host host(cluster().nodes(2).cards(8).build());
  JobRequest fixed = limited(job(1, 1, 8000), 60 * kMinute);
  fixed.is_preemptible = false;
  host.submit(fixed);
  host.start(1);
  host.submit(job(2, 2, 8000));
  host.submit(limited(job(3, 1, 1000), kMinute));
  ASSERT_TRUE(promise_of(host, 2).has_value());
  JobRequest urgent = job(4, 2, 8000);
  urgent.priority = 5;
  host.submit(urgent);
  host.submit(limited(job(5, 1, 1000), kMinute));
  EXPECT_TRUE(promise_of(host, 4).has_value());
  EXPECT_FALSE(promise_of(host, 2).has_value());
}

TEST(Promises, MoveWhenANodeOfThePlanFails) {
  Host host = two_busy_leaves(60 * kMinute);
  host.submit(leaf_gang(4));
  host.submit(limited(job(5, 1, 1000), kMinute));
  const auto before = promise_of(host, 4);
  ASSERT_TRUE(before.has_value());
  EXPECT_EQ(before->start_ms, host.now_ms + 60 * kMinute);
  host.send(NodeStateChanged{.node = {host.nodes_of(3)[0]}, .state = model::NodeState::kDrained});
  host.submit(limited(job(6, 1, 1000), kMinute));
  ASSERT_TRUE(host.holds_cards(6));
  const auto after = promise_of(host, 4);
  ASSERT_TRUE(after.has_value());
  EXPECT_EQ(after->start_ms, host.now_ms + 90 * kMinute) << "in the other leaf";
  EXPECT_NE(after->nodes, before->nodes);
}

TEST(Promises, MoveAwayFromNodesThatAnOperatorReserves) {
  Host host = two_busy_leaves(120 * kMinute);
  host.submit(leaf_gang(4));
  host.submit(limited(job(5, 1, 1000), kMinute));
  const auto before = promise_of(host, 4);
  ASSERT_TRUE(before.has_value());
  host.send(ReservationMade{
      .reservation = {
          .name = "x", .nodes = before->nodes, .from_ms = host.now_ms, .until_ms = host.now_ms + 24 * 60 * kMinute}});
  host.submit(limited(job(6, 1, 1000), kMinute));
  const auto after = promise_of(host, 4);
  ASSERT_TRUE(after.has_value());
  for (const model::NodeId node : after->nodes) {
    EXPECT_FALSE(std::binary_search(before->nodes.begin(), before->nodes.end(), node));
  }
}

TEST(Promises, KeepClearOfAWindowThatBeginsBeforeTheirStart) {
  Host host(cluster().leaves(2).nodes(1).cards(8).build());
  host.submit(limited(job(1, 1, 8000), 60 * kMinute));
  host.start(1);
  host.submit(limited(job(2, 1, 8000), 90 * kMinute));
  host.start(2);
  const model::NodeId early{host.nodes_of(1)[0]};
  // At noon the first node comes free, but for half an hour only: not enough for an hour's work.
  host.send(ReservationMade{.reservation = {.name = "x",
                                            .nodes = {early},
                                            .from_ms = host.now_ms + 90 * kMinute,
                                            .until_ms = host.now_ms + 24 * 60 * kMinute}});
  host.submit(limited(job(3, 1, 8000), 60 * kMinute));
  host.send(NodeJoined{.node = cluster().nodes(1).cards(1).first_id(9).build()[0]});
  host.submit(limited(job(4, 1, 1000), kMinute));
  ASSERT_TRUE(host.holds_cards(4));
  const auto promise = promise_of(host, 3);
  ASSERT_TRUE(promise.has_value());
  EXPECT_EQ(promise->nodes, (std::vector<model::NodeId>{{host.nodes_of(2)[0]}}));
  EXPECT_EQ(promise->start_ms, host.now_ms + 90 * kMinute);
}

/// Jobs of one queue on a cluster where nothing fails: each begins at once and ends by its limit.
class QuietWorld {
 public:
  explicit QuietWorld(std::uint64_t seed, Policy policy = {}) : dice_(seed), host_(make_nodes(dice_), policy) {}

  void run(int submissions) {
    for (int i = 0; i < submissions; ++i) {
      const TimeMs next_ms = host_.now_ms + static_cast<TimeMs>(dice_.roll(4 * kMinute));
      play_ends_until(next_ms);
      host_.now_ms = std::max(host_.now_ms, next_ms);
      note(host_.submit(make_job(static_cast<std::uint64_t>(i) + 1)));
    }
    play_ends_until(INT64_MAX);
    RC_ASSERT(host_.core.jobs().empty());
  }
  std::size_t promised() const { return promised_ms_.size(); }
  std::size_t made_room() const { return made_room_; }

 private:
  static std::vector<model::Node> make_nodes(Dice& dice) {
    return cluster()
        .leaves(1 + static_cast<int>(dice.roll(3)))
        .nodes(1 + static_cast<int>(dice.roll(3)))
        .cards(1 + static_cast<int>(dice.roll(4)))
        .cpus(dice.chance(30) ? 4 : 0)
        .build();
  }

  JobRequest make_job(std::uint64_t id) {
    const std::size_t nodes = host_.core.nodes().size();
    const std::size_t cards = host_.core.find_node(host_.core.nodes().front())->cards.size();
    JobRequest request = job(id, static_cast<std::uint32_t>(1 + dice_.roll(nodes)),
                             dice_.chance(15) ? 500 : static_cast<std::int64_t>(1 + dice_.roll(cards)) * 1000);
    request.max_nodes = request.min_nodes + static_cast<std::uint32_t>(dice_.chance(20) ? dice_.roll(3) : 0);
    if (dice_.chance(20)) request.topology = {.mode = model::TopologyRequest::Mode::kRequired, .level = "leaf"};
    request.time_limit_ms = dice_.chance(80) ? static_cast<std::int64_t>(1 + dice_.roll(30)) * kMinute : 0;
    return request;
  }

  void note(const std::vector<Decision>& decisions) {
    for (const Decision& decision : decisions) {
      if (const Reserve* reserve = std::get_if<Reserve>(&decision)) {
        check(*reserve);
      } else if (const Place* place = std::get_if<Place>(&decision)) {
        const std::uint64_t id = place->attempt.job.value;
        const auto promised = promised_ms_.find(id);
        if (promised != promised_ms_.end() && is_firm()) RC_ASSERT(host_.now_ms <= promised->second);
        started_.push_back(id);
      } else if (const Stop* stop = std::get_if<Stop>(&decision)) {
        if (stop->reason == StopReason::kPreempted) stopped_.push_back(stop->attempt.job.value);
      }
    }
    // What begins is told only when the step is over, as an engine would.
    for (const std::uint64_t id : std::exchange(started_, {})) {
      host_.start(id);
      const std::int64_t limit_ms = host_.core.find_job({id})->request.time_limit_ms;
      const auto most = static_cast<std::uint64_t>(limit_ms > 0 ? limit_ms : 40 * kMinute);
      const auto ran_ms = static_cast<TimeMs>(dice_.chance(50) ? most : 1 + dice_.roll(most));
      ends_.insert({host_.now_ms + ran_ms, id});
    }
    // Who makes room is gone at once, and what follows is noted in turn.
    for (const std::uint64_t id : std::exchange(stopped_, {})) {
      std::erase_if(ends_, [id](const auto& end) { return end.second == id; });
      ++made_room_;
      note(host_.gone(id));
    }
  }

  // The domain and the start stay, or the start is earlier. Once a job has made room it stands in the queue again,
  // before those that came after it, and may take what they were promised: then a start may move.
  bool is_firm() const { return made_room_ == 0; }
  void check(const Reserve& reserve) {
    const std::uint64_t id = reserve.job.value;
    if (!is_firm()) {
      promised_ms_.insert({id, reserve.start_ms});
      return;
    }
    RC_ASSERT(reserve.slips == 0U);
    RC_ASSERT(!reserve.nodes.empty());
    if (reserve.start_ms == 0) {
      RC_ASSERT(!promised_ms_.contains(id));
      return;
    }
    RC_ASSERT(reserve.start_ms >= host_.now_ms);
    const auto [at, is_new] = promised_ms_.insert({id, reserve.start_ms});
    RC_ASSERT(is_new || reserve.start_ms <= at->second);
    at->second = reserve.start_ms;
  }

  void play_ends_until(TimeMs until_ms) {
    while (!ends_.empty() && ends_.begin()->first <= until_ms) {
      const auto [at_ms, id] = *ends_.begin();
      ends_.erase(ends_.begin());
      host_.now_ms = std::max(host_.now_ms, at_ms);
      const std::size_t tasks = host_.core.find_job({id})->placement->tasks.size();
      for (std::uint32_t rank = 0; rank < tasks; ++rank) {
        note(host_.exit_task(id, rank, 0));
      }
      note(host_.gone(id));
    }
  }

  Dice dice_;
  Host host_;
  std::set<std::pair<TimeMs, std::uint64_t>> ends_;
  std::vector<std::uint64_t> started_;
  std::vector<std::uint64_t> stopped_;
  std::size_t made_room_ = 0;
  std::map<std::uint64_t, TimeMs> promised_ms_;
};

RC_GTEST_PROP(PromisesProperty, NoneSlipsWhereNothingFails, (std::uint64_t seed)) {
  QuietWorld(seed).run(60);
}

RC_GTEST_PROP(PromisesProperty, AllEndAlsoWhereJobsYield, (std::uint64_t seed)) {
  QuietWorld(seed, {.may_backfill_yield = true}).run(60);
}

TEST(PromisesProperty, MakesPromises) {
  std::size_t promised = 0;
  std::size_t made_room = 0;
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    QuietWorld world(seed);
    world.run(60);
    promised += world.promised();
    QuietWorld yielding(seed, {.may_backfill_yield = true});
    yielding.run(60);
    made_room += yielding.made_room();
  }
  EXPECT_GT(promised, 40U) << "else the property above says little";
  EXPECT_GT(made_room, 20U) << "same";
}

}  // namespace
}  // namespace busbar::sched
