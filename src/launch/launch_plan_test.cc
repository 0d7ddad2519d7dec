#include "launch/launch_plan.h"

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "base/json.h"

namespace busbar::launch {
namespace {

using model::JobSpec;
using model::Launcher;

/// A gang of one-node tasks with `cards` CPU cards each; the caller changes what it is about.
struct Gang {
  JobSpec spec = {.name = "train.x", .run = "true", .min_nodes = 2, .max_nodes = 2};
  model::Placement placement = {};
  std::vector<NodeFacts> nodes = {{.id = {1}, .name = "n1", .address = "10.0.0.1", .network_interface = "eth0"},
                                  {.id = {2}, .name = "n2", .address = "10.0.0.2", .network_interface = "eth1"}};
  std::vector<std::vector<std::uint16_t>> task_ports = {};
  ImageFacts image = {};
  std::uint16_t rendezvous_port = 29'500;
  bool is_preview = false;

  explicit Gang(Launcher launcher, std::uint16_t cards = 2) {
    spec.launcher = launcher;
    placement.chip = "cpu";
    for (std::uint32_t rank = 0; rank < 2; ++rank) {
      model::TaskPlacement task{.rank = rank, .node = {rank + 1}, .cpus = {8000}};
      for (std::uint16_t card = 0; card < cards; ++card) {
        task.cards.push_back(card);
      }
      placement.tasks.push_back(task);
    }
  }
  Result<std::vector<TaskPlan>> plan() const {
    return plan_launch({.spec = spec,
                        .attempt = {.job = {17}, .number = 2},
                        .placement = placement,
                        .nodes = nodes,
                        .rendezvous_port = rendezvous_port,
                        .task_ports = task_ports,
                        .image = image,
                        .user = "ada",
                        .api_url = "http://127.0.0.1:1",
                        .is_preview = is_preview});
  }
};

using Environment = std::map<std::string, std::string>;

TEST(LaunchPlan, TorchrunGetsPetVariablesAndNoRank) {
  const auto plans = Gang(Launcher::kTorchrun).plan();
  ASSERT_TRUE(plans) << plans.error().to_string();
  ASSERT_EQ(plans->size(), 2u);
  const Environment& env = (*plans)[1].env;
  const Environment expected = {{"PET_NNODES", "2"},          {"PET_NODE_RANK", "1"},
                                {"PET_NPROC_PER_NODE", "2"},  {"PET_MASTER_ADDR", "10.0.0.1"},
                                {"PET_MASTER_PORT", "29500"}, {"PET_RDZV_BACKEND", "static"},
                                {"MASTER_ADDR", "10.0.0.1"},  {"PET_RDZV_ENDPOINT", "10.0.0.1:29500"},
                                {"MASTER_PORT", "29500"},     {"NNODES", "2"},
                                {"NODE_RANK", "1"},           {"NPROC_PER_NODE", "2"},
                                {"OMP_NUM_THREADS", "4"},     {"GLOO_SOCKET_IFNAME", "eth1"}};
  for (const auto& [name, value] : expected) {
    ASSERT_EQ(env.count(name), 1u) << name;
    EXPECT_EQ(env.at(name), value) << name;
  }
  for (const char* name : {"RANK", "WORLD_SIZE", "LOCAL_RANK", "PET_REDIRECTS", "SLURM_JOB_ID"}) {
    EXPECT_EQ(env.count(name), 0u) << name;
  }
}

TEST(LaunchPlan, LiveTorchrunTakesTasksInAndLetsThemGo) {
  Gang gang(Launcher::kTorchrun);
  gang.spec.min_nodes = 1;
  gang.spec.max_nodes = 3;
  gang.spec.elastic = model::Elastic::kLive;
  const auto plans = gang.plan();
  ASSERT_TRUE(plans) << plans.error().to_string();
  const Environment& env = (*plans)[1].env;
  EXPECT_EQ(env.at("PET_NNODES"), "1:3");
  EXPECT_EQ(env.at("PET_RDZV_BACKEND"), "c10d");
  EXPECT_EQ(env.at("PET_RDZV_ENDPOINT"), "10.0.0.1:29500");
  EXPECT_EQ(env.at("PET_RDZV_ID"), "busbar-17.2");
  EXPECT_TRUE(env.at("PET_RDZV_CONF").starts_with("is_host=0,"));
  EXPECT_TRUE((*plans)[0].env.at("PET_RDZV_CONF").starts_with("is_host=1,")) << "task 0 keeps what they meet at";
  EXPECT_EQ(env.count("PET_NODE_RANK") + env.count("MASTER_ADDR"), 0u);
  EXPECT_EQ(env.at("BUSBAR_MEMBERS"), "/run/busbar/members.json");
  EXPECT_TRUE((*plans)[0].ends_gang);
  EXPECT_FALSE((*plans)[1].ends_gang);
  EXPECT_EQ((*plans)[1].peers, (std::vector<std::string>{"train-x-17-0", "train-x-17-1", "train-x-17-2"}));
  const auto members = parse_json((*plans)[1].files.at("members.json"));
  ASSERT_TRUE(members);
  EXPECT_EQ((*members)["attempt"].as_string(), "17.2");
  EXPECT_EQ((*members)["generation"].as_int(), 1);
  ASSERT_EQ((*members)["members"].items().size(), 2u);
  EXPECT_EQ((*members)["members"].items()[1]["hostname"].as_string(), "train-x-17-1");
  EXPECT_EQ((*members)["members"].items()[1]["address"].as_string(), "10.0.0.2");
}

TEST(LaunchPlan, BrokenTorchrunGetsRedirectsToALocalRankThatDoesNotExist) {
  Gang gang(Launcher::kTorchrun);
  gang.image.torchrun_needs_redirects = true;
  const auto plans = gang.plan();
  ASSERT_TRUE(plans);
  EXPECT_EQ((*plans)[0].env.at("PET_REDIRECTS"), "9:3");
  EXPECT_EQ((*plans)[0].env.at("PET_TEE"), "9:3");
}

TEST(LaunchPlan, EveryTaskKnowsItsJob) {
  for (const Launcher launcher : {Launcher::kTorchrun, Launcher::kDirect, Launcher::kMpirun, Launcher::kNone}) {
    SCOPED_TRACE(model::launcher_name(launcher));
    Gang gang(launcher);
    gang.spec.checkpoint = {.path = "/ckpt", .every_ms = 1500};
    gang.spec.array_index = 3;
    const auto plans = gang.plan();
    ASSERT_TRUE(plans);
    const Environment& env = (*plans)[1].env;
    const Environment expected = {{"BUSBAR_JOB_ID", "17"},
                                  {"BUSBAR_JOB_NAME", "train.x"},
                                  {"BUSBAR_ATTEMPT", "2"},
                                  {"BUSBAR_TASK_RANK", "1"},
                                  {"BUSBAR_NNODES", "2"},
                                  {"BUSBAR_REPORT_FILE", "/run/busbar/report.jsonl"},
                                  {"BUSBAR_CHECKPOINT_DIR", "/ckpt"},
                                  {"BUSBAR_CHECKPOINT_EVERY_S", "1.5"},
                                  {"BUSBAR_ARRAY_INDEX", "3"},
                                  {"BUSBAR_USER", "ada"},
                                  {"NNODES", "2"},
                                  {"NODE_RANK", "1"}};
    for (const auto& [name, value] : expected) {
      ASSERT_EQ(env.count(name), 1u) << name;
      EXPECT_EQ(env.at(name), value) << name;
    }
    EXPECT_EQ((*plans)[0].hostname, "train-x-17-0");
    EXPECT_EQ((*plans)[0].files.at("hostfile"), "train-x-17-0 slots=2\ntrain-x-17-1 slots=2\n");
    EXPECT_EQ((*plans)[0].argv, (std::vector<std::string>{"/bin/sh", "/run/busbar/launch.sh"}));
  }
}

TEST(LaunchPlan, DirectCountsProcessesAcrossTasks) {
  Gang gang(Launcher::kDirect);
  gang.placement.tasks[0].cards = {0, 1, 2};
  const auto plans = gang.plan();
  ASSERT_TRUE(plans);
  EXPECT_EQ((*plans)[1].env.at("WORLD_SIZE"), "5");
  EXPECT_EQ((*plans)[0].env.at("LOCAL_WORLD_SIZE"), "3");
  EXPECT_EQ((*plans)[1].env.at("LOCAL_WORLD_SIZE"), "2");
  EXPECT_NE((*plans)[1].files.at("task.sh").find("RANK=$((3 + local_rank))"), std::string::npos);
  EXPECT_EQ((*plans)[1].env.count("RANK"), 0u);
}

TEST(LaunchPlan, MpirunsLeaderEndsTheGang) {
  const auto plans = Gang(Launcher::kMpirun).plan();
  ASSERT_TRUE(plans);
  EXPECT_TRUE((*plans)[0].ends_gang);
  EXPECT_FALSE((*plans)[0].is_host_only);
  EXPECT_FALSE((*plans)[1].ends_gang);
  EXPECT_TRUE((*plans)[1].is_host_only);
  EXPECT_EQ((*plans)[1].files.count("run"), 0u);
  const Environment& env = (*plans)[0].env;
  EXPECT_EQ(env.at("OMPI_MCA_plm_rsh_agent"), "/run/busbar/rsh");
  EXPECT_EQ(env.at("OMPI_MCA_orte_default_hostfile"), "/run/busbar/hostfile");
  EXPECT_EQ(env.at("OMPI_MCA_btl_tcp_if_include"), "eth0");
  EXPECT_EQ(env.at("OMPI_ALLOW_RUN_AS_ROOT"), "1");
}

TEST(LaunchPlan, JobFilesEnvWinsWhereTheGangDoesNotDependOnIt) {
  Gang gang(Launcher::kTorchrun);
  gang.spec.env = {{"OMP_NUM_THREADS", "1"}, {"MASTER_ADDR", "evil"}, {"BUSBAR_JOB_ID", "1"}};
  const auto plans = gang.plan();
  ASSERT_TRUE(plans);
  EXPECT_EQ((*plans)[0].env.at("OMP_NUM_THREADS"), "1");
  EXPECT_EQ((*plans)[0].env.at("MASTER_ADDR"), "10.0.0.1");
  EXPECT_EQ((*plans)[0].env.at("BUSBAR_JOB_ID"), "17");

  gang.spec.launcher = Launcher::kNone;
  const auto bare = gang.plan();
  ASSERT_TRUE(bare);
  EXPECT_EQ((*bare)[0].env.at("MASTER_ADDR"), "evil");
}

TEST(LaunchPlan, SlurmProfileComesOnRequest) {
  Gang gang(Launcher::kDirect);
  gang.spec.slurm_environment = true;
  gang.spec.array_index = 5;
  const auto plans = gang.plan();
  ASSERT_TRUE(plans);
  const Environment& env = (*plans)[1].env;
  EXPECT_EQ(env.at("SLURM_JOB_ID"), "17");
  EXPECT_EQ(env.at("SLURM_NTASKS"), "4");
  EXPECT_EQ(env.at("SLURM_NODEID"), "1");
  EXPECT_EQ(env.at("SLURM_TASKS_PER_NODE"), "2(x2)");
  EXPECT_EQ(env.at("SLURM_ARRAY_TASK_ID"), "5");
  EXPECT_EQ(env.at("SLURM_JOB_NODELIST"), "train-x-17-0,train-x-17-1");
  EXPECT_EQ(env.count("SLURM_PROCID"), 0u);
  EXPECT_NE((*plans)[1].files.at("task.sh").find("SLURM_PROCID=$RANK"), std::string::npos);
}

TEST(LaunchPlan, PortsAreToldByName) {
  Gang gang(Launcher::kNone);
  gang.spec.ports = {{.name = "http-api", .container_port = 8080}, {.name = "metrics"}};
  gang.task_ports = {{0, 4000}, {0, 4001}};
  const auto plans = gang.plan();
  ASSERT_TRUE(plans);
  EXPECT_EQ((*plans)[1].env.at("BUSBAR_PORT_HTTP_API"), "8080");
  EXPECT_EQ((*plans)[1].env.at("BUSBAR_PORT_METRICS"), "4001");
  EXPECT_EQ((*plans)[1].env.at("PORT"), "8080");
  gang.task_ports.pop_back();
  EXPECT_FALSE(gang.plan());
}

TEST(LaunchPlan, RefusesAPlacementOfAnotherJob) {
  Gang few(Launcher::kNone);
  few.spec.min_nodes = few.spec.max_nodes = 3;
  EXPECT_FALSE(few.plan());
  Gang unknown(Launcher::kNone);
  unknown.nodes.pop_back();
  EXPECT_FALSE(unknown.plan());
  Gang unranked(Launcher::kNone);
  unranked.placement.tasks[1].rank = 0;
  EXPECT_FALSE(unranked.plan());
  Gang portless(Launcher::kTorchrun);
  portless.rendezvous_port = 0;
  EXPECT_FALSE(portless.plan());
  portless.is_preview = true;
  EXPECT_TRUE(portless.plan());
}

TEST(ExpandArray, GivesOneJobPerIndex) {
  const JobSpec spec{.run = "x", .array = {1, 5}, .array_parallel = 1};
  const auto members = expand_array(spec);
  ASSERT_EQ(members.size(), 2u);
  EXPECT_EQ(members[1].array_index, 5u);
  EXPECT_TRUE(members[1].array.empty());
  EXPECT_EQ(members[1].array_parallel, 0u);
  EXPECT_EQ(expand_array(JobSpec{.run = "x"}), (std::vector<JobSpec>{JobSpec{.run = "x"}}));
}

}  // namespace
}  // namespace busbar::launch
