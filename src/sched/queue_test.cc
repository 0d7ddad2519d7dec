#include <gtest/gtest.h>

#include "sched/test_cluster.h"

namespace busbar::sched {
namespace {

using model::JobState;
using testing::cluster;
using testing::find;
using testing::Host;
using testing::in_queue;
using testing::job;

TEST(Queues, StartByPriorityThenBySubmissionThenById) {
  Host host(cluster().cards(1).build());
  JobRequest first = job(1, 1, 1000);
  first.is_preemptible = false;
  host.submit(first);
  host.submit(job(3, 1, 1000));
  host.submit(job(2, 1, 1000));
  host.now_ms += 10;
  JobRequest urgent = job(4, 1, 1000);
  urgent.priority = 5;
  host.submit(urgent);
  std::vector<std::uint64_t> order;
  for (std::uint64_t running = 1; order.size() < 3;) {
    const auto next = find<Place>(host.succeed(running));
    ASSERT_TRUE(next.has_value());
    running = next->attempt.job.value;
    order.push_back(running);
  }
  EXPECT_EQ(order, (std::vector<std::uint64_t>{4, 2, 3}));
}

TEST(Queues, OfHigherPriorityAreServedFirst) {
  Host host(cluster().cards(1).build());
  host.send(QueueChanged{.queue = {.name = "urgent", .priority = 10}});
  host.submit(job(1, 1, 1000));
  host.submit(job(2, 1, 1000));
  host.submit(in_queue(job(3, 1, 1000), "urgent"));
  EXPECT_EQ(find<Place>(host.succeed(1))->attempt.job.value, 3U);
}

TEST(Queues, HoldTheirLimitAndLetOthersPass) {
  Host host(cluster().cards(8).build());
  host.send(QueueChanged{.queue = {.name = "small", .limit = {3000}}});
  host.submit(in_queue(job(1, 1, 2000), "small"));
  host.submit(in_queue(job(2, 1, 2000), "small"));
  host.submit(job(3, 1, 4000));
  EXPECT_TRUE(host.holds_cards(1));
  EXPECT_FALSE(host.holds_cards(2));
  EXPECT_TRUE(host.holds_cards(3));
  EXPECT_TRUE(find<Place>(host.send(QueueChanged{.queue = {.name = "small", .limit = {4000}}})).has_value());
}

TEST(Queues, LimitTheSizeOfAnElasticGang) {
  Host host(cluster().nodes(4).cards(1).build());
  host.send(QueueChanged{.queue = {.name = "default", .limit = {3000}}});
  JobRequest elastic = job(1, 1, 1000);
  elastic.max_nodes = 4;
  host.submit(elastic);
  EXPECT_EQ(host.nodes_of(1).size(), 3U);
}

TEST(Queues, ALowerLimitEvictsNobody) {
  Host host(cluster().cards(8).build());
  host.submit(job(1, 1, 4000));
  EXPECT_TRUE(host.send(QueueChanged{.queue = {.name = "default", .limit = {1000}}}).empty());
  EXPECT_TRUE(host.holds_cards(1));
}

TEST(Queues, UnknownNamesAreRefusedWithTheNearest) {
  Host host(cluster().build());
  host.send(QueueChanged{.queue = {.name = "vision"}});
  const auto refuse = find<Refuse>(host.submit(in_queue(job(1, 1, 1000), "visoin")));
  ASSERT_TRUE(refuse.has_value());
  EXPECT_EQ(refuse->code, ErrorCode::kInvalidArgument);
  EXPECT_NE(refuse->reason.find("did you mean vision?"), std::string::npos) << refuse->reason;
  EXPECT_FALSE(host.state(1).has_value());
}

TEST(Arrays, RunAsManyAtOnceAsTheyMay) {
  Host host(cluster().cards(8).build());
  for (std::uint64_t id = 1; id <= 5; ++id) {
    JobRequest member = job(id, 1, 1000);
    member.group = {1};
    member.group_parallel = 2;
    host.submit(member);
  }
  EXPECT_TRUE(host.holds_cards(2));
  EXPECT_FALSE(host.holds_cards(3));
  EXPECT_EQ(find<Place>(host.succeed(1))->attempt.job.value, 3U);
  EXPECT_EQ(host.core.why({4})->constraint, "array_limit");
}

TEST(Dependencies, HoldAJobUntilTheyEnd) {
  Host host(cluster().cards(8).build());
  host.submit(job(1, 1, 1000));
  JobRequest second = job(2, 1, 1000);
  second.after = {{.job = {1}}};
  host.submit(second);
  EXPECT_FALSE(host.holds_cards(2));
  EXPECT_EQ(host.core.why({2})->constraint, "dependency");
  EXPECT_EQ(find<Place>(host.succeed(1))->attempt.job.value, 2U);
}

TEST(Dependencies, EndAWholeChainWhenOneFails) {
  Host host(cluster().cards(8).build());
  host.submit(job(1, 1, 1000));
  for (std::uint64_t id = 2; id <= 4; ++id) {
    JobRequest next = job(id, 1, 1000);
    next.after = {{.job = {id - 1}, .must_succeed = id != 4}};
    host.submit(next);
  }
  host.exit_task(1, 0, 1);
  const auto decisions = host.gone(1);
  EXPECT_FALSE(host.state(2).has_value());
  EXPECT_FALSE(host.state(3).has_value());
  EXPECT_TRUE(host.holds_cards(4)) << "it only waits for the end of job 3";
  ASSERT_EQ(decisions.size(), 4U);
  EXPECT_EQ(std::get<Finish>(decisions[1]).state, JobState::kCancelled);
}

TEST(Dependencies, OnFinishedJobsAreJudgedByTheirOutcome) {
  Host host(cluster().cards(8).build());
  host.submit(job(1, 1, 1000));
  host.succeed(1);
  host.submit(job(2, 1, 1000));
  host.exit_task(2, 0, 1);
  host.gone(2);
  JobRequest after = job(3, 1, 1000);
  after.after = {{.job = {1}}};
  EXPECT_TRUE(find<Place>(host.submit(after)).has_value());
  after = job(4, 1, 1000);
  after.after = {{.job = {2}}};
  EXPECT_EQ(find<Finish>(host.submit(after))->state, JobState::kCancelled);
  after = job(5, 1, 1000);
  after.after = {{.job = {99}}};
  EXPECT_EQ(find<Refuse>(host.submit(after))->code, ErrorCode::kInvalidArgument);
}

TEST(Dependencies, OutcomesAreForgottenOldestFirst) {
  Host host(cluster().cards(1).build());
  constexpr std::uint64_t kRemembered = 10'000;
  for (std::uint64_t id = 1; id <= kRemembered + 1; ++id) {
    ASSERT_TRUE(host.core.apply({.time_ms = host.now_ms, .body = JobSubmitted{.job = job(id, 1, 1000)}}).has_value());
    ASSERT_TRUE(host.core.apply({.time_ms = host.now_ms, .body = JobCancelled{.job = {id}}}).has_value());
    if (host.holds_cards(id)) {
      ASSERT_TRUE(host.core.apply({.time_ms = host.now_ms, .body = GangGone{.attempt = host.attempt(id)}}).has_value());
    }
  }
  JobRequest after = job(kRemembered + 2, 1, 1000);
  after.after = {{.job = {2}, .must_succeed = false}};
  EXPECT_FALSE(find<Refuse>(host.submit(after)).has_value());
  after.id = {kRemembered + 3};
  after.after = {{.job = {1}, .must_succeed = false}};
  EXPECT_TRUE(find<Refuse>(host.submit(after)).has_value());
}

TEST(Feasibility, RefusesWithProof) {
  struct Case {
    JobRequest request;
    std::string proof;
  };
  JobRequest leaf = job(3, 3, 8000);
  leaf.topology = {.mode = model::TopologyRequest::Mode::kRequired, .level = "leaf"};
  JobRequest memory = job(4, 1, 1000);
  memory.memory = {200};
  const std::vector<Case> cases = {
      {job(1, 1, 16000), "needs 16 h100 cards on one node; the largest has 8"},
      {job(2, 5, 8000), "needs 5 tasks at once; the whole cluster has room for 4"},
      {leaf, "needs 3 tasks in one leaf; the largest leaf has room for 2, the whole cluster for 4"},
      {memory, "needs 200B memory on one node; the largest has 100B"},
      {job(5, 1, 1000, "h10"), "no node has chip h10; the cluster has h100 (did you mean h100?)"},
  };
  Host host(cluster().leaves(2).nodes(2).cards(8).memory(100).build());
  for (const Case& c : cases) {
    SCOPED_TRACE(c.proof);
    const auto refuse = find<Refuse>(host.submit(c.request));
    ASSERT_TRUE(refuse.has_value());
    EXPECT_EQ(refuse->code, ErrorCode::kInfeasible);
    EXPECT_EQ(refuse->reason, c.proof);
  }
}

TEST(Feasibility, IsJudgedOnAllNodesWhateverTheirState) {
  Host host(cluster().nodes(2).cards(8).build());
  host.send(NodeStateChanged{.node = {1}, .state = model::NodeState::kFailed});
  EXPECT_FALSE(find<Refuse>(host.submit(job(1, 2, 8000))).has_value());
  EXPECT_EQ(host.state(1), JobState::kQueued);
}

TEST(Feasibility, BlocksAJobThatMayWaitUntilTheClusterGrows) {
  Host host(cluster().nodes(1).cards(8).build());
  JobRequest request = job(1, 2, 8000);
  request.may_wait_infeasible = true;
  EXPECT_TRUE(find<Block>(host.submit(request))->is_blocked);
  EXPECT_EQ(host.state(1), JobState::kBlocked);
  EXPECT_EQ(host.core.why({1})->constraint, "infeasible");
  const auto decisions = host.send(NodeJoined{.node = cluster().cards(8).first_id(2).build()[0]});
  ASSERT_TRUE(find<Block>(decisions).has_value());
  EXPECT_FALSE(find<Block>(decisions)->is_blocked);
  EXPECT_TRUE(host.holds_cards(1));
}

TEST(Feasibility, BlocksAWaitingJobWhenItsOnlyNodeIsDeclaredSmaller) {
  Host host(cluster().nodes(1).cards(8).build());
  host.send(NodeStateChanged{.node = {1}, .state = model::NodeState::kDrained});
  host.submit(job(1, 1, 8000));
  const auto block = find<Block>(host.send(NodeJoined{.node = cluster().cards(4).build()[0]}));
  ASSERT_TRUE(block.has_value());
  EXPECT_TRUE(block->is_blocked);
}

TEST(Submission, RefusesWhatMakesNoSense) {
  Host host(cluster().build());
  std::vector<JobRequest> wrong(8, job(1, 1, 1000));
  wrong[0].min_nodes = 0;
  wrong[1].max_nodes = 0;
  wrong[2].accelerators[0].per_node = {1500};
  wrong[3].accelerators[0].per_node = {-1};
  wrong[4].cpus = {-1};
  wrong[5].time_limit_ms = -1;
  wrong[6].topology = {.mode = model::TopologyRequest::Mode::kRequired, .level = "rack"};
  wrong[7].after = {{.job = {1}}};
  for (std::size_t i = 0; i < wrong.size(); ++i) {
    SCOPED_TRACE(i);
    const auto refuse = find<Refuse>(host.submit(wrong[i]));
    ASSERT_TRUE(refuse.has_value());
    EXPECT_EQ(refuse->code, ErrorCode::kInvalidArgument);
  }
}

}  // namespace
}  // namespace busbar::sched
