#include "sched/gang/affinity.h"

#include <gtest/gtest.h>

#include <map>
#include <set>

#include "sched/test_cluster.h"

namespace busbar::sched {
namespace {

using testing::cluster;
using testing::find;
using testing::Host;
using testing::job;

JobRequest labelled(JobRequest request, std::string value) {
  request.labels = {{"tier", std::move(value)}};
  return request;
}

JobRequest avoiding(JobRequest request, std::string tag) {
  request.avoid = {std::move(tag)};
  return request;
}

TEST(Affinity, KeepsAJobOffTheNodesOfThoseItAvoids) {
  Host host(cluster().nodes(2).cards(8).build());
  host.submit(labelled(job(1, 1, 1000), "noisy"));
  host.submit(avoiding(job(2, 1, 1000), "label:tier=noisy"));
  EXPECT_NE(host.nodes_of(1), host.nodes_of(2));
}

TEST(Affinity, KeepsLaterJobsOffTheNodesOfThoseThatAvoidThem) {
  Host host(cluster().nodes(1).cards(8).build());
  host.submit(avoiding(job(1, 1, 1000), "label:tier=noisy"));
  host.submit(labelled(job(2, 1, 1000), "noisy"));
  EXPECT_FALSE(host.holds_cards(2));
  host.submit(labelled(job(3, 1, 1000), "quiet"));
  EXPECT_TRUE(host.holds_cards(3));
  host.succeed(1);
  EXPECT_TRUE(host.holds_cards(2));
}

TEST(Affinity, TellsJobsOfOneShapeApartByNameOnlyWhereSomeoneAvoidsTheName) {
  Host host(cluster().nodes(1).cards(2).build());
  JobRequest first = job(1, 1, 2000);
  first.is_preemptible = false;
  host.submit(first);
  JobRequest trainer = job(2, 1, 1000);
  trainer.name = "trainer";
  host.submit(trainer);
  host.submit(job(3, 1, 1000));
  JobRequest guard = avoiding(job(4, 1, 1000), "name:trainer");
  guard.priority = 10;
  host.submit(guard);
  host.succeed(1);
  EXPECT_TRUE(host.holds_cards(4));
  EXPECT_FALSE(host.holds_cards(2));
  EXPECT_TRUE(host.holds_cards(3)) << "same shape as job 2, behind it, but nobody avoids it";
}

TEST(Affinity, SpreadsTheMembersOfAnArray) {
  Host host(cluster().nodes(3).cards(8).build());
  std::set<std::uint64_t> nodes;
  for (std::uint64_t id = 1; id <= 3; ++id) {
    JobRequest member = avoiding(job(id, 1, 1000), "group:1");
    member.group = {1};
    host.submit(member);
    ASSERT_TRUE(host.holds_cards(id));
    nodes.insert(host.nodes_of(id)[0]);
  }
  EXPECT_EQ(nodes.size(), 3U);
}

TEST(Affinity, BoundsTheTasksOfAJobOnOneNode) {
  Host host(cluster().nodes(3).cards(8).build());
  JobRequest request = job(1, 4, 1000);
  request.max_tasks_per_node = 2;
  host.submit(request);
  std::map<std::uint64_t, int> per_node;
  for (const std::uint64_t node : host.nodes_of(1)) ++per_node[node];
  for (const auto& [node, tasks] : per_node) EXPECT_LE(tasks, 2) << node;
  request = job(2, 4, 1000);
  request.max_tasks_per_node = 1;
  const auto refuse = find<Refuse>(host.submit(request));
  ASSERT_TRUE(refuse.has_value());
  EXPECT_EQ(refuse->reason, "needs 4 tasks at once; the whole cluster has room for 3");
}

TEST(Affinity, StartsOnlyInSizesThatTheJobAccepts) {
  Host host(cluster().nodes(7).cards(8).build());
  JobRequest request = job(1, 2, 8000);
  request.max_nodes = 8;
  request.sizes = {2, 4, 8};
  host.submit(request);
  EXPECT_EQ(host.nodes_of(1).size(), 4U);
  request.id = {2};
  request.sizes = {2, 8, 4};
  EXPECT_EQ(find<Refuse>(host.submit(request))->code, ErrorCode::kInvalidArgument);
}

}  // namespace
}  // namespace busbar::sched
